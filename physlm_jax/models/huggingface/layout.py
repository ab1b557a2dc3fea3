"""Where a Hugging Face model keeps what our tree of parameters holds.

A `Module` is one of theirs, with the parameters of ours in it: GPT-2's `c_attn` holds query, key
and value. It says how a matrix is stored and which of its outputs belong to which part; reading,
writing and the adapters of `models.lora` all follow it.

Their matrices, turned where needed, are [outputs, inputs] here; ours [*inputs, *outputs].
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from physlm_jax.models import transformer
from physlm_jax.models.paths import Path, flat
from physlm_jax.models.transformer import TransformerConfig

BLOCKS = "blocks"


@dataclasses.dataclass(frozen=True)
class Module:
    """One module of theirs.

    Attributes:
        name: with "{}" for the layer, where every layer has one.
        kind: "linear": weight [outputs, inputs]; "conv1d": [inputs, outputs]; "table"; "norm".
        parts: paths of ours; several: their outputs stand behind each other.
        inputs: how many axes of our kernel are on the input side.
        by_head: the outputs of the parts stand behind each other within every head (GPT-NeoX).
        renamed: what transformers 5 calls it once a file is open, if that is not `name`; adapters
            go by it.
    """

    name: str
    kind: str
    parts: tuple[Path, ...]
    inputs: int = 1
    by_head: bool = False
    renamed: str = ""

    @property
    def stacked(self) -> bool:
        """There is one in every layer."""
        return self.parts[0][0] == BLOCKS

    @property
    def is_matrix(self) -> bool:
        """It may have an adapter."""
        return self.kind != "norm"

    def leaves(self, suffix: str) -> tuple[Path, ...]:
        """Our parameters in its `weight` or `bias`."""
        if self.kind == "table":
            return self.parts
        kernel = "scale" if self.kind == "norm" else "kernel"
        return tuple((*part, kernel if suffix == "weight" else "bias") for part in self.parts)

    def outputs(self, total: int, heads: int) -> list[np.ndarray]:
        """Which of its `total` outputs belong to each part: one int[outputs] a part."""
        count = len(self.parts)
        grouped = np.arange(total).reshape(heads if self.by_head else 1, count, -1)
        return [grouped[:, part].ravel() for part in range(count)]


@dataclasses.dataclass(frozen=True)
class Slot:
    """One array of theirs.

    Attributes:
        module: it belongs to.  suffix: "weight" or "bias".  name: with "{}" for the layer.
        leaves: the parameters of ours in it.  shapes: theirs, without the layers.
        heads: H.
    """

    module: Module
    suffix: str
    leaves: tuple[Path, ...]
    shapes: tuple[tuple[int, ...], ...]
    heads: int

    @property
    def name(self) -> str:
        """Its key, with "{}" for the layer."""
        return f"{self.module.name}.{self.suffix}"

    @property
    def is_kernel(self) -> bool:
        """A matrix that is stored turned or split."""
        return self.suffix == "weight" and self.module.kind in ("linear", "conv1d")

    @property
    def shape(self) -> tuple[int, ...]:
        """As it is stored."""
        if not self.is_kernel:
            return (sum(s[0] for s in self.flat), *self.flat[0][1:])
        total, inputs = sum(s[0] for s in self.flat), self.flat[0][1]
        return (inputs, total) if self.module.kind == "conv1d" else (total, inputs)

    @property
    def flat(self) -> list[tuple[int, ...]]:
        """Shapes of the parts with the outputs in front: [outputs, inputs], [outputs], [V, D]."""
        if self.module.kind == "table":
            return list(self.shapes)
        if not self.is_kernel:
            return [(math.prod(shape),) for shape in self.shapes]
        n = self.module.inputs
        return [(math.prod(shape[n:]), math.prod(shape[:n])) for shape in self.shapes]

    def split(self, stored: np.ndarray) -> list[np.ndarray]:
        """Their array as our parts."""
        if not self.is_kernel and len(self.leaves) == 1:
            return [stored.reshape(self.shapes[0])]
        rows = stored.T if self.module.kind == "conv1d" and self.is_kernel else stored
        parts = [rows[index] for index in self.module.outputs(len(rows), self.heads)]
        return [part.T.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def join(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """Our parts as their array."""
        if not self.is_kernel and len(self.leaves) == 1:
            return np.asarray(parts[0]).reshape(self.shape)
        total = sum(shape[0] for shape in self.flat)
        rows = np.empty((total, *self.flat[0][1:]), np.float32)
        for index, part, shape in zip(
            self.module.outputs(total, self.heads), parts, self.flat, strict=True
        ):
            rows[index] = np.asarray(part).reshape(shape[::-1]).T
        return rows.T if self.module.kind == "conv1d" and self.is_kernel else rows


def layer_names(name: str, stacked: bool, layers: int) -> list[str]:
    """Returns a module's or an array's name in every layer; one name outside the stack."""
    return [name.format(layer) for layer in range(layers)] if stacked else [name]


def slots(config: TransformerConfig, modules: Iterable[Module]) -> list[Slot]:
    """Returns every array that a model of this configuration has."""
    there = flat(transformer.abstract(config))
    found = []
    for module in modules:
        for suffix in ("weight", "bias"):
            leaves = module.leaves(suffix)
            if leaves[0] not in there or (suffix == "bias" and module.kind == "table"):
                continue
            shapes = tuple(there[leaf].shape[int(module.stacked) :] for leaf in leaves)
            found.append(Slot(module, suffix, leaves, shapes, config.heads))
    return found
