"""The inside table of many strings at once, as sparse sorted lists of spans.

A span (a, i, j) says that symbol a derives the tokens between the boundaries i and j; its value is
the natural log of that probability. Levels are acyclic, so the spans of level l follow from those
of level l+1: a rule a -> b c joins every span (b, i, k) with every span (c, k, j), a rule of three
joins the pairs (b c) with the third child, and equal results are merged by log-sum-exp.
Strings of a layered grammar are locally ambiguous but sparse: about a thousand joins per string of
300 tokens against millions of cells of a dense table, which is why joins on sorted keys beat both
matrix products and bitsets on a CPU. Values are logs, so no length underflows, and a span is in
the table if and only if its probability is positive.

All strings of a batch share one axis of boundaries: string s, of n tokens, owns n + 1 of them from
`origins[s]` on. Joins never cross strings, for no two strings share a boundary.
Source: the inside algorithm (Baker 1979); joins of sparse spans are this project's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from physlm_jax.data.cfg.grammar import Grammar, Level
from physlm_jax.data.ragged import Ragged

# Joined pairs held at once; bounds the memory that a very ambiguous string can take.
_BLOCK = 2_000_000


class Columns(NamedTuple):
    """Spans in any order: symbol, start, end int64[m]; value float64[m], ln of probability."""

    symbol: np.ndarray
    start: np.ndarray
    end: np.ndarray
    value: np.ndarray


@dataclass(frozen=True, eq=False)
class Spans:
    """Spans sorted by (symbol, start, end), without duplicates.

    Attributes:
        symbol, start, end: int64[m]; value: float64[m], ln of the inside probability.
        by_symbol: int64[symbols + 1], where the spans of each symbol begin.
        by_start: int64[symbols * boundaries + 1], where those of (symbol, start) begin.
    """

    symbol: np.ndarray
    start: np.ndarray
    end: np.ndarray
    value: np.ndarray
    by_symbol: np.ndarray
    by_start: np.ndarray

    def tagged(self, tag: np.ndarray, which: np.ndarray, weight: np.ndarray | float) -> Columns:
        """Returns some of the spans under other symbols, their values raised by `weight`."""
        return Columns(tag, self.start[which], self.end[which], self.value[which] + weight)


@dataclass(frozen=True, eq=False)
class Plan:
    """How the rules of one level combine spans of the next.

    Attributes:
        pairs: int64[2, distinct], the distinct (first child, second child) of the rules.
        pair: int64[rules], which of them each rule begins with (0 for unit rules, unused).
        weight: float64[rules], ln(1 / degree of the rule's symbol).
        units, twos, threes: the numbers of the rules of each length.
    """

    pairs: np.ndarray
    pair: np.ndarray
    weight: np.ndarray
    units: np.ndarray
    twos: np.ndarray
    threes: np.ndarray

    @classmethod
    def of(cls, table: Level) -> Plan:
        units, twos, threes = (np.flatnonzero(table.width == w) for w in (1, 2, 3))
        longer = np.flatnonzero(table.width > 1)
        pairs, index = np.unique(table.children[:2, longer], axis=1, return_inverse=True)
        pair = np.zeros(len(table.width), np.int64)
        pair[longer] = index.reshape(-1)
        weight = -np.log(table.degree[table.owner])
        return cls(pairs, pair, weight, units, twos, threes)


@lru_cache(maxsize=64)
def plans(grammar: Grammar) -> tuple[Plan, ...]:
    """The plans of levels 1..L-1."""
    return tuple(Plan.of(table) for table in grammar.tables)


@dataclass(frozen=True, eq=False)
class Chart:
    """The inside table of a batch of strings.

    Attributes:
        levels: the spans of levels 1..L.
        pairs: for levels 1..L-1, the spans of the level's pairs of children (`Plan.pairs`).
        origins: int64[n], the first boundary of each string; lengths: int64[n], in tokens.
        boundaries: their number, all strings together.
    Spans and pairs of level 1 are kept from the beginning of a string only.
    """

    levels: tuple[Spans, ...]
    pairs: tuple[Spans, ...]
    origins: np.ndarray
    lengths: np.ndarray
    boundaries: int

    def root_values(self) -> np.ndarray:
        """float64[boundaries]: ln Pr(the root derives all tokens up to here), else -inf."""
        root = self.levels[0]
        found = np.full(self.boundaries, -np.inf)
        found[root.end] = root.value
        return found


def chart(grammar: Grammar, strings: Ragged, emission: np.ndarray) -> Chart:
    """Returns the inside table of the strings.

    Args:
        grammar: the language.
        strings: tokens of any value; those outside 1..V derive from nothing.
        emission: float64[V + 1, |T|], Pr(token v | terminal t) at [v, t - 1]; row 0 is not read.
    """
    origins = strings.offsets[:-1] + np.arange(len(strings))
    boundaries = len(strings.tokens) + len(strings)
    is_origin = np.zeros(boundaries, bool)
    is_origin[origins] = True
    levels = [_terminals(grammar, strings, emission, boundaries)]
    pairs: list[Spans] = []
    for k in reversed(range(grammar.levels - 1)):
        plan, table = plans(grammar)[k], grammar.tables[k]
        keep = is_origin if k == 0 else None
        pairs.append(_pair_up(plan, levels[-1], boundaries, keep))
        levels.append(_apply_rules(table, plan, pairs[-1], levels[-1], boundaries, keep))
    return Chart(
        tuple(reversed(levels)), tuple(reversed(pairs)), origins, strings.lengths, boundaries
    )


def ragged_range(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """int64[sum of counts]: starts[0], starts[0] + 1, .. (counts[0] of them), starts[1], .."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


def of_symbols(spans: Spans, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (which of `symbols`, which span) for all spans of each of the symbols in turn."""
    first = spans.by_symbol[symbols]
    counts = spans.by_symbol[symbols + 1] - first
    return np.repeat(np.arange(len(symbols)), counts), ragged_range(first, counts)


def _terminals(grammar: Grammar, strings: Ragged, emission: np.ndarray, boundaries: int) -> Spans:
    known = np.where((strings.tokens >= 1) & (strings.tokens < len(emission)), strings.tokens, 0)
    chance = emission[known]
    chance[known == 0] = 0.0
    place, terminal = np.nonzero(chance)
    start = place + np.repeat(np.arange(len(strings)), strings.lengths)[place]
    columns = Columns(terminal, start, start + 1, np.log(chance[place, terminal]))
    return _merge(columns, grammar.terminals, boundaries)


def _pair_up(plan: Plan, below: Spans, boundaries: int, keep: np.ndarray | None) -> Spans:
    """The spans of all distinct pairs of children; `keep` marks the starts to look at."""
    pair, left = _kept(below, plan.pairs[0], keep)
    firsts = below.tagged(pair, left, 0.0)
    return _join(firsts, plan.pairs[1][pair], below, plan.pairs.shape[1], boundaries)


def _apply_rules(
    table: Level, plan: Plan, pairs: Spans, below: Spans, boundaries: int, keep: np.ndarray | None
) -> Spans:
    """The spans of a level from those of its pairs and of the next level."""
    size = len(table.degree)
    which, span = _kept(below, table.children[0, plan.units], keep)
    rule = plan.units[which]
    ones = below.tagged(table.owner[rule], span, plan.weight[rule])
    which, span = of_symbols(pairs, plan.pair[plan.twos])
    rule = plan.twos[which]
    twos = pairs.tagged(table.owner[rule], span, plan.weight[rule])
    which, span = of_symbols(pairs, plan.pair[plan.threes])
    rule = plan.threes[which]
    lefts = pairs.tagged(table.owner[rule], span, plan.weight[rule])
    threes = _join(lefts, table.children[2, rule], below, size, boundaries)
    return _merge(_stack([ones, twos, threes]), size, boundaries)


def _kept(
    spans: Spans, symbols: np.ndarray, keep: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """`of_symbols`, but only the spans with a start that `keep` marks."""
    which, span = of_symbols(spans, symbols)
    if keep is None:
        return which, span
    kept = keep[spans.start[span]]
    return which[kept], span[kept]


def _join(
    lefts: Columns, right_symbol: np.ndarray, right: Spans, symbols: int, boundaries: int
) -> Spans:
    """Extends each left span by all spans of its right symbol that begin where it ends."""
    slot = right_symbol * boundaries + lefts.end
    first = right.by_start[slot]
    counts = right.by_start[slot + 1] - first
    total = np.cumsum(counts)
    edges = np.searchsorted(total, np.arange(_BLOCK, total[-1] if len(total) else 0, _BLOCK))
    blocks = []
    for block in np.split(np.arange(len(slot)), edges):
        left = np.repeat(block, counts[block])
        pick = ragged_range(first[block], counts[block])
        value = lefts.value[left] + right.value[pick]
        joined = Columns(lefts.symbol[left], lefts.start[left], right.end[pick], value)
        blocks.append(_merge(joined, symbols, boundaries))
    return blocks[0] if len(blocks) == 1 else _merge(_stack(blocks), symbols, boundaries)


def _stack(parts: Sequence[Columns | Spans]) -> Columns:
    fields = Columns._fields
    return Columns(*(np.concatenate([getattr(p, f) for p in parts]) for f in fields))


def _merge(columns: Columns, symbols: int, boundaries: int) -> Spans:
    """Sorts spans and adds up the probabilities of equal ones."""
    slot = columns.symbol * boundaries + columns.start
    key = slot * boundaries + columns.end
    order = np.argsort(key)
    key, value = key[order], columns.value[order]
    is_head = np.ones(len(key), bool)
    np.not_equal(key[1:], key[:-1], out=is_head[1:])
    heads = np.flatnonzero(is_head)
    if len(heads) < len(key):
        top = np.maximum.reduceat(value, heads)
        counts = np.diff(heads, append=len(key))
        value = top + np.log(np.add.reduceat(np.exp(value - np.repeat(top, counts)), heads))
    order = order[heads]
    by_start = np.zeros(symbols * boundaries + 1, np.int64)
    np.cumsum(np.bincount(slot[order], minlength=symbols * boundaries), out=by_start[1:])
    by_symbol = by_start[::boundaries]
    symbol, start, end = (c[order] for c in columns[:3])
    return Spans(symbol, start, end, value, by_symbol, by_start)
