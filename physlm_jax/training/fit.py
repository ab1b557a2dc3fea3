"""Does a configuration fit a TPU slice, and how fast could it train there? Asked of the compiler.

The real train step is compiled ahead of time for abstract devices: memory is what the compiler
allots, FLOPs, traffic and collectives are counted in its program (`parallel.hlo_costs`), speed is
bounded by the data sheet (`parallel.roofline`). No accelerator is used.
"""

import contextlib
import dataclasses
import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh
from ml_collections import ConfigDict

from physlm_jax.data import open_world
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.attention import tpu
from physlm_jax.parallel import hlo, hlo_costs
from physlm_jax.parallel.chips import GIB
from physlm_jax.parallel.mesh import make_mesh, row_groups
from physlm_jax.parallel.roofline import Roofline, roofline
from physlm_jax.parallel.topology import Topology
from physlm_jax.pipeline import stream
from physlm_jax.training.config import model_config
from physlm_jax.training.plan import Plan, make_plan
from physlm_jax.training.step import Program, abstract_state, make_train_step

# the arrays of a batch, see pipeline.packing
ROWS = {
    "tokens": "int32",
    "targets": "int32",
    "segment_ids": "int32",
    "positions": "int32",
    "weights": "float32",
}


@dataclass(frozen=True)
class Memory:
    """Bytes per chip.

    Attributes:
        params, optimizer: of the state, as cut over the mesh (before padding to tiles).
        temporary: activations, gradients and everything else the step allots and frees.
        total: all that the program needs at its peak, its code included.
        limit: the chip's memory; where the compiler refused, what it has to give.
    """

    params: float
    optimizer: float
    temporary: float
    total: float
    limit: float


@dataclass(frozen=True)
class Traffic:
    """Collectives of one kind along the same mesh axes, in one part of the step.

    Attributes:
        part: "forward", "backward" or "update".  axes: names of mesh axes.  group: devices in one.
        times: executed per step.  largest: bytes of the largest array.
        bytes: received per chip and step.
    """

    kind: str
    dtype: str
    part: str
    axes: str
    group: int
    times: int
    largest: float
    bytes: float


@dataclass(frozen=True)
class Report:
    """One answer; sizes are bytes per chip, times seconds, rates per second.

    Attributes:
        members: of a population, K; 1: one run.
        fits: the verdict.  reason: why not, "" if it fits.  advice: what to try, verified.
        flops: of matrix products per chip and step, recomputation included.
        model_flops: the model's own per chip and step (6 N + attention).
        hbm: bytes read and written per chip and step.  wire: bytes received over the network.
        paper_wire: what fully sharded training needs on paper, see `paper_wire`.
        notes: what could not be counted.
    """

    name: str
    topology: str
    chips: int
    mesh: str
    batch: int
    rows_per_chip: float
    accumulation: int
    length: int
    parameters: int
    members: int
    fits: bool
    reason: str = ""
    advice: str = ""
    memory: Memory | None = None
    flops: float = 0.0
    model_flops: float = 0.0
    hbm: float = 0.0
    wire: float = 0.0
    paper_wire: float = 0.0
    traffic: tuple[Traffic, ...] = ()
    roofline: Roofline | None = None
    mfu: float = 0.0
    tokens_per_second: float = 0.0
    compile_seconds: float = 0.0
    notes: tuple[str, ...] = ()


def check(config: ConfigDict, topology: Topology, rows_per_chip: int = 0) -> Report:
    """Compiles the configuration's train step for a slice and returns what that tells.

    Args:
        rows_per_chip: sets the global batch to this many rows times the chips; 0: config.batch.
    Raises:
        InputError: a wrong configuration.
    """
    config = config.copy_and_resolve_references()
    chips = len(topology.devices)
    if rows_per_chip:
        config.batch = rows_per_chip * chips
    mesh = make_mesh(config.mesh, topology.devices)
    model = model_config(config, open_world(config.data))
    about = Report(
        name=config.name,
        topology=topology.name,
        chips=chips,
        mesh=" ".join(f"{axis}={n}" for axis, n in mesh.shape.items() if n > 1) or "1 device",
        batch=config.batch,
        rows_per_chip=config.batch / chips,
        accumulation=config.accumulation,
        length=config.pipeline.length,
        parameters=transformer.parameter_count(model),
        members=config.population,
        fits=False,
    )
    try:
        plan = make_plan(config, topology.devices)
    except InputError as error:
        if _divides(config, mesh):
            raise
        return dataclasses.replace(about, reason=str(error))
    if reason := _unshared(plan, topology):
        return dataclasses.replace(about, reason=reason)
    return _compiled(about, plan, topology)


def _divides(config: ConfigDict, mesh: Mesh) -> bool:
    """Whether every micro-batch, if they are equal at all, can be cut over the mesh."""
    rows, rest = divmod(config.batch, max(config.accumulation, 1))
    return rest != 0 or rows % row_groups(mesh.shape) == 0


def _unshared(plan: Plan, topology: Topology) -> str:
    """Why the slice's hosts cannot feed the batch, "" if they can."""
    hosts = len({device.process_index for device in topology.devices})
    try:
        stream(plan.worlds[0], plan.packing, 0, plan.config.batch, hosts=hosts)
    except InputError as error:
        return str(error)
    return ""


def _compiled(about: Report, plan: Plan, topology: Topology) -> Report:
    lowered, state = _lower(plan.program, about.batch, about.length)
    params, optimizer = _held(state["params"]), _held(state["optimizer"])
    began = time.monotonic()
    try:
        with _uncached():
            compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        memory = _refused(str(error), params, optimizer)
        return dataclasses.replace(
            about,
            memory=memory,
            reason=f"needs {memory.total / GIB:.2f} GiB a chip of {memory.limit / GIB:.2f}",
        )
    seconds = time.monotonic() - began
    mesh = plan.program.mesh
    costs = hlo_costs.count(hlo.parse(compiled.as_text()), _attention(plan.program.model.causal))
    place = {device.id: i for i, device in enumerate(topology.devices)}
    bound = roofline(costs, topology, [place[d.id] for d in mesh.devices.flat])
    model_flops = plan.flops() / about.chips
    return dataclasses.replace(
        about,
        fits=True,
        memory=_allotted(compiled.memory_analysis(), params, optimizer, topology.chip.hbm),
        flops=costs.flops,
        model_flops=model_flops,
        hbm=costs.hbm,
        wire=costs.wire,
        paper_wire=paper_wire(plan.program, about.parameters),
        traffic=gathered(costs.collectives, mesh),
        roofline=bound,
        mfu=model_flops / bound.step / topology.chip.flops,
        tokens_per_second=about.batch * about.length * len(plan.members) / bound.step,
        compile_seconds=seconds,
        notes=tuple(dict.fromkeys(costs.unknown)),
    )


@contextlib.contextmanager
def _uncached() -> Iterator[None]:
    """Turns the compilation cache off: JAX cannot read programs for abstract devices back."""
    enabled = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # it remembers whether it is on
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", enabled)
        compilation_cache.reset_cache()


def _lower(program: Program, batch: int, length: int) -> tuple[Any, Any]:
    """Returns the train step traced for the program's devices, and its abstract state."""
    state = abstract_state(program)
    shape = (*(() if program.shared_rows else (program.members,)), batch, length)
    rows = {
        name: jax.ShapeDtypeStruct(shape, dtype, sharding=program.rows)
        for name, dtype in ROWS.items()
    }
    step: Any = make_train_step(program)
    return step.lower(state, rows), state


def _attention(causal: bool) -> hlo_costs.KernelFlops:
    """What is known of the model's Pallas kernels: splash attention's."""

    def flops(name: str, operands: Sequence[hlo.Array]) -> float | None:
        if "splash" not in name:
            return None
        queries, keys = [a.dims for a in operands if a.dtype in ("bf16", "f32")][:2]
        return tpu.kernel_flops(name, queries, keys, causal)

    return flops


def _held(tree: Any) -> float:
    """Bytes of a tree of abstract arrays on one device."""
    return float(
        sum(
            math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
            for x in jax.tree.leaves(tree)
        )
    )


def _allotted(stats: Any, params: float, optimizer: float, limit: float) -> Memory:
    total = (
        stats.argument_size_in_bytes
        + stats.output_size_in_bytes
        - stats.alias_size_in_bytes
        + stats.temp_size_in_bytes
        + stats.generated_code_size_in_bytes
    )
    return Memory(params, optimizer, stats.temp_size_in_bytes, total, limit)


def _refused(message: str, params: float, optimizer: float) -> Memory:
    """Reads what the compiler says when a program is too large for the chip.

    Raises:
        InputError: it says something else.
    """
    sizes = [float(n) * 1024 ** "KMGT".index(u) * 1024 for n, u in _SIZES.findall(message)]
    if "RESOURCE_EXHAUSTED" not in message or len(sizes) < 2:
        raise InputError(f"the compiler refuses this program: {message.splitlines()[0]}")
    needed, limit = sizes[0], sizes[1]
    return Memory(params, optimizer, needed - params - optimizer, needed, limit)


_SIZES = re.compile(r"(\d+(?:\.\d+)?)([KMGT])\b")


def gathered(collectives: Sequence[hlo_costs.Collective], mesh: Mesh) -> tuple[Traffic, ...]:
    """Returns the collectives added up by kind, dtype, axes and part of the step, largest first."""
    groups: dict[tuple, list[hlo_costs.Collective]] = {}
    for one in collectives:
        key = (one.kind, one.dtype, _part(one.source), mesh_axes(one.group, mesh))
        groups.setdefault(key, []).append(one)
    found = [
        Traffic(
            kind,
            dtype,
            part,
            axes,
            math.prod(mesh.shape[a] for a in axes.split("+") if a),
            sum(one.times for one in ones),
            max(one.size for one in ones),
            sum(one.times * one.wire for one in ones),
        )
        for (kind, dtype, part, axes), ones in groups.items()
    ]
    return tuple(sorted(found, key=lambda t: -t.bytes))


def _part(source: str) -> str:
    """The part of the step that an operation's name tells."""
    if "transpose(" in source or "rematted" in source:
        return "backward"
    return "forward" if "jvp(" in source else "update"


def mesh_axes(group: Sequence[int], mesh: Mesh) -> str:
    """Returns the names of the mesh axes along which a group's devices differ, joined by "+"."""
    places = np.unravel_index(list(group), tuple(mesh.shape.values()))
    return "+".join(a for a, at in zip(mesh.shape, places, strict=True) if len(set(at)) > 1)


def paper_wire(program: Program, parameters: int) -> float:
    """Bytes a chip receives per step on paper when a model's parameters are cut over n fsdp chips.

    Every micro-batch gathers all parameters for the forward and for the backward pass and
    reduces their gradients, each (n - 1) / n of them in the activations' dtype; with d > 1
    copies of that (data), the gradients are also reduced between copies, in float32. 0 where the
    mesh has other axes, whose traffic depends on activations.
    """
    mesh = program.mesh
    d, n = mesh.shape["data"], mesh.shape["fsdp"]
    if mesh.size != d * n:
        return 0.0
    parameters *= max(program.members, 1)
    each = jnp.dtype(program.model.dtype).itemsize * parameters * (n - 1) / n
    return 3 * program.accumulation * each + 2 * (d - 1) / d * 4 * parameters / n
