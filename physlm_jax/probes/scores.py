"""How often a probe is right, string by string, and what it says of the nodes of parse trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from physlm_jax.data import cfg
from physlm_jax.probes.targets import Strings, Target

REGIONS = ("all", "ends", "elsewhere", "nt_end")


@dataclass(frozen=True)
class Count:
    """Right answers in one kind of position.

    Attributes:
        correct, total: int64[strings], positions answered rightly and asked, of each string.
        majority: the share of the commonest class among them; None where there are no positions.
    """

    correct: np.ndarray
    total: np.ndarray
    majority: float | None

    @property
    def accuracy(self) -> float | None:
        """The share of right answers over all strings; None where there are no positions."""
        asked = int(self.total.sum())
        return int(self.correct.sum()) / asked if asked else None


@dataclass(frozen=True)
class Score:
    """One target of one probe.

    Attributes:
        target: what was asked.
        regions: "all" positions; "ends", where b_l(i) = 1, and "elsewhere"; "nt_end", b#(i) = l.
            The target "ends", which has no level, has b#(i) != 0 as its "ends" and no "nt_end".
    """

    target: Target
    regions: Mapping[str, Count]


@dataclass(frozen=True)
class NodeVerdict:
    """A nonterminal of a parse tree and the symbol that a probe reads at its last token.

    Attributes:
        level: 2..L-1. index: p, from 1 within the level.
        start, stop: its tokens are start..stop-1, from 0 within the string.
        symbol, predicted: written names.
    """

    level: int
    index: int
    start: int
    stop: int
    symbol: str
    predicted: str


@dataclass(frozen=True)
class TreeVerdict:
    """A test string: written tokens as the model saw them, and its nodes, coarsest level first."""

    tokens: tuple[str, ...]
    nodes: tuple[NodeVerdict, ...]


@dataclass(frozen=True)
class AncestorResult:
    """What one probe (of one layer, through one mask) got right on test strings.

    Attributes:
        layer: 0 for the embeddings, 1..L for blocks. mask: as in FitConfig.masks.
        scores: one per target. trees: the first test strings, if symbols were asked.
    """

    layer: int
    mask: str
    scores: tuple[Score, ...]
    trees: tuple[TreeVerdict, ...]

    def score(self, kind: str, level: int = 0) -> Score:
        """Returns the score of a target, e.g. ("symbols", 3).

        Raises:
            KeyError: it was not asked.
        """
        for score in self.scores:
            if (score.target.kind, score.target.level) == (kind, level):
                return score
        raise KeyError((kind, level))

    def to_json(self) -> dict[str, Any]:
        """Returns the result as plain values; counts are lists with an entry per string."""
        scores = [
            {
                "target": score.target.kind,
                "level": score.target.level,
                "classes": score.target.classes,
                "regions": {name: _count_json(count) for name, count in score.regions.items()},
            }
            for score in self.scores
        ]
        trees = [
            {"tokens": list(tree.tokens), "nodes": [vars(node) for node in tree.nodes]}
            for tree in self.trees
        ]
        return {"layer": self.layer, "mask": self.mask, "scores": scores, "trees": trees}


def _count_json(count: Count) -> dict[str, Any]:
    return {
        "accuracy": count.accuracy,
        "majority": count.majority,
        "correct": count.correct.tolist(),
        "total": count.total.tolist(),
    }


def score(wanted: Sequence[Target], strings: Strings, predicted: np.ndarray) -> tuple[Score, ...]:
    """Counts right answers.

    Args:
        wanted: the G targets. strings: N test strings.
        predicted: int[N, T, G], the classes that the probe gives.
    """
    return tuple(
        Score(
            target,
            {
                name: _count(strings.classes[..., g], predicted[..., g], region)
                for name, region in _regions(target, strings).items()
            },
        )
        for g, target in enumerate(wanted)
    )


def _regions(target: Target, strings: Strings) -> dict[str, np.ndarray]:
    """bool[N, T] for each region of a target."""
    inside = strings.inside
    if target.level == 0:
        ends = strings.nt_end > 0
        return {"all": inside, "ends": inside & ends, "elsewhere": inside & ~ends}
    ends = strings.boundary[..., target.level - 2]
    deepest = inside & (strings.nt_end == target.level)
    found = (inside, inside & ends, inside & ~ends, deepest)
    return dict(zip(REGIONS, found, strict=True))


def _count(truth: np.ndarray, predicted: np.ndarray, region: np.ndarray) -> Count:
    right = (truth == predicted) & region
    total = int(region.sum())
    majority = int(np.bincount(truth[region]).max()) / total if total else None
    return Count(right.sum(1), region.sum(1), majority)


def trees(
    world: cfg.CfgWorld,
    wanted: Sequence[Target],
    strings: Strings,
    predicted: np.ndarray,
    count: int,
) -> tuple[TreeVerdict, ...]:
    """Returns the first `count` test strings with the probe's verdict on each of their nodes.

    Nodes that the window cuts are left out. Empty if symbols were not among the targets.
    """
    columns = {target.level: g for g, target in enumerate(wanted) if target.kind == "symbols"}
    if not columns:
        return ()
    names = world.vocabulary.names
    found = []
    for n in range(min(count, len(strings.lengths))):
        tokens = strings.tokens[n, 1 : 1 + strings.lengths[n]]
        nodes = [
            node
            for level, g in sorted(columns.items())
            for node in _nodes(world.grammar, level, g, strings, predicted, n)
        ]
        found.append(TreeVerdict(tuple(names[t] for t in tokens), tuple(nodes)))
    return tuple(found)


def _nodes(
    grammar: cfg.Grammar, level: int, g: int, strings: Strings, predicted: np.ndarray, n: int
) -> list[NodeVerdict]:
    written = grammar.symbols[level - 1]
    length = strings.lengths[n]
    lasts = np.flatnonzero(strings.boundary[n, :length, level - 2])
    starts = [0, *(lasts[:-1] + 1)]
    return [
        NodeVerdict(
            level,
            int(strings.index[n, last, level - 2]),
            int(start),
            int(last) + 1,
            written[strings.classes[n, last, g]],
            written[predicted[n, last, g]],
        )
        for start, last in zip(starts, lasts, strict=False)
    ]
