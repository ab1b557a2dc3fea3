"""What an ancestor probe is asked to tell from a position, as classes 0, 1, .. in groups.

symbols: the ancestor symbol s_l(i), one group of |NT_l| classes for each level l = 2..L-1;
boundaries: b_l(i), whether i is the last token of its level-l subtree, two classes per level;
ends: b#(i), the largest subtree that ends at i: class 0 for none, l - 1 for level l.
Source: arXiv 2305.13673, section 4 (NT ancestor, NT boundary, NT end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physlm_jax.data import cfg
from physlm_jax.data.hashing import example_keys
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import unknown

KINDS = ("symbols", "boundaries", "ends")


@dataclass(frozen=True)
class Target:
    """One thing to predict.

    Attributes:
        kind: "symbols", "boundaries" or "ends". level: l, 2..L-1; 0 for "ends".
        classes: how many values it has.
    """

    kind: str
    level: int
    classes: int


@dataclass(frozen=True)
class Strings:
    """N strings of one language, padded to T positions, with the truth about each position.

    Attributes:
        tokens: int32[N, 1 + T], BOS, the string as the model sees it, then padding.
        lengths: int32[N]; strings longer than T are cut to their first T tokens.
        classes: int32[N, T, G], the class of each target. index: int32[N, T, L - 2], p_l(i).
        boundary: bool[N, T, L - 2], b_l(i). nt_end: uint8[N, T], b#(i), 0 for none.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    classes: np.ndarray
    index: np.ndarray
    boundary: np.ndarray
    nt_end: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """bool[N, T]: where there is a token."""
        return np.arange(self.nt_end.shape[1]) < self.lengths[:, None]


def targets(grammar: cfg.Grammar, kinds: Sequence[str]) -> tuple[Target, ...]:
    """Returns the targets of the kinds, level by level from 2 up, kind after kind.

    Raises:
        InputError: a kind outside KINDS.
    """
    inner = range(2, grammar.levels)
    found: list[Target] = []
    for kind in kinds:
        if kind == "symbols":
            found += [Target(kind, level, grammar.sizes[level - 1]) for level in inner]
        elif kind == "boundaries":
            found += [Target(kind, level, 2) for level in inner]
        elif kind == "ends":
            found += [Target(kind, 0, grammar.levels - 1)]
        else:
            raise unknown("target", kind, KINDS, "the probe's settings")
    return tuple(found)


def classes_of(grammar: cfg.Grammar, wanted: Sequence[Target], labelled: Ragged) -> np.ndarray:
    """int32[total, G]: the true class of every target at every token of labelled strings."""

    def column(target: Target) -> np.ndarray:
        if target.kind == "symbols":
            symbols = labelled.ancestor_symbol[:, target.level - 2].astype(np.int32)
            return symbols - grammar.symbol_id(target.level, 0)
        if target.kind == "boundaries":
            return labelled.boundary[:, target.level - 2]
        return np.where(labelled.nt_end > 0, labelled.nt_end.astype(np.int32) - 1, 0)

    return np.stack([column(target) for target in wanted], -1).astype(np.int32)


def draw(
    world: cfg.CfgWorld,
    wanted: Sequence[Target],
    seed: int,
    start: int,
    count: int,
    positions: int,
) -> Strings:
    """Returns strings start..start+count-1 of a stream: of the clean language, never corrupted.

    Args:
        world: its grammar, and its alphabet if the language is implicit.
        wanted: the targets. positions: T, where longer strings are cut.
    """
    plain = cfg.sample(world.grammar, seed, start, count, labels=True)
    seen = plain.tokens
    if world.alphabet is not None:
        seen = world.alphabet.observe(example_keys(seed, start, count), seen, plain.offsets)
    lengths = np.minimum(plain.lengths, positions).astype(np.int32)
    inside = np.arange(positions) < lengths[:, None]
    rows = np.where(inside, plain.offsets[:-1, None] + np.arange(positions), 0)

    def padded(values: np.ndarray) -> np.ndarray:
        taken = values[rows]
        taken[~inside] = 0
        return taken

    tokens = np.full((count, 1 + positions), world.vocabulary.pad, np.int32)
    tokens[:, 0] = world.vocabulary.bos
    tokens[:, 1:][inside] = seen[rows][inside]
    return Strings(
        tokens,
        lengths,
        padded(classes_of(world.grammar, wanted, plain)),
        *(padded(plain.labels[name]) for name in ("ancestor_index", "boundary", "nt_end")),
    )
