"""Parses of given strings: the trees behind them, likeliest or drawn from the posterior.

Top-down over the inside table, all nodes of a level and all strings at once. A node (a, i, j)
lists every way to have been expanded: a rule of a and the places where its children meet, valued
by the children's inside probabilities (the rules of a are equally likely). One way is kept per
node, the best or one drawn in proportion to its probability (Gumbel noise on logs); drawn so at
every node, the whole tree has exactly the posterior distribution given the string.
Source: sampling parses top-down from the inside table is folklore (e.g. Johnson et al. 2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from physlm_jax.data.cfg.derivations import Derivations
from physlm_jax.data.cfg.grammar import Grammar, Level
from physlm_jax.data.cfg.oracles import Strings, as_emission, charts
from physlm_jax.data.cfg.spans import Chart, Plan, Spans, plans, ragged_range
from physlm_jax.data.hashing import example_keys, mix, ragged_words
from physlm_jax.data.ragged import as_ragged
from physlm_jax.errors import InputError


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes of one level, left to right, string by string: who they are and what they span."""

    string: np.ndarray
    symbol: np.ndarray
    start: np.ndarray
    end: np.ndarray


def parse(
    grammar: Grammar,
    string: Sequence[int] | np.ndarray,
    seed: int | None = None,
    emission: np.ndarray | None = None,
) -> Derivations | None:
    """Returns one derivation of a string, or None if the string is not in the language.

    Args:
        grammar: the language.
        string: tokens without BOS and EOS.
        seed: None for the likeliest choice at every node; a number to draw from the posterior.
        emission: as `oracles.is_valid`; the leaves of the tree are then the hidden terminals.

    Returns:
        A `Derivations` of one tree: `.tree()` nests it, `.labelled()` labels the tokens.
    """
    ragged = as_ragged([list(string)])
    part = next(charts(grammar, ragged, as_emission(grammar, emission)))[1]
    if np.isneginf(part.root_values()[part.lengths[0]]):
        return None
    return _descend(grammar, part, None if seed is None else example_keys(seed, 0, 1))


def parse_all(
    grammar: Grammar,
    strings: Strings,
    seed: int | None = None,
    emission: np.ndarray | None = None,
) -> list[Derivations]:
    """Returns one derivation of each of many strings, in parts for `derivations.label`.

    Args: as `parse`; string i is parsed with the randomness of (seed, i).

    Raises:
        InputError: a string is not in the language.
    """
    ragged = as_ragged(strings)
    keys = None if seed is None else example_keys(seed, 0, len(ragged))
    return list(_parse_parts(grammar, ragged, keys, as_emission(grammar, emission)))


def _parse_parts(
    grammar: Grammar, strings: Strings, keys: np.ndarray | None, emission: np.ndarray
) -> Iterator[Derivations]:
    done = 0
    for ragged, part in charts(grammar, strings, emission):
        invalid = np.isneginf(part.root_values()[part.origins + part.lengths])
        if invalid.any():
            raise InputError(
                f"string {done + int(np.argmax(invalid))} is not in the language of "
                f"'{grammar.name}': it has no parse"
            )
        yield _descend(grammar, part, None if keys is None else keys[done : done + len(ragged)])
        done += len(ragged)


def _descend(grammar: Grammar, chart: Chart, keys: np.ndarray | None) -> Derivations:
    n = len(chart.origins)
    nodes = Nodes(np.arange(n), np.zeros(n, np.int64), chart.origins, chart.origins + chart.lengths)
    symbols, bounds, offsets = [nodes.symbol], [], [np.arange(n + 1)]
    for k, (table, plan) in enumerate(zip(grammar.tables, plans(grammar), strict=True)):
        key = None if keys is None else mix(keys ^ np.uint64(2 * k + 1))
        rule, cut2 = _pick_rules(table, plan, nodes, chart, k, key)
        key = None if keys is None else mix(keys ^ np.uint64(2 * k + 2))
        cut1 = _pick_first_cuts(table, plan, nodes, rule, cut2, chart, k, key)
        nodes = _children(table, nodes, rule, cut1, cut2)
        symbols.append(nodes.symbol)
        bounds.append(np.concatenate([[0], np.cumsum(table.width[rule])]))
        offsets.append(np.searchsorted(nodes.string, np.arange(n + 1)))
    return Derivations(grammar, tuple(symbols), tuple(bounds), tuple(offsets))


def _pick_rules(
    table: Level, plan: Plan, nodes: Nodes, chart: Chart, k: int, keys: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns for every node its rule and where that rule's last child begins."""
    below, pairs, size = chart.levels[k + 1], chart.pairs[k], chart.boundaries
    degree = table.degree[nodes.symbol]
    owner = np.repeat(np.arange(len(nodes.symbol)), degree)
    rule = ragged_range(table.first[nodes.symbol], degree)
    width = table.width[rule]
    found = []
    for w, lefts, symbol in (
        (2, below, table.children[0]),
        (3, pairs, plan.pair),
    ):
        chosen = np.flatnonzero(width == w)
        which, left = _starting(lefts, symbol[rule[chosen]], nodes.start[owner[chosen]], size)
        which = chosen[which]
        right = _find(below, table.children[w - 1, rule[which]], lefts.end[left],
                      nodes.end[owner[which]], size)  # fmt: skip
        found.append((which, lefts.end[left], lefts.value[left], right))
    which = np.flatnonzero(width == 1)
    start, end = nodes.start[owner[which]], nodes.end[owner[which]]
    right = _find(below, table.children[0, rule[which]], start, end, size)
    found.append((which, start, np.zeros(len(which)), right))
    which, cut, left_value, right = (np.concatenate(c) for c in zip(*found, strict=True))
    picked = _pick(owner[which], left_value, right, below, nodes, keys)
    return rule[which[picked]], cut[picked]


def _pick_first_cuts(
    table: Level, plan: Plan, nodes: Nodes, rule: np.ndarray, cut2: np.ndarray,
    chart: Chart, k: int, keys: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    """Returns where the second child begins, for nodes with three (elsewhere as `cut2`)."""
    below, size = chart.levels[k + 1], chart.boundaries
    three = np.flatnonzero(table.width[rule] == 3)
    which, left = _starting(below, table.children[0, rule[three]], nodes.start[three], size)
    right = _find(below, table.children[1, rule[three[which]]], below.end[left],
                  cut2[three[which]], size)  # fmt: skip
    sub = Nodes(*(c[three] for c in (nodes.string, nodes.symbol, nodes.start, nodes.end)))
    picked = _pick(which, below.value[left], right, below, sub, keys)
    cut1 = cut2.copy()
    cut1[three] = below.end[left[picked]]
    return cut1


def _pick(
    node: np.ndarray, left_value: np.ndarray, right: np.ndarray, below: Spans, nodes: Nodes,
    keys: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    """Returns for every node the number of the way that is kept; `right` -1 marks no way."""
    ways = np.flatnonzero(right >= 0)
    ways = ways[np.argsort(node[ways], kind="stable")]
    value = left_value[ways] + below.value[right[ways]]
    if keys is not None:
        string = nodes.string[node[ways]]
        words = ragged_words(keys, np.searchsorted(string, np.arange(len(keys) + 1)))
        uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        value -= np.log(-np.log(uniform))
    order = np.lexsort((value, node[ways]))
    last = np.searchsorted(node[ways], np.arange(len(nodes.symbol)), side="right") - 1
    return ways[order[last]]


def _starting(
    spans: Spans, symbol: np.ndarray, start: np.ndarray, boundaries: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (which query, which span) for all spans with a queried symbol and start."""
    slot = symbol * boundaries + start
    first = spans.by_start[slot]
    counts = spans.by_start[slot + 1] - first
    return np.repeat(np.arange(len(slot)), counts), ragged_range(first, counts)


def _find(
    spans: Spans, symbol: np.ndarray, start: np.ndarray, end: np.ndarray, boundaries: int
) -> np.ndarray:
    """int64: the number of the span (symbol, start, end), -1 where there is none."""
    keys = (spans.symbol * boundaries + spans.start) * boundaries + spans.end
    wanted = (symbol * boundaries + start) * boundaries + end
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)


def _children(
    table: Level, nodes: Nodes, rule: np.ndarray, cut1: np.ndarray, cut2: np.ndarray
) -> Nodes:
    width = table.width[rule]
    present = np.arange(3) < width[:, None]
    # Cuts from left to right: of two, the only one is cut1 = cut2; of one, there is none.
    ends = np.stack([np.where(width == 1, nodes.end, cut1), cut2, nodes.end], axis=1)
    ends[width == 2, 1] = nodes.end[width == 2]
    starts = np.stack([nodes.start, cut1, cut2], axis=1)
    symbols = table.children[:, rule].T
    strings = np.repeat(nodes.string, width)
    return Nodes(strings, symbols[present], starts[present], ends[present])
