"""The device mesh and the table of logical axis rules.

Arrays name their axes by meaning ("embed", "heads", ...); `RULES` alone knows which mesh axes those
are cut over, so that a new layout is a change of one table. All mesh axes are of type Auto: XLA
propagates the rest, from the shardings of inputs and outputs and the points that `constrain` fixes.

The mesh's order is that of its axes below, the last one varying fastest: members of a population
and data-parallel groups lie far apart (whole hosts, whole slices), tensor-parallel devices next to
each other.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from physlm_jax.errors import InputError, unknown

AXES = ("population", "data", "fsdp", "expert", "tensor")

# logical axis -> mesh axes (None: replicated)
RULES: dict[str, str | tuple[str, ...] | None] = {
    "population": "population",
    "batch": ("data", "fsdp", "expert"),
    "group": ("data", "fsdp"),  # rows on their way to experts, which the axis expert then cuts
    "length": None,
    "layers": None,
    "embed": "fsdp",
    "vector": None,  # biases and scales: too small to be cut
    "hidden": "tensor",
    "heads": "tensor",
    "kv_heads": "tensor",
    "head_dim": None,
    "vocab": "tensor",
    "position": None,
    "expert": "expert",
    "route": None,
    "rank": None,  # of a low-rank update
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


def meet(why: str) -> None:
    """Waits until all processes of the job are here; one alone does not wait."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(why)


def all_agree(fine: bool) -> bool:
    """Returns whether every process of the job says so; all of them must ask."""
    if jax.process_count() == 1:
        return fine
    return bool(np.all(multihost_utils.process_allgather(np.asarray(fine))))


def partition_spec(
    names: Sequence[str | None],
    shape: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> PartitionSpec:
    """Returns the mesh axes for an array whose axes have these logical names (None: whole).

    Args:
        shape: of the array, with the mesh's `sizes`: an axis that its mesh axes do not divide stays
            whole (two key heads on four tensor-parallel devices, an odd vocabulary).
    Raises:
        InputError: a name missing from `RULES`.
    """
    for name in names:
        if name is not None and name not in RULES:
            raise unknown("logical axis", name, RULES, "parallel.mesh.RULES")
    axes = [None if name is None else RULES[name] for name in names]
    if shape is not None and sizes is not None:
        axes = [a if n % _cuts(a, sizes) == 0 else None for a, n in zip(axes, shape, strict=True)]
    return PartitionSpec(*axes)


def _cuts(axes: str | tuple[str, ...] | None, sizes: Mapping[str, int]) -> int:
    """Into how many pieces these mesh axes cut an array's axis."""
    return math.prod(sizes[a] for a in ((axes,) if isinstance(axes, str) else axes or ()))


def sharding(mesh: Mesh, *names: str | None) -> NamedSharding:
    """Returns the sharding of an array whose axes have these logical names."""
    return NamedSharding(mesh, partition_spec(names))


def tree_shardings(mesh: Mesh, axes: Any, shapes: Any, lead: tuple[str, ...] = ()) -> Any:
    """Returns the shardings of a pytree: axes that do not divide stay whole.

    Args:
        axes: leaf by leaf, the tuple of logical names.
        shapes: the same tree of arrays or their shapes and dtypes.
        lead: names of axes in front of those of every leaf.
    """
    return jax.tree.map(
        lambda x, names: NamedSharding(
            mesh, PartitionSpec(*partition_spec(lead), *partition_spec(names, x.shape, mesh.shape))
        ),
        shapes,
        axes,
    )


def constrain(x: jax.Array, *names: str | None) -> jax.Array:
    """Returns x, laid out over the mesh of the context by these logical names (None: whole).

    Without a mesh (`jax.sharding.use_abstract_mesh`), or on one of a single device, x is returned
    as it is. Under `jax.vmap(..., spmd_axis_name=...)` the mapped axis is cut over that mesh axis.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    return jax.lax.with_sharding_constraint(x, partition_spec(names, x.shape, mesh.shape))


def row_groups(sizes: Mapping[str, int] | None = None) -> int:
    """Returns into how many groups a mesh cuts a batch.

    Args:
        sizes: of the mesh's axes; None: of the context's mesh, 1 without one.
    """
    if sizes is None:
        mesh = jax.sharding.get_abstract_mesh()
        return 1 if mesh.empty else _cuts(RULES["batch"], mesh.shape)
    return _cuts(RULES["batch"], sizes)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def gathered(x: jax.Array, names: tuple[str, ...], dtype: jnp.dtype) -> jax.Array:
    """Returns a parameter as its layer uses it: in `dtype`, and whole where only storage is cut.

    What the fsdp axis cuts is put together for the time of its use, after the change of type, so
    that fewer bytes travel; its gradient goes straight back to the pieces (a reduce-scatter). Left
    to itself, XLA may cut activations by their width instead.

    Args:
        names: logical names of x's axes.
    """
    used = (None if RULES[name] == "fsdp" else name for name in names)
    return constrain(x.astype(dtype), *used)


def _gathered_forward(x: jax.Array, names: tuple[str, ...], dtype: jnp.dtype) -> tuple[Any, Any]:
    return gathered(x, names, dtype), None


def _gathered_backward(names: tuple[str, ...], _: Any, saved: Any, g: jax.Array) -> tuple[Any]:
    return (constrain(g, *names).astype(jnp.float32),)


gathered.defvjp(_gathered_forward, _gathered_backward)
