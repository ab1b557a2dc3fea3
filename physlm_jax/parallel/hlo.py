"""The text of a compiled XLA program as data: computations of instructions with shapes.

Only what costs are counted from is kept. The text is that of `jax.stages.Compiled.as_text()`, for
any platform.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from math import prod

BITS = {"pred": 8, "s4": 4, "u4": 4, "token": 0, "opaque": 0}  # others end in their number of bits
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_LINE = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_NAME = re.compile(r"%([\w.\-]+)")


@dataclass(frozen=True)
class Array:
    """Shape of one array: dtype, sizes, and the layout's text ("2,1,0:T(8,128)S(1)")."""

    dtype: str
    dims: tuple[int, ...]
    layout: str = ""

    @property
    def itemsize(self) -> float:
        """Bytes of one element."""
        found = re.search(r"\d+", self.dtype)  # also of f8e4m3fn, whose first number is its width
        bits = BITS[self.dtype] if self.dtype in BITS else int(found.group()) if found else 32
        return bits / 8

    @property
    def size(self) -> float:
        """Bytes of the elements."""
        return prod(self.dims) * self.itemsize

    @property
    def in_hbm(self) -> bool:
        """False for arrays that the compiler placed in another memory, S(n): on-chip or scalar."""
        return "S(" not in self.layout

    @cached_property
    def padded_size(self) -> float:
        """Bytes in memory: a tiled layout rounds the innermost dimensions up to whole tiles."""
        order, _, tiling = self.layout.partition(":")
        tile = re.search(r"T\(([\d,]+)\)", tiling)
        if not tile or not order:
            return self.size
        dims = [self.dims[int(i)] for i in order.split(",")]  # innermost first
        steps = [int(t) for t in reversed(tile.group(1).split(","))]
        for i, step in enumerate(steps[: len(dims)]):
            dims[i] = -(-dims[i] // step) * step
        return prod(dims) * self.itemsize


@dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
        shapes: the result's arrays, tuples flattened.
        operands: names of the instructions it reads.
        literal: what stands between the parentheses of a constant or parameter.
        attributes: everything after the operands.
    """

    name: str
    opcode: str
    shapes: tuple[Array, ...]
    operands: tuple[str, ...]
    literal: str
    attributes: str
    is_root: bool

    def attribute(self, key: str) -> str:
        """The text of `key=...` up to a comma outside brackets; "" without it."""
        found = re.search(rf"(?:^|[,\s]){key}=", self.attributes)
        return _until_comma(self.attributes[found.end() :]) if found else ""

    @cached_property
    def called(self) -> tuple[str, ...]:
        """Computations that it runs: of a fusion, a call, a loop's body, a conditional."""
        keys = "calls|to_apply|body|branch_computations|true_computation|false_computation"
        found = re.findall(rf"(?:{keys})=(\{{[^}}]*\}}|%?[\w.\-]+)", self.attributes)
        return tuple(name for text in found for name in re.findall(r"%?([\w.\-]+)", text))


@dataclass(frozen=True)
class Computation:
    """A named list of instructions in the order in which they are scheduled."""

    name: str
    instructions: tuple[Instruction, ...]

    @cached_property
    def by_name(self) -> dict[str, Instruction]:
        """Instructions by their names."""
        return {i.name: i for i in self.instructions}

    @cached_property
    def root(self) -> Instruction:
        """The instruction whose value is returned."""
        return next(i for i in self.instructions if i.is_root)

    @cached_property
    def parameters(self) -> dict[int, Instruction]:
        """Parameters by their number."""
        return {int(i.literal): i for i in self.instructions if i.opcode == "parameter"}

    @cached_property
    def users(self) -> dict[str, list[Instruction]]:
        """For each name, the instructions that read it."""
        found: dict[str, list[Instruction]] = {i.name: [] for i in self.instructions}
        for instruction in self.instructions:
            for name in dict.fromkeys(instruction.operands):
                found.setdefault(name, []).append(instruction)
        return found


@dataclass(frozen=True)
class Program:
    """All computations of a compiled program, and which one runs first."""

    computations: dict[str, Computation]
    entry: Computation


def parse(text: str) -> Program:
    """Returns the program that a compiled module's text describes."""
    computations: dict[str, Computation] = {}
    entry = name = ""
    lines: list[str] = []  # of the computation at hand, one per instruction
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            name, lines = header.group(2), []
            entry = name if header.group(1) else entry
        elif line == "}" or line.startswith("}, execution_thread"):
            computations[name] = Computation(name, tuple(_instruction(text) for text in lines))
            name = ""
        elif name and _LINE.match(line):
            lines.append(line)
        elif name and lines:
            lines[-1] += line  # a kernel's description is written over several lines
    if not entry:
        raise ValueError("no ENTRY computation in the program's text")
    return Program(computations, computations[entry])


def _instruction(line: str) -> Instruction:
    root, name, rest = _LINE.match(line).groups()  # type: ignore[union-attr]
    rest = re.sub(r"/\*.*?\*/", "", rest)
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    shapes = tuple(
        Array(dtype, tuple(int(d.lstrip("<=")) for d in dims.split(",") if d), layout)
        for dtype, dims, layout in _ARRAY.findall(rest[:end])
    )
    rest = rest[end:].lstrip()
    opening = rest.index("(")
    closing = _closing(rest, opening)
    inside = rest[opening + 1 : closing]
    operands = () if rest.startswith("constant(") else tuple(_NAME.findall(inside))
    return Instruction(
        name, rest[:opening], shapes, operands, inside, rest[closing + 1 :].lstrip(", "), bool(root)
    )


def _closing(text: str, start: int) -> int:
    """The place of the parenthesis that closes the one at `start`."""
    depth = 0
    for found in re.compile(r"[()]").finditer(text, start):
        depth += 1 if found.group() == "(" else -1
        if depth == 0:
            return found.start()
    raise ValueError(f"unbalanced parentheses: {text[:80]}")


def _until_comma(text: str) -> str:
    depth = 0
    for i, character in enumerate(text):
        depth += character in "([{"
        depth -= character in ")]}"
        if depth < 0 or (depth == 0 and character == "," and i):
            return text[:i]
    return text
