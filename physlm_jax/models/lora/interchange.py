"""Low-rank updates in other libraries' form: by module and layer, as torch stores them.

Where their module holds several arrays of ours (GPT-2's `c_attn`: query, key, value), one of their
updates becomes several of ours, which share A and have B's rows; several of ours become one of
theirs, with the A's on top of each other and the B's in blocks. Both are exact. What their one
scale cannot tell apart goes into B.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from physlm_jax.errors import InputError
from physlm_jax.models.huggingface import families
from physlm_jax.models.huggingface.layout import Slot, slots
from physlm_jax.models.lora.adapter import Adapter, LowRank, column_lengths, walk
from physlm_jax.models.paths import Path, at, nested
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.models.weights import original


@dataclasses.dataclass(frozen=True)
class Update:
    """W [outputs, inputs] acts as W + scale * b a; a table's inputs are its rows.

    Attributes:
        a: float32[R, inputs].  b: float32[outputs, R].
        magnitude: float32[outputs], DoRA's lengths of the rows; None: plain.
    """

    a: np.ndarray
    b: np.ndarray
    scale: float
    magnitude: np.ndarray | None = None

    def of(self, outputs: np.ndarray) -> "Update":
        """Returns the update of some of the outputs."""
        lengths = None if self.magnitude is None else self.magnitude[outputs]
        return Update(self.a, self.b[outputs], self.scale, lengths)


@dataclasses.dataclass(frozen=True)
class Place:
    """A matrix of theirs.

    Attributes:
        name: of its module.  slot: its layout.  layer: None outside the stack.
    """

    name: str
    slot: Slot
    layer: int | None

    @property
    def is_table(self) -> bool:
        """It is read by look-ups."""
        return self.slot.module.kind == "table"

    @property
    def is_head(self) -> bool:
        """It is the output map."""
        return self.slot.leaves[0][0] == "output"

    @property
    def size(self) -> tuple[int, int]:
        """Outputs and inputs."""
        first, second = self.slot.flat[0]
        return (second, first) if self.is_table else (sum(f[0] for f in self.slot.flat), second)

    @property
    def parts(self) -> list[np.ndarray]:
        """Which outputs belong to each of our arrays."""
        return self.slot.module.outputs(self.size[0], self.slot.heads)


Pieces = dict[Path, dict[int | None, Update]]  # of our arrays, by layer


def places(config: TransformerConfig) -> list[Place]:
    """Returns every matrix of the family that holds such a model."""
    family = families.holding(config)
    found = []
    for slot in slots(config, family.modules(config)):
        if slot.suffix == "weight" and slot.module.is_matrix:
            layers = range(config.layers) if slot.module.stacked else [None]
            name = slot.module.renamed or slot.module.name
            found += [Place(name.format(layer), slot, layer) for layer in layers]
    return found


def add(pieces: Pieces, place: Place, update: Update) -> None:
    """Adds an update of a whole matrix of theirs."""
    for path, outputs in zip(place.slot.leaves, place.parts, strict=True):
        pieces.setdefault(path, {})[place.layer] = update.of(outputs)


def gather(
    config: TransformerConfig, pieces: Pieces, dropout: float = 0.0, base: Params | None = None
) -> Adapter:
    """Returns an adapter of ours; layers without an update get one of scale 0.

    Args:
        base: the model's parameters, where DoRA is not in all layers.
    """
    by_path = {path: place.slot for place in places(config) for path in place.slot.leaves}
    leaves = {}
    for path, by_layer in pieces.items():
        slot = by_path[path]
        shape = slot.shapes[slot.leaves.index(path)]
        share = 0.0 if slot.module.kind == "table" else dropout
        leaves[path] = _stacked(config, slot, shape, by_layer, share, at(base, path))
    return nested(leaves)


def _stacked(
    config: TransformerConfig,
    slot: Slot,
    shape: tuple[int, ...],
    by_layer: Mapping[int | None, Update],
    dropout: float,
    base: Any,
) -> LowRank:
    """One array's update, ranks filled up with zeros."""
    lead = (config.layers,) if slot.module.stacked else ()
    count, rank = config.layers if lead else 1, max(len(update.a) for update in by_layer.values())
    first = next(iter(by_layer.values()))
    down = np.zeros((count, first.a.shape[1], rank), np.float32)
    up = np.zeros((count, rank, len(first.b)), np.float32)
    scale, lengths = [0.0] * count, None
    inputs, outputs = shape[: slot.module.inputs], shape[slot.module.inputs :]
    if first.magnitude is not None:
        lengths = np.ones((count, len(first.b)), np.float32)
        if base is not None:
            axes = tuple(range(len(lead), len(lead) + len(inputs)))
            lengths[:] = np.reshape(column_lengths(original(base), axes), lengths.shape)
    for layer, update in by_layer.items():
        i = layer or 0
        down[i, :, : len(update.a)], up[i, : len(update.a)] = update.a.T, update.b.T
        scale[i] = update.scale
        if lengths is not None and update.magnitude is not None:
            lengths[i] = update.magnitude
    return LowRank(
        jnp.asarray(down.reshape(*lead, *inputs, rank)),
        jnp.asarray(up.reshape(*lead, rank, *outputs)),
        None if lengths is None else jnp.asarray(lengths.reshape(*lead, *outputs)),
        tuple(scale),
        dropout,
    )


def scatter(config: TransformerConfig, adapter: Adapter) -> list[tuple[Place, Update]]:
    """Returns the updates of an adapter of ours, by their matrices.

    Raises:
        InputError: a parameter trained in full, or one that their model has no matrix for.
    """
    leaves = dict(walk(adapter))
    for path, leaf in leaves.items():
        if not isinstance(leaf, LowRank):
            raise InputError(f"{'/'.join(path)} is trained in full: not implemented in adapters")
        if leaf.tied:
            raise InputError(
                f"{'/'.join(path)} is adapted with its output map (tied=True): theirs act on what "
                "is read alone"
            )
    found = []
    for place in places(config):
        parts = [_layer(leaves.get(path), place) for path in place.slot.leaves]
        if any(part is not None for part in parts):
            found.append((place, _joined(place, parts)))
    known = {path for place in places(config) for path in place.slot.leaves}
    if unknown := sorted({*leaves} - known):
        raise InputError(f"the adapter is for another model: there is no {'/'.join(unknown[0])}")
    return found


def _layer(leaf: LowRank | None, place: Place) -> Update | None:
    """One layer of an update of ours without ranks that are all zero; None without an update."""
    if leaf is None:
        return None
    i = place.layer or 0
    if not leaf.scale[i] and leaf.magnitude is None:
        return None
    down, up = np.asarray(leaf.down, np.float32), np.asarray(leaf.up, np.float32)
    if place.layer is not None:
        down, up = down[i], up[i]
    down, up = down.reshape(-1, down.shape[-1]), up.reshape(up.shape[0], -1)
    used = np.flatnonzero(down.any(0) | up.any(1))
    used = used if len(used) else np.arange(1)
    lengths = None
    if leaf.magnitude is not None:
        whole = np.asarray(leaf.magnitude, np.float32)
        lengths = (whole if place.layer is None else whole[i]).ravel()
    return Update(down[:, used].T, up[used].T, leaf.scale[i], lengths)


def _joined(place: Place, parts: Sequence[Update | None]) -> Update:
    """The updates of the parts of one matrix as one."""
    there = [part for part in parts if part is not None]
    if len(parts) == 1:
        return there[0]
    if any(part.magnitude is not None for part in there) and (
        len(there) < len(parts) or any(part.magnitude is None for part in there)
    ):
        raise InputError(
            f"{place.name} is one matrix: DoRA of some of {', '.join(_names(place))} is not "
            "implemented; adapt all of them so"
        )
    first = there[0]
    scale = first.scale if all(part.scale == first.scale for part in there) else 1.0
    shared = all(part.scale == first.scale and np.array_equal(part.a, first.a) for part in there)
    rank = len(first.a) if shared else sum(len(part.a) for part in there)
    b, start = np.zeros((place.size[0], rank), np.float32), 0
    lengths = np.zeros(place.size[0], np.float32) if first.magnitude is not None else None
    for outputs, part in zip(place.parts, parts, strict=True):
        if part is None:
            continue
        b[outputs, start : start + len(part.a)] = part.b * (part.scale / scale if scale else 1.0)
        if lengths is not None:
            lengths[outputs] = part.magnitude
        start += 0 if shared else len(part.a)
    a = first.a if shared else np.concatenate([part.a for part in there])
    return Update(a, b, scale, lengths)


def _names(place: Place) -> Iterator[str]:
    return (path[-2] for path in place.slot.leaves)
