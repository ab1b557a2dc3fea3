"""The device mesh and the table of logical axis rules.

Arrays name their axes by meaning ("embed", "heads", ...); `RULES` alone knows which mesh axes those
are cut over, so that a new layout is a change of one table. All mesh axes are of type Auto: XLA
propagates the rest, from the shardings of inputs and outputs and the points that `constrain` fixes.

The mesh's order is that of its axes below, the last one varying fastest: members of a population
and data-parallel groups lie far apart (whole hosts, whole slices), tensor-parallel devices next to
each other.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from physlm_jax.errors import InputError, unknown

AXES = ("population", "data", "fsdp", "expert", "tensor")

# logical axis -> mesh axes (None: replicated)
RULES: dict[str, str | tuple[str, ...] | None] = {
    "population": "population",
    "batch": ("data", "fsdp"),
    "length": None,
    "layers": None,
    "embed": "fsdp",
    "hidden": "tensor",
    "heads": "tensor",
    "kv_heads": "tensor",
    "head_dim": None,
    "vocab": "tensor",
    "position": None,
}


def make_mesh(sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh with the axes of `AXES` over all devices of the job, ordered by host.

    Args:
        sizes: devices along each axis; one of them may be -1 for "all that is left".
        devices: the devices to use; default all.
    Raises:
        InputError: an unknown axis, or sizes that ask for more or fewer devices than there are.
    """
    for name in sizes:
        if name not in AXES:
            raise unknown("mesh axis", name, AXES, "config.mesh")
    devices = sorted(jax.devices() if devices is None else devices, key=_place)
    shape = [int(sizes.get(axis, 1)) for axis in AXES]
    fixed = math.prod(s for s in shape if s != -1)
    if shape.count(-1) == 1 and fixed > 0:
        shape[shape.index(-1)] = max(len(devices) // fixed, 1)
    asked = math.prod(shape)
    if min(shape) < 1 or asked != len(devices):
        wanted = ", ".join(f"{a}={s}" for a, s in zip(AXES, shape, strict=True))
        raise InputError(
            f"config.mesh asks for {asked} devices ({wanted}) but there are {len(devices)} "
            f"({devices[0].platform}); one axis may be -1 for all that is left"
        )
    return Mesh(np.array(devices).reshape(shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def _place(device: jax.Device) -> tuple[int, int, int]:
    """Slice, process, number: so that each process holds contiguous rows of a batch."""
    return getattr(device, "slice_index", None) or 0, device.process_index, device.id


def partition_spec(names: Sequence[str | None]) -> PartitionSpec:
    """Returns the mesh axes for an array whose axes have these logical names (None: replicated).

    Raises:
        InputError: a name missing from `RULES`.
    """
    for name in names:
        if name is not None and name not in RULES:
            raise unknown("logical axis", name, RULES, "parallel.mesh.RULES")
    return PartitionSpec(*(None if n is None else RULES[n] for n in names))


def sharding(mesh: Mesh, *names: str | None) -> NamedSharding:
    """Returns the sharding of an array whose axes have these logical names."""
    return NamedSharding(mesh, partition_spec(names))


def tree_shardings(mesh: Mesh, axes: Any) -> Any:
    """Returns the shardings of a pytree given, leaf by leaf, as tuples of logical names."""
    return jax.tree.map(
        lambda names: sharding(mesh, *names), axes, is_leaf=lambda x: isinstance(x, tuple)
    )


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
    """Returns x, laid out over the mesh of the context by these logical names (None: whole).

    Without a mesh (`jax.set_mesh`), or on one of a single device, x is returned as it is. Under
    `jax.vmap(..., spmd_axis_name=...)` the mapped axis is cut over that mesh axis.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    return jax.lax.with_sharding_constraint(x, partition_spec(names))
