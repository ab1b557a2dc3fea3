"""What a compiled program costs one device per run: FLOPs, memory traffic, collectives.

XLA's own cost analysis counts a loop's body once; here every loop's body counts as often as it
runs. FLOPs are those of matrix products alone (dots, convolutions, and what is known of Pallas
kernels, whose text is sealed); everything elementwise runs beside them on other units and is
bounded by its traffic. Traffic is what each scheduled instruction reads from and writes to device
memory: arrays that the compiler placed on chip cost nothing, a slice costs what it slices.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod

import numpy as np

from physlm_jax.parallel.hlo import Array, Computation, Instruction, Program
from physlm_jax.parallel.hlo_loops import trip_count

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "ragged-all-to-all",
    "collective-broadcast",
)
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "while"}
_FREE |= {"call", "conditional", "partition-id", "replica-id", "opt-barrier"}
_PARTIAL = ("dynamic-slice", "slice", "gather")
_KERNEL = "tpu_custom_call"  # a Pallas kernel
KernelFlops = Callable[[str, Sequence[Array]], float | None]


@dataclass(frozen=True)
class Collective:
    """One collective instruction.

    Attributes:
        kind: of `COLLECTIVES`.  dtype: of its largest array.
        size: bytes of the whole array that is gathered, reduced or exchanged, per device.
        group: the devices (places in the mesh) of one group, or the pairs of a permutation.
        times: how often it runs per step.
        source: the operation of the model that asked for it.
    """

    kind: str
    dtype: str
    size: float
    group: tuple[int, ...]
    times: int
    source: str

    @property
    def wire(self) -> float:
        """Bytes that a device receives each time: (n - 1) / n of the array, twice if reduced."""
        n = len(self.group)
        if self.kind in ("collective-permute", "collective-broadcast"):
            return self.size if n > 1 else 0.0
        return self.size * (n - 1) / n * (2 if self.kind == "all-reduce" else 1)


@dataclass
class Costs:
    """Totals of one run on one device.

    Attributes:
        flops: of matrix products.  kernel_flops: the part that lies in Pallas kernels.
        hbm: bytes read from and written to device memory.
        unknown: loops whose length the text does not tell (counted once), kernels (not counted).
    """

    flops: float = 0.0
    kernel_flops: float = 0.0
    hbm: float = 0.0
    collectives: list[Collective] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def wire(self) -> float:
        """Bytes received over the network."""
        return sum(c.wire * c.times for c in self.collectives)


def count(program: Program, kernel_flops: KernelFlops = lambda *_: None) -> Costs:
    """Returns the costs of one run of the program.

    Args:
        kernel_flops: (name, shapes of the operands) -> FLOPs of a Pallas kernel that carries no
            estimate of its own; None for one that it does not know.
    """
    costs = Costs()
    pieces: dict[tuple[str, str], list[tuple[bool, Collective]]] = {}
    for computation, times in _scheduled(program, costs):
        for instruction in computation.instructions:
            costs.hbm += times * traffic(program, computation, instruction)
            for inner, found in _inside(program, computation, instruction):
                if _KERNEL in found.attributes:
                    flops = _kernel_flops(inner, found, kernel_flops, costs)
                    costs.kernel_flops += times * flops
                else:
                    flops = instruction_flops(inner, found)
                costs.flops += times * flops
                one = _collective(inner, found, times)
                if one is None:
                    continue
                chain = re.search(r'chain_id="(\d+)"', found.attributes)
                if chain is None:
                    costs.collectives.append(one)
                else:
                    key = (found.attribute("channel_id"), chain.group(1))
                    _remember(pieces.setdefault(key, []), inner, one)
    for parts in pieces.values():
        costs.collectives += [one for _, one in parts]
    return costs


def _remember(parts: list[tuple[bool, Collective]], inner: Computation, one: Collective) -> None:
    """Keeps the pieces that tell how often a collective runs that is overlapped with computation.

    The TPU compiler writes it, under one channel and chain, into every fusion that carries on with
    it; those that start it count, or where none is marked so, one that runs least often.
    """
    starts = any("AsyncCollectiveStart" in i.attributes for i in inner.instructions)
    before = parts[0] if parts else None
    if before is None or starts > before[0]:
        parts[:] = [(starts, one)]
    elif starts and before[0]:
        parts.append((starts, one))
    elif not starts and not before[0] and one.times < before[1].times:
        parts[:] = [(starts, one)]


def _scheduled(program: Program, costs: Costs) -> Iterator[tuple[Computation, int]]:
    """Yields the computations whose instructions run one after another, and how often."""
    todo = [(program.entry, 1)]
    while todo:
        computation, times = todo.pop()
        yield computation, times
        for instruction in computation.instructions:
            if instruction.opcode == "while":
                trips = trip_count(program, computation, instruction)
                if trips is None:
                    costs.unknown.append(f"loop {instruction.name} of unknown length")
                body = program.computations[instruction.called[0]]
                todo.append((body, times * (1 if trips is None else trips)))
            elif instruction.opcode in ("call", "conditional"):
                todo += [(program.computations[name], times) for name in instruction.called]


def _inside(
    program: Program, computation: Computation, instruction: Instruction
) -> Iterator[tuple[Computation, Instruction]]:
    """Yields the instruction, or for a fusion (or what runs asynchronously) all that is in it."""
    if instruction.opcode not in ("fusion", "async-start"):
        yield computation, instruction
        return
    for name in instruction.called:
        inner = program.computations[name]
        for found in inner.instructions:
            yield from _inside(program, inner, found)


def instruction_flops(computation: Computation, instruction: Instruction) -> float:
    """FLOPs (two per multiply-add) of a dot or a convolution; others 0."""
    if instruction.opcode == "dot":
        lhs = computation.by_name[instruction.operands[0]].shapes[0]
        contracted = re.findall(r"\d+", instruction.attribute("lhs_contracting_dims"))
        out = instruction.shapes[0]
        return 2.0 * prod(out.dims) * prod(lhs.dims[int(d)] for d in contracted)
    if instruction.opcode == "convolution":
        lhs, rhs = (computation.by_name[name].shapes[0] for name in instruction.operands[:2])
        return _convolution_flops(instruction, lhs, rhs)
    return 0.0


def _kernel_flops(
    computation: Computation, instruction: Instruction, known: KernelFlops, costs: Costs
) -> float:
    """A kernel's own estimate, or what is known of it; else 0 and a note."""
    estimate = re.search(r'cost_estimate.*?flops\\*"?:\s*\\*"?(\d+)', instruction.attributes)
    if estimate:
        return float(estimate.group(1))
    operands = [computation.by_name[name].shapes[0] for name in instruction.operands]
    flops = known(instruction.name, operands)
    if flops is None:
        costs.unknown.append(f"FLOPs of kernel {instruction.name}")
    return flops or 0.0


def _convolution_flops(instruction: Instruction, lhs: Array, rhs: Array) -> float:
    """Counts the products with real elements: the TPU writes batched dots as dilated windows."""
    inputs, kernel, outputs = re.split(r"_|->", instruction.attribute("dim_labels"))
    window = dict(re.findall(r"(\w+)=([\w\-]+)", instruction.attribute("window")))
    out = instruction.shapes[0]
    products = out.dims[outputs.index("b")] * out.dims[outputs.index("f")]
    products *= rhs.dims[kernel.index("i")]
    spatial = sum(c.isdigit() for c in outputs)

    def option(key: str, default: int, i: int) -> int:
        return int(window[key].split("x")[i]) if key in window else default

    for i in range(spatial):
        low = int(window["pad"].split("x")[i].split("_")[0]) if "pad" in window else 0
        products *= _window_products(
            lhs.dims[inputs.index(str(i))],
            rhs.dims[kernel.index(str(i))],
            out.dims[outputs.index(str(i))],
            low,
            option("stride", 1, i),
            option("lhs_dilate", 1, i),
            option("rhs_dilate", 1, i),
        )
    return 2.0 * products


@cache
def _window_products(
    size: int, window: int, out: int, low: int, stride: int, dilate: int, spread: int
) -> int:
    """Pairs (place in the output, place in the window) that meet an element of the input."""
    places = np.arange(out)[:, None] * stride + np.arange(window)[None, :] * spread - low
    inside = (places >= 0) & (places <= (size - 1) * dilate) & (places % dilate == 0)
    return int(inside.sum())


def _collective(
    computation: Computation, instruction: Instruction, times: int
) -> Collective | None:
    kind = instruction.opcode.removesuffix("-start")
    if kind not in COLLECTIVES:
        return None
    if computation.name.startswith("all-reduce-scatter"):
        kind = "reduce-scatter"  # the TPU's fusion of a reduction with the slice that is kept
    arrays = [a for name in instruction.operands for a in computation.by_name[name].shapes]
    group = replica_group(instruction)
    size = sum(a.size for a in arrays) * (len(group) if kind == "all-gather" else 1)
    largest = max(arrays, key=lambda a: a.size, default=None)
    source = re.search(r'op_name="([^"]*)"', instruction.attributes)
    return Collective(
        kind,
        largest.dtype if largest else "",
        size,
        group,
        times,
        source.group(1) if source else "",
    )


def replica_group(instruction: Instruction) -> tuple[int, ...]:
    """Returns the devices of the collective's first group (of a permutation: its first pair).

    Three notations are read: {{0,1},{2,3}}, [groups,size]<=[4,4]T(1,0), and
    mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'b'}, whose middle part is left out where the
    devices are in order; an empty list of groups has no members here.
    """
    mesh = re.search(r"replica_groups=mesh(\[.*?\])(.*?) \{(.*?)\}", instruction.attributes)
    if mesh:
        return _mesh_group(*mesh.groups())
    pairs = instruction.attribute("source_target_pairs")
    text = pairs or instruction.attribute("replica_groups")
    if "<=" in text:
        shape, _, source = text.partition("<=")
        return tuple(int(i) for i in _iota(source).reshape(_integers(shape))[0])
    first = re.search(r"\{([\d,\s]+)\}", text)
    return tuple(_integers(first.group(1))) if first else ()


def _mesh_group(axes: str, order: str, chosen: str) -> tuple[int, ...]:
    """The devices that share the first one's place along all axes but the chosen ones."""
    sizes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", axes)}
    shape = tuple(sizes.values())
    devices = (_iota(order) if order else np.arange(prod(shape))).reshape(shape)
    along = {
        name: int(size) if size else sizes[name]  # 'a':(1)2 is a part of an axis
        for name, size in re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", chosen)
    }
    place = tuple(slice(0, along[name]) if name in along else 0 for name in sizes)
    return tuple(int(i) for i in np.ravel(devices[place]))


def _iota(text: str) -> np.ndarray:
    """The devices of "[4,4]T(1,0)": counted in rows, the axes then permuted."""
    dims, _, order = text.partition("T")
    sizes = _integers(dims)
    devices = np.arange(prod(sizes)).reshape(sizes)
    return devices.transpose(_integers(order)) if order else devices


def _integers(text: str) -> list[int]:
    return [int(i) for i in re.findall(r"\d+", text)]


def traffic(program: Program, computation: Computation, instruction: Instruction) -> float:
    """Bytes of device memory that one scheduled instruction reads and writes."""
    opcode = instruction.opcode
    if opcode in _FREE or opcode.endswith("-done") or opcode == "async-update":
        return 0.0
    if opcode == "custom-call" and _KERNEL not in instruction.attributes:
        return 0.0  # the TPU's others are allocations and hints
    operands = [computation.by_name[name].shapes for name in instruction.operands]
    if opcode == "fusion":
        inner = program.computations[instruction.called[0]]
        read = sum(
            _read(program, inner, i, shapes[0].padded_size)
            for i, shapes in enumerate(operands)
            if shapes and shapes[0].in_hbm
        )
        return read + _written(inner, instruction.shapes)
    if opcode.startswith(("copy-start", "slice-start", "dynamic-slice-start")):
        moved = instruction.shapes[0 if opcode == "copy-start" else -2]
        sides = [moved, operands[0][0]] if operands and operands[0] else [moved]
        return sum(moved.padded_size for side in sides if side.in_hbm)
    if opcode in _PARTIAL:
        return 2.0 * _hbm(instruction.shapes)
    if opcode == "dynamic-update-slice":
        return 2.0 * _hbm(operands[1])
    return sum(_hbm(shapes) for shapes in operands) + _hbm(instruction.shapes)


def _hbm(shapes: tuple[Array, ...]) -> float:
    return sum(a.padded_size for a in shapes if a.in_hbm)


def _read(program: Program, computation: Computation, parameter: int, whole: float) -> float:
    """Bytes that a fused computation reads of its parameter: the slices, if it only slices it."""
    if parameter not in computation.parameters:
        return whole
    total = 0.0
    for name, use in _uses(computation, computation.parameters[parameter].name):
        if use.opcode in _PARTIAL and use.operands[0] == name:
            total += sum(a.size for a in use.shapes)
        elif use.opcode == "fusion":
            inner = program.computations[use.called[0]]
            places = [i for i, operand in enumerate(use.operands) if operand == name]
            total += sum(_read(program, inner, i, whole) for i in places)
        elif use.opcode == "dynamic-update-slice" and use.operands[0] == name:
            continue  # updated in place
        elif use.opcode != "tuple" and "AsyncCollective" not in use.attributes:
            return whole
    return min(total, whole)


def _uses(computation: Computation, name: str) -> Iterator[tuple[str, Instruction]]:
    for use in computation.users.get(name, []):
        if use.opcode == "bitcast":
            yield from _uses(computation, use.name)
        else:
            yield name, use


def _written(computation: Computation, shapes: tuple[Array, ...]) -> float:
    """Bytes that a fused computation writes: of an array updated in place, only the update."""
    root = computation.root
    leaves = [computation.by_name[n] for n in root.operands] if root.opcode == "tuple" else [root]
    if len(leaves) != len(shapes):
        return 0.0 if "AsyncCollective" in root.attributes else _hbm(shapes)
    total = 0.0
    for leaf, shape in zip(leaves, shapes, strict=True):
        while leaf.opcode == "bitcast":
            leaf = computation.by_name[leaf.operands[0]]
        if leaf.opcode == "parameter" or "AsyncCollective" in leaf.attributes or not shape.in_hbm:
            continue
        updated = leaf.opcode == "dynamic-update-slice"
        update = computation.by_name[leaf.operands[1]].shapes[0] if updated else shape
        total += update.padded_size
    return total
