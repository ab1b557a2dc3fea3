"""One process of a test: feeds its rows to a mesh over all devices and saves the shards it holds.

    python feeder.py OUT.npz PROCESS PROCESSES PORT

The file holds every addressable shard of three batches under `mesh/t/name/first row`, and sums over
the global batch, for three meshes: devices in order, reversed, and with a second axis that runs
across the halves of the devices (two processes then feed the same rows).
"""

import sys
from collections.abc import Iterator
from itertools import islice

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from toy import Toy

from physlm_jax.pipeline import PackingConfig, device_batches, host_share, stream

BATCH, START, STEPS, SEED = 8, 6, 3, 11
PACKING = PackingConfig(12, "best_fit", rows_per_block=1)


def fed(sharding: NamedSharding) -> Iterator[dict[str, jax.Array]]:
    """The batches START .. START + STEPS - 1 as this process sees them."""
    share = host_share(sharding, BATCH)
    dataset = stream(Toy(), PACKING, SEED, BATCH, START, share.hosts, share.host)
    batches = device_batches(dataset, sharding)
    yield from islice(batches, STEPS)
    batches.close()


def main(out: str, process: int, processes: int, port: int) -> None:
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)
    saved = {}
    devices = np.array(jax.devices())
    meshes = {
        "ordered": Mesh(devices, ("data",)),
        "reversed": Mesh(devices[::-1], ("data",)),
        "tensor": Mesh(devices.reshape(2, -1).T, ("data", "tensor")),
    }
    for mesh, laid_out in meshes.items():
        sharding = NamedSharding(laid_out, PartitionSpec("data"))
        for t, batch in enumerate(fed(sharding), start=START):
            for name, array in batch.items():
                for shard in array.addressable_shards:
                    first = shard.index[0].indices(BATCH)[0]
                    saved[f"{mesh}/{t}/{name}/{first}"] = np.asarray(shard.data)
            saved[f"{mesh}/{t}/sum"] = np.asarray(jax.jit(lambda x: x.sum())(batch["tokens"]))
    np.savez(out, **saved)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
