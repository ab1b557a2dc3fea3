"""TPU slices by name, without a TPU: abstract devices that programs can be compiled for.

The XLA TPU compiler comes with libtpu (the extra `tpu`) and runs on any Linux machine. A slice is
named as its owners name it, "v5e:4x8": generation and chips along each dimension of the network.
"""

import importlib.util
import math
import os
import re
from dataclasses import dataclass
from typing import Any

import jax

from physlm_jax.errors import InputError, unknown
from physlm_jax.parallel.chips import CHIPS, Chip

GENERATIONS = {chip.name: chip for chip in CHIPS if chip.dimensions}
FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")  # all that v5e and v6e offer
SMALL = ("2x2x1", "2x2x2", "2x2x4", "2x4x4")  # v4 and v5p offer these and whole cubes of 4
MOST = 8960  # chips of the largest pod


@dataclass(frozen=True)
class Topology:
    """A slice: its chip, its chips along each dimension, and its abstract devices (one a chip)."""

    name: str
    chip: Chip
    shape: tuple[int, ...]
    devices: tuple[jax.Device, ...]

    @property
    def wraps(self) -> tuple[bool, ...]:
        """Whether each dimension is closed into a ring."""
        return _wraps(self.chip, self.shape)


def parse_name(name: str) -> tuple[Chip, tuple[int, ...]]:
    """Returns the chip and the sizes that a name like "v5p:4x4x8" stands for.

    Raises:
        InputError: no such generation, or a shape that is not on offer.
    """
    generation, _, sizes = name.partition(":")
    if generation not in GENERATIONS:
        raise unknown("TPU generation", generation, GENERATIONS, f"topology '{name}'")
    chip = GENERATIONS[generation]
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", sizes):
        raise InputError(f"topology '{name}' should be like {generation}:{_example(chip)}")
    shape = tuple(int(s) for s in sizes.split("x"))
    if chip.dimensions == 2 and sizes not in FLAT:
        raise unknown("shape", sizes, FLAT, f"topology '{name}'")
    cube = len(shape) == 3 and all(s % 4 == 0 for s in shape) and math.prod(shape) <= MOST
    if chip.dimensions == 3 and sizes not in SMALL and not cube:
        raise InputError(
            f"topology '{name}': {generation} slices are {', '.join(SMALL)} or three multiples of "
            f"4 with at most {MOST} chips, like {generation}:{_example(chip)}"
        )
    return chip, shape


def open_topology(name: str) -> Topology:
    """Returns the slice of this name with its abstract devices; starts no accelerator.

    Raises:
        InputError: a wrong name, or libtpu is not installed.
    """
    chip, shape = parse_name(name)
    if importlib.util.find_spec("libtpu") is None and "TPU_LIBRARY_PATH" not in os.environ:
        raise InputError(
            "compiling for a TPU needs libtpu, the extra 'tpu': pip install 'physlm_jax[tpu]'"
        )
    # nothing is run: no metadata server to ask, no hardware to lock against other processes
    os.environ["TPU_SKIP_MDS_QUERY"] = "1"
    os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"
    from jax.experimental import topologies

    options: dict[str, Any] = {"wrap": (*_wraps(chip, shape), False)[:3]}
    if chip.name == "v4":
        options["chip_config_name"] = "megacore"  # its two cores as one device, as jobs see them
    if math.prod(shape) == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=name, **options)
    except jax.errors.JaxRuntimeError as error:
        raise InputError(f"topology '{name}': {error}") from None
    return Topology(name, chip, shape, tuple(found.devices))


def _wraps(chip: Chip, shape: tuple[int, ...]) -> tuple[bool, ...]:
    """v5e and v6e close a dimension of 16; v4 and v5p close all three of a slice of whole cubes."""
    whole = [size % chip.wrap_multiple == 0 for size in shape]
    return tuple(whole) if chip.dimensions == 2 else (all(whole),) * len(shape)


def _example(chip: Chip) -> str:
    return "x".join(["4"] * chip.dimensions)
