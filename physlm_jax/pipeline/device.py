"""From this process's rows to `jax.Array`s laid out over the whole mesh, a few batches ahead.

Every process holds only its share of a global batch. `host_share` reads off the sharding which
share that is: the order of processes along the mesh's batch axes is not always that of their
numbers, and processes that differ only along other axes (tensor parallelism) feed the same rows.
"""

from collections import deque
from collections.abc import Generator, Iterable
from typing import NamedTuple

import grain
import jax

from physlm_jax.errors import InputError, Interrupted
from physlm_jax.pipeline.packing import Rows
from physlm_jax.pipeline.stream import prefetch


class HostShare(NamedTuple):
    """A batch has `hosts` equal contiguous shares; this process feeds number `host`.

    Where a population's members have batches of their own, it feeds those of `members`.
    """

    hosts: int
    host: int
    members: range = range(0)


def host_share(sharding: jax.sharding.Sharding, batch: int, members: int = 0) -> HostShare:
    """Returns which rows of a batch this process's devices hold.

    Args:
        sharding: of the arrays [B, T], or [members, B, T]; T not sharded.
        batch: rows of a global batch; a multiple of the number of row shards.
        members: of a population whose members have batches of their own; 0: there is one batch.

    Raises:
        InputError: the batch does not divide over the sharding, or this process's devices hold
            rows that are not one contiguous share (the mesh interleaves processes along the batch).
    """
    shape = (members, batch, 1) if members else (batch, 1)
    try:
        held = [i for i in sharding.addressable_devices_indices_map(shape).values() if i]
    except ValueError:
        raise InputError(_undivided(sharding, batch, members)) from None
    pieces = {index[-2].indices(batch)[:2] for index in held}
    start, stop = min(lo for lo, _ in pieces), max(hi for _, hi in pieces)
    share = sum(hi - lo for lo, hi in pieces)
    if stop - start != share or start % share or batch % share:
        raise InputError(
            f"the mesh gives process {jax.process_index()} rows {sorted(pieces)} of a batch of "
            f"{batch}, not one of equal contiguous shares; order the devices by process along the "
            "batch axes"
        )
    ours = [index[0].indices(members) for index in held] if members else [(0, 0, 1)]
    mine = range(min(lo for lo, _, _ in ours), max(hi for _, hi, _ in ours))
    return HostShare(batch // share, start // share, mine)


def _undivided(sharding: jax.sharding.Sharding, batch: int, members: int) -> str:
    devices = len(sharding.device_set)  # a count that every sharding over them divides
    if not members:
        shards = devices // sharding.shard_shape((devices, 1))[0]
    else:
        groups, rows, _ = sharding.shard_shape((devices, devices, 1))
        groups, shards = devices // groups, devices // rows
        if members % groups:
            return f"a population of {members} does not divide over {groups} groups of devices"
    near = max(1, round(batch / shards)) * shards
    return f"batch {batch} does not divide over {shards} row shards; nearest batch: {near}"


def device_batches(
    dataset: grain.MapDataset | Iterable[Rows], sharding: jax.sharding.Sharding, ahead: int = 2
) -> Generator[dict[str, jax.Array], None, None]:
    """Yields each element of the dataset as global arrays, `ahead` of them already on their way.

    Closing the generator (or its end) stops the background threads and processes.

    Args:
        dataset: this process's rows: from `stream` (prefetched here with `prefetch`'s defaults),
            from `prefetch`, or a list such as `held_out`'s.
        sharding: of the arrays [B, T] or [members, B, T]; T not sharded.
        ahead: batches kept on the device beyond the one in use.
    Raises:
        Interrupted: a process that makes the rows was killed.
    """
    items = prefetch(dataset) if isinstance(dataset, grain.MapDataset) else dataset
    source = iter(items)
    waiting: deque[dict[str, jax.Array]] = deque()
    try:
        for rows in source:
            waiting.append(_put(rows, sharding))
            if len(waiting) > ahead:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    except RuntimeError as error:
        if "Worker process was terminated" not in str(error):
            raise
        code = str(error).partition("exit code ")[2].partition(".")[0]
        raise Interrupted(
            f"a data worker was lost (exit code {code}); the same command goes on from the last "
            "checkpoint"
        ) from error
    finally:
        if hasattr(source, "close"):
            source.close()


def _put(rows: Rows, sharding: jax.sharding.Sharding) -> dict[str, jax.Array]:
    put = jax.make_array_from_process_local_data
    return {name: put(sharding, array) for name, array in rows.items()}
