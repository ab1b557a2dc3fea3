"""From a world's examples to sharded batches: packing, the Grain stream, the way to the device.

    packing = PackingConfig(length=512)
    share = host_share(sharding, batch=96)            # which rows this process feeds
    dataset = stream(world, packing, seed, batch=96, start=step, hosts=share.hosts, host=share.host)
    for arrays in device_batches(dataset, sharding): ...

Batch t is a pure function of (world, packing, seed, t): the number of hosts, devices, threads and
workers, and where the run was resumed, change nothing in it. The step is the stream's whole state.
"""

from physlm_jax.data.ragged import Ragged
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.pipeline.device import HostShare, device_batches, host_share
from physlm_jax.pipeline.packing import (
    PackingConfig,
    Rows,
    examples_per_block,
    pack_block,
    pack_rows,
)
from physlm_jax.pipeline.stream import held_out, host_rows, prefetch, stack_rows, stacked, stream

__all__ = [
    "HostShare",
    "PackingConfig",
    "Ragged",
    "Rows",
    "Vocabulary",
    "device_batches",
    "examples_per_block",
    "held_out",
    "host_rows",
    "host_share",
    "pack_block",
    "pack_rows",
    "prefetch",
    "stack_rows",
    "stacked",
    "stream",
]
