"""Batches on the mesh: one device here, eight and two real processes in subprocesses."""

import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest
from feeder import BATCH, PACKING, SEED, START, STEPS
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding
from toy import Toy

from physlm_jax.errors import InputError
from physlm_jax.pipeline import HostShare, device_batches, held_out, host_share, pack_rows, stream

FEEDER = Path(__file__).with_name("feeder.py")
SECONDS = 120  # a process that hangs is killed after this


def one_device() -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.devices()[:1]), ("data",)), PartitionSpec("data"))


def feed(folder: Path, processes: int, devices: int) -> list[dict[str, np.ndarray]]:
    """Runs `processes` feeders of `devices` CPU devices each; returns what each saved."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    files = [folder / f"{p}.npz" for p in range(processes)]
    commands = [
        [sys.executable, FEEDER, str(file), str(p), str(processes), str(port)]
        for p, file in enumerate(files)
    ]
    running = [
        subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in commands
    ]
    try:
        complaints = [process.communicate(timeout=SECONDS)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert all(process.returncode == 0 for process in running), "\n".join(complaints)
    assert not any("Traceback" in complaint for complaint in complaints)
    return [dict(np.load(file)) for file in files]


def check(saved: list[dict[str, np.ndarray]], devices: int) -> None:
    """The shards of all processes together are the batches that one host would have made."""
    for mesh, shards in (("ordered", devices), ("reversed", devices), ("tensor", devices // 2)):
        rows_per_shard = BATCH // shards
        for t in range(START, START + STEPS):
            rows = pack_rows(Toy(), PACKING, SEED, range(t * BATCH, (t + 1) * BATCH))
            for name, expected in rows.items():
                for first in range(0, BATCH, rows_per_shard):
                    key = f"{mesh}/{t}/{name}/{first}"
                    holders = [s[key] for s in saved if key in s]
                    assert len(holders) == (len(saved) if mesh == "tensor" else 1)
                    for shard in holders:
                        np.testing.assert_array_equal(
                            shard, expected[first : first + rows_per_shard]
                        )
            for s in saved:
                assert s[f"{mesh}/{t}/sum"] == rows["tokens"].sum()


def test_eight_devices_hold_the_same_batches(tmp_path):
    check(feed(tmp_path, processes=1, devices=8), devices=8)


def test_two_processes_hold_the_same_batches(tmp_path):
    check(feed(tmp_path, processes=2, devices=2), devices=4)


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_one_device_in_order_and_closed_at_the_end(ahead):
    before = threading.active_count()
    batches = device_batches(stream(Toy(), PACKING, SEED, BATCH), one_device(), ahead)
    for t in range(5):
        batch = next(batches)
        for name, array in pack_rows(Toy(), PACKING, SEED, range(t * 8, t * 8 + 8)).items():
            assert isinstance(batch[name], jax.Array) and batch[name].dtype == array.dtype
            np.testing.assert_array_equal(batch[name], array)
    batches.close()
    for thread in threading.enumerate():
        if thread.name.startswith("grain-prefetch"):
            thread.join(timeout=10)
    assert threading.active_count() <= before


class Source:
    """An endless iterator of batches that counts what is drawn and notes its closing."""

    drawn, closed = 0, False

    def __iter__(self):
        return self

    def __next__(self):
        self.drawn += 1
        return pack_rows(Toy(), PACKING, SEED, range(4))

    def close(self):
        self.closed = True


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_only_so_many_batches_are_ahead_and_the_source_is_closed(ahead):
    source = Source()
    batches = device_batches(source, one_device(), ahead)
    for t in range(3):
        next(batches)
        assert source.drawn == t + 1 + ahead
    assert not source.closed
    batches.close()
    assert source.closed


def test_a_list_of_batches_is_fed_to_its_end():
    expected = held_out(Toy(), PACKING, 3, 11, 4)
    found = list(device_batches(expected, one_device()))
    assert len(found) == 3
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours["tokens"], theirs["tokens"])


def test_host_share_on_one_process_is_everything():
    assert host_share(one_device(), 8) == HostShare(hosts=1, host=0)
    assert host_share(SingleDeviceSharding(jax.devices()[0]), 8) == HostShare(hosts=1, host=0)


@dataclass(frozen=True)
class Placed:
    """Stands for a sharding over processes that this test doesn't have: only our rows are known."""

    ours: tuple[tuple[int, int], ...]

    def addressable_devices_indices_map(self, shape):
        return {i: (slice(*rows), slice(None)) for i, rows in enumerate(self.ours)}


def test_host_share_is_where_our_devices_lie():
    assert host_share(Placed(((8, 10), (10, 12))), 16) == HostShare(hosts=4, host=2)
    assert host_share(Placed(((0, 8), (0, 8))), 16) == HostShare(hosts=2, host=0)


@pytest.mark.parametrize("ours", [((0, 2), (4, 6)), ((2, 4), (4, 6)), ((0, 6), (6, 12))])
def test_rows_that_are_no_share_are_refused(ours):
    with pytest.raises(InputError, match="order the devices by process") as caught:
        host_share(Placed(ours), 16)
    assert "\n" not in str(caught.value)


def test_a_batch_that_the_mesh_cannot_divide_is_refused():
    class Uneven(Placed):
        device_set = range(8)

        def addressable_devices_indices_map(self, shape):
            raise ValueError("4 row shards")

        def shard_shape(self, shape):
            return (shape[0] // 4, shape[1])

    with pytest.raises(InputError) as caught:
        host_share(Uneven(()), 11)
    assert str(caught.value) == "batch 11 does not divide over 4 row shards; nearest batch: 12"
