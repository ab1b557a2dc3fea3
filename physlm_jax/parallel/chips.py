"""What one accelerator can do, from the vendors' data sheets: the one table of peaks.

TPU figures: cloud.google.com/tpu/docs, pages v4, v5e, v5p, v6e (key specifications). The sheets
give the interconnect as Gbit/s or as bidirectional GB/s per chip; here it is bytes per second of
one link in one direction: 400 GB/s both ways over 4 ports is 50 GB/s (v5e). NVIDIA figures: the
SXM modules' data sheets (dense bfloat16); a network between them is not described here.
"""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """One accelerator.

    Attributes:
        name: what people call it.
        kinds: how JAX's `device_kind` begins.
        flops: peak dense bfloat16 FLOP/s.
        hbm: bytes of device memory.  hbm_bandwidth: bytes/s.
        link_bandwidth: bytes/s of one interconnect link, one way; 0: not described.
        dimensions: of the interconnect's torus; a chip has two links along each.
        wrap_multiple: a slice closes into a torus where its sizes are multiples of this.
    """

    name: str
    kinds: tuple[str, ...]
    flops: float
    hbm: float
    hbm_bandwidth: float
    link_bandwidth: float = 0.0
    dimensions: int = 0
    wrap_multiple: int = 0


CHIPS = (
    Chip("v4", ("TPU v4",), 275e12, 32 * GIB, 1228e9, 50e9, 3, 4),
    Chip("v5e", ("TPU v5 lite", "TPU v5e"), 197e12, 16 * GIB, 819e9, 50e9, 2, 16),
    Chip("v5p", ("TPU v5p", "TPU v5"), 459e12, 95 * GIB, 2765e9, 100e9, 3, 4),
    Chip("v6e", ("TPU v6 lite", "TPU v6e"), 918e12, 32 * GIB, 1638e9, 100e9, 2, 16),
    Chip("H200", ("NVIDIA H200",), 989e12, 141e9, 4800e9),
    Chip("H100", ("NVIDIA H100",), 989e12, 80e9, 3350e9),
    Chip("A100", ("NVIDIA A100",), 312e12, 80e9, 2039e9),
)


def chip_of(device_kind: str) -> Chip | None:
    """Returns the chip whose name for JAX is the longest beginning of `device_kind`, if any."""
    named = [(len(k), chip) for chip in CHIPS for k in chip.kinds if device_kind.startswith(k)]
    return max(named, key=lambda pair: pair[0])[1] if named else None
