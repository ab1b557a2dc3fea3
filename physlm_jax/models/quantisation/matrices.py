"""The matrices of a model: which there are, and their arrays as inputs x outputs and back.

A kernel [*lead, *inputs, *outputs] has an axis of layers (or experts) in front where it is stacked.
A table [V, D] is the matrix of the output map that it may also be: D inputs, V outputs.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from physlm_jax.errors import InputError, unknown
from physlm_jax.models import transformer
from physlm_jax.models.lora.rules import TABLES
from physlm_jax.models.paths import Path, flat
from physlm_jax.models.quantisation.standin import Quantised
from physlm_jax.models.transformer import TransformerConfig

LEAD = ("layers", "expert")  # logical axes that number matrices


@dataclasses.dataclass(frozen=True)
class Matrix:
    """How one parameter is a matrix.

    Attributes:
        path: in the tree.
        lead, inputs, outputs: sizes of its axes; those of a table are (), (D,) and (V,).
    """

    path: Path
    lead: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def name(self) -> str:
        """The path as patterns see it."""
        return "/".join(self.path)

    @property
    def is_table(self) -> bool:
        """Read by look-ups; stored [V, D]."""
        return self.path[-1] in TABLES

    @property
    def shape(self) -> tuple[int, ...]:
        """The parameter's own shape."""
        if self.is_table:
            return (*self.outputs, *self.inputs)
        return (*self.lead, *self.inputs, *self.outputs)

    @property
    def fan_in(self) -> int:
        """I: inputs in all."""
        return math.prod(self.inputs)

    def one(self) -> "Matrix":
        """The same without its lead: of one layer."""
        return dataclasses.replace(self, lead=())

    def unfolded(self, w: jax.Array) -> jax.Array:
        """The parameter as float32 [*lead, I, O]."""
        w = w.astype(jnp.float32)
        return w.T if self.is_table else w.reshape(*self.lead, self.fan_in, -1)

    def folded(
        self, codes: jax.Array, scales: jax.Array, zeros: jax.Array | None, bits: int
    ) -> Quantised:
        """The stand-in of codes [*lead, I, O], scales and zeros [*lead, I / group, O]."""
        dtype = jnp.int4 if bits <= 4 else jnp.int8
        blocks = self.blocks(self.fan_in // scales.shape[-2])
        return Quantised(
            self._shaped(codes.astype(dtype), self.inputs),
            self._shaped(scales, blocks),
            None if zeros is None else self._shaped(zeros.astype(dtype), blocks),
        )

    def _shaped(self, x: jax.Array, inputs: tuple[int, ...]) -> jax.Array:
        return x.T if self.is_table else x.reshape(*self.lead, *inputs, *self.outputs)

    def blocks(self, group: int) -> tuple[int, ...]:
        """Returns into how many blocks groups of neighbouring inputs cut each input axis.

        Raises:
            InputError: the groups do not divide the inputs, or not along their axes.
        """
        counts, left = [], group
        for size in reversed(self.inputs):
            if left % size and size % left:
                break
            counts.append(size // math.gcd(left, size))
            left //= math.gcd(left, size)
        if left > 1 or len(counts) < len(self.inputs):
            sizes = " x ".join(map(str, self.inputs))
            raise InputError(f"quantisation: groups of {group} do not divide the {sizes} inputs of "
                             f"{self.name}; group=0 takes them all")  # fmt: skip
        return tuple(reversed(counts))


def matrices(config: TransformerConfig) -> dict[Path, Matrix]:
    """Returns every kernel and table of a model by path."""
    names = flat(transformer.axes(config))
    return {
        path: _matrix(path, names[path], leaf.shape)
        for path, leaf in flat(transformer.abstract(config)).items()
        if path[-1] == "kernel" or path[-1] in TABLES
    }


def _matrix(path: Path, names: Sequence[str], shape: tuple[int, ...]) -> Matrix:
    if path[-1] in TABLES:
        return Matrix(path, (), shape[1:], shape[:1])
    lead = next(i for i, name in enumerate(names) if name not in LEAD)
    # the heads of attention are an axis of inputs or of outputs together with what is in them
    out = next(i for i in range(lead + 1, len(names)) if names[i] != "head_dim")
    return Matrix(path, shape[:lead], shape[lead:out], shape[out:])


def chosen(config: TransformerConfig, which: str) -> dict[Path, Matrix]:
    """Returns the matrices in whose paths a pattern is found.

    Args:
        which: regular expression, searched for in paths such as `blocks/attention/query/kernel`
            (all layers), `embedding`, `output/kernel`.
    Raises:
        InputError: not a regular expression, or found nowhere.
    """
    try:
        pattern = re.compile(which)
    except re.error as error:
        raise InputError(f"quantisation: '{which}' is no regular expression: {error}") from None
    every = matrices(config)
    found = {path: matrix for path, matrix in every.items() if pattern.search(matrix.name)}
    if not found:
        names = [matrix.name for matrix in every.values()]
        raise unknown("matrix", which, names, "quantisation's which")
    return found


def check_plain(matrix: Matrix, leaf: Any) -> None:
    """Raises InputError unless the leaf is the matrix's own array."""
    if isinstance(leaf, Quantised):
        raise InputError(
            f"quantisation: {matrix.name} is quantised already; let `which` leave it out"
        )
    shape = getattr(leaf, "shape", None)
    if shape is None:
        raise InputError(
            f"quantisation: {matrix.name} has an adapter beside it; lora.merge it first"
        )
    if tuple(shape) != matrix.shape:
        raise InputError(f"quantisation: {matrix.name} is {shape}, not as the configuration says")
