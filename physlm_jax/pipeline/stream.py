"""The endless stream of batches: Grain's random access over packed rows, prefetched.

Batch t of B rows is the global rows t * B .. t * B + B - 1, and host h of H feeds the h-th of H
equal contiguous shares of them. So the step is the stream's whole state: a run that resumes at step
t builds `stream(..., start=t)` and nothing of an iterator is ever saved (Grain's iterator state
depends on the number of workers). Threads and worker processes only prepare batches ahead.
"""

import multiprocessing
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import grain
import numpy as np
from absl import flags

from physlm_jax.data import World
from physlm_jax.data.hashing import stream_key
from physlm_jax.errors import InputError
from physlm_jax.pipeline.packing import BLOCKS, PackingConfig, Rows, check_count, pack_rows


def host_rows(t: int, batch: int, host: int, hosts: int) -> range:
    """Returns the global rows of batch t that one of `hosts` hosts feeds: a contiguous share."""
    share = batch // hosts
    first = t * batch + host * share
    return range(first, first + share)


def stream(
    world: World,
    packing: PackingConfig,
    seed: int,
    batch: int,
    start: int = 0,
    hosts: int = 1,
    host: int = 0,
) -> grain.MapDataset:
    """Returns the batches start, start + 1, ... of an endless stream: this host's rows of each.

    Args:
        world: the examples.
        packing: how they become rows; its R must divide batch / hosts.
        seed: the stream of examples.
        batch: B, rows of a global batch.
        start: the step to begin at; element i of the result is batch start + i.
        hosts, host: how many equal shares a batch has, and which is ours (see `host_share`).

    Returns:
        A dataset of `Rows` of batch / hosts rows, as long as the stream has indices (2**32 blocks).

    Raises:
        InputError: a number out of range, or an R that does not divide the share.
    """
    check_count("batch", batch)
    check_count("hosts", hosts)
    if not 0 <= host < hosts:
        raise InputError(f"host must be in 0..{hosts - 1} for hosts = {hosts}, got {host}")
    _check_shares(packing, batch, hosts)
    source = _Batches(world, packing, seed, batch, hosts, host)
    if not 0 <= start < len(source):
        raise InputError(f"start must be in 0..{len(source) - 1}, got {start}")
    return grain.MapDataset.source(source)[start:]


def stacked(datasets: Sequence[grain.MapDataset], order: Sequence[int]) -> grain.MapDataset:
    """Returns the batches of a population: [M, rows, T], row m from datasets[order[m]].

    Args:
        datasets: of `stream`, the different ones.
        order: for each member of this process, which of them it reads.
    """
    return grain.MapDataset.source(_Stacked(tuple(datasets), tuple(order)))


def stack_rows(batches: Sequence[Rows], order: Sequence[int]) -> Rows:
    """Returns the rows [M, rows, T] of the members: those of batches[order[m]]."""
    return {name: np.stack([batches[i][name] for i in order]) for name in batches[0]}


def prefetch(
    dataset: grain.MapDataset, threads: int = 2, buffer: int = 4, workers: int = 0
) -> grain.IterDataset:
    """Returns the dataset in order, its elements prepared ahead in the background.

    Call `close()` on an iterator of the result when done with it: it holds threads or processes.

    Args:
        dataset: from `stream`.
        threads: threads that prepare elements (0: none, in the caller's). In each worker, if any.
        buffer: elements prepared ahead (in all; with workers, by each of them).
        workers: processes, started by spawning, so a script that asks for them needs the usual
            `if __name__ == "__main__":`. Worth their start-up (seconds) only where threads hold
            each other up: worlds written in plain Python.
    """
    for name, value in (("threads", threads), ("buffer", buffer), ("workers", workers)):
        check_count(name, value, least=0)
    ahead = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(buffer, threads))
    items = dataset.to_iter_dataset(ahead)
    if not workers:
        return items
    if not flags.FLAGS.is_parsed():  # Grain's workers read absl flags, in a notebook unparsed
        flags.FLAGS.mark_as_parsed()
    return items.mp_prefetch(
        grain.multiprocessing.MultiprocessingOptions(
            workers, per_worker_buffer_size=max(buffer, 1)
        ),
        worker_init_fn=_end_with_parent,
    )


def _end_with_parent(worker: int, workers: int) -> None:
    """Ends this worker process when the one that reads from it is gone, however that ended."""
    del worker, workers
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def held_out(
    world: World,
    packing: PackingConfig,
    seed: int,
    rows: int,
    batch: int,
    hosts: int = 1,
    host: int = 0,
) -> list[Rows]:
    """Returns a fixed set of exactly `rows` rows in batches, from a stream unrelated to training's.

    The last batch is filled up with rows of weight 0 (segment 0), so no row is dropped and every
    batch has one shape. With `hosts`, each batch holds this host's contiguous share.

    Raises:
        InputError: rows or batch below 1, or a batch that the hosts cannot share equally.
    """
    check_count("held-out rows", rows)
    check_count("batch", batch)
    if batch % hosts:
        raise InputError(_unequal(batch, hosts))
    found = pack_rows(world, packing, stream_key(seed, "held-out"), range(rows))
    padding = {"tokens": world.vocabulary.pad, "targets": world.vocabulary.pad}
    missing = ((0, -rows % batch), (0, 0))
    full = {
        name: np.pad(array, missing, constant_values=padding.get(name, 0))
        for name, array in found.items()
    }
    shares = [host_rows(t, batch, host, hosts) for t in range(-(-rows // batch))]
    return [{name: a[share.start : share.stop] for name, a in full.items()} for share in shares]


@dataclass(frozen=True)
class _Batches:
    """Grain's data source: element t is this host's rows of batch t. It pickles: plain values."""

    world: World
    packing: PackingConfig
    seed: int
    batch: int
    hosts: int
    host: int

    def __len__(self) -> int:
        return BLOCKS * self.packing.rows_per_block // self.batch

    def __getitem__(self, t: int) -> Rows:
        rows = host_rows(int(t), self.batch, self.host, self.hosts)
        return pack_rows(self.world, self.packing, self.seed, rows)


@dataclass(frozen=True)
class _Stacked:
    """Grain's data source: element t is the batches t of several streams, one above the other."""

    datasets: tuple[grain.MapDataset, ...]
    order: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.datasets[0])

    def __getitem__(self, t: int) -> Rows:
        return stack_rows([dataset[int(t)] for dataset in self.datasets], self.order)


def _unequal(batch: int, hosts: int) -> str:
    """Returns the complaint about a batch that `hosts` hosts cannot share equally."""
    near = max(1, round(batch / hosts)) * hosts
    return f"batch {batch} cannot be shared equally by {hosts} hosts; nearest batch: {near}"


def _check_shares(packing: PackingConfig, batch: int, hosts: int) -> None:
    """Raises InputError unless every host's share of a batch is whole blocks."""
    if batch % hosts:
        raise InputError(_unequal(batch, hosts))
    share, size = batch // hosts, packing.rows_per_block
    if share % size == 0:
        return
    unit = 2 if packing.align_bos == "half" else 1
    fitting = [r for r in range(unit, share + 1, unit) if share % r == 0]
    near = min(fitting, key=lambda r: abs(r - size), default=None)
    advice = f"nearest that does: {near}" if near else "align_bos 'half' needs an even share"
    raise InputError(
        f"packing.rows_per_block {size} does not divide a host's share of {share} rows "
        f"(batch {batch}, {hosts} host{'s' * (hosts > 1)}); {advice}"
    )
