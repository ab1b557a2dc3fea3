"""Slow, obvious twins of the fast functions of this package: what they are checked and timed by.

Everything here is textbook Python on one string at a time: the recursive sampler that builds its
labels on the way, the span-by-span table of Cocke, Younger and Kasami for rules of up to three
symbols, the recursive inside probability, and brute force over all strings of a tiny grammar
in exact fractions.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product

from physlm_jax.data.cfg.derivations import Node
from physlm_jax.data.cfg.grammar import Grammar


@dataclass
class Labelled:
    """A string with its labels: `symbol[r]`, `index[r]` and `boundary[r]` are of level r + 2."""

    tokens: list[int]
    symbol: list[list[int]]
    index: list[list[int]]
    boundary: list[list[bool]]
    nt_end: list[int]

    @classmethod
    def empty(cls, levels: int) -> Labelled:
        inner = range(levels - 2)
        return cls([], [[] for _ in inner], [[] for _ in inner], [[] for _ in inner], [])

    def close(self, level: int, symbol: int, place: int, width: int) -> None:
        """Labels the last `width` tokens as the subtree number `place` of a level."""
        self.symbol[level - 2] += [symbol] * width
        self.index[level - 2] += [place] * width
        self.boundary[level - 2] += [False] * (width - 1) + [True]
        self.nt_end[-1] = level  # outer subtrees close later and overwrite inner ones


def recursive_sample(grammar: Grammar, rng: random.Random) -> Labelled:
    """Draws one string with its labels, node by node."""
    out = Labelled.empty(grammar.levels)
    rules, leaf = grammar.rules, grammar.levels
    first_id = [grammar.symbol_id(level, 0) for level in range(1, leaf + 1)]
    seen = [0] * leaf

    def expand(level: int, symbol: int) -> int:
        if level == leaf:
            out.tokens.append(symbol + 1)
            out.nt_end.append(0)
            return 1
        ways = rules[level - 1][symbol]
        width = 0
        for child in ways[int(rng.random() * len(ways))]:
            width += expand(level + 1, child)
        if level > 1:
            seen[level - 1] += 1
            out.close(level, first_id[level - 1] + symbol, seen[level - 1], width)
        return width

    expand(1, 0)
    return out


def tree_labels(root: Node) -> Labelled:
    """Returns the labels of an explicit tree by their definition: from each leaf to the root."""
    leaves = list(_leaves(root, []))
    height = leaves[0][-1][0].level
    out = Labelled.empty(height)
    for path, after in zip(leaves, [*leaves[1:], None], strict=True):
        out.tokens.append(path[-1][0].symbol)
        ends = []
        for r, (node, place) in enumerate(path[1:-1]):
            out.symbol[r].append(node.symbol)
            out.index[r].append(place)
            out.boundary[r].append(after is None or after[r + 1][1] != place)
            ends += [r + 2] * out.boundary[r][-1]
        out.nt_end.append(min(ends, default=0))
    return out


def _leaves(root: Node, seen: list[int]) -> Iterator[list[tuple[Node, int]]]:
    """Yields the path of every leaf: each node with its place (from 1) among those of its level."""
    seen += [0] * (root.level + 1 - len(seen))
    seen[root.level] += 1
    here = (root, seen[root.level])
    if not root.children:
        yield [here]
    for child in root.children:
        for path in _leaves(child, seen):
            yield [here, *path]


def cyk(grammar: Grammar, string: Sequence[int]) -> bool:
    """Whether the string is in the language: the textbook table, span by span, short to long.

    For every level from the deepest, every length that its subtrees can have, every start, every
    rule and every split point: a span exists if both of its parts do. A rule of three goes
    through a table of the spans of its first two children.
    """
    n = len(string)
    below = [_leaf_table(string, a) for a in range(1, grammar.terminals + 1)]
    for depth, rules in enumerate(reversed(grammar.rules), 1):
        longest = min(n, 3**depth)
        pairs = {
            rhs[:2]: _product(below[rhs[0]], below[rhs[1]], n, longest)
            for symbol in rules
            for rhs in symbol
            if len(rhs) > 1
        }
        below = [
            _either([_way(rhs, below, pairs, n, longest) for rhs in symbol]) for symbol in rules
        ]
    return below[0][0][n]


Table = list[list[bool]]


def _leaf_table(string: Sequence[int], terminal: int) -> Table:
    n = len(string)
    return [[j == i + 1 and string[i] == terminal for j in range(n + 1)] for i in range(n + 1)]


def _either(tables: list[Table]) -> Table:
    return [[any(cells) for cells in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


def _way(
    rhs: tuple[int, ...], below: list[Table], pairs: dict[tuple[int, ...], Table], n: int,
    longest: int,
) -> Table:  # fmt: skip
    if len(rhs) == 1:
        return below[rhs[0]]
    pair = pairs[rhs[:2]]
    return pair if len(rhs) == 2 else _product(pair, below[rhs[2]], n, longest)


def _product(left: Table, right: Table, n: int, longest: int) -> Table:
    found = [[False] * (n + 1) for _ in range(n + 1)]
    for length in range(2, longest + 1):
        for i in range(n - length + 1):
            j = i + length
            found[i][j] = any(left[i][k] and right[k][j] for k in range(i + 1, j))
    return found


def inside(grammar: Grammar, string: Sequence[int]) -> Fraction:
    """Returns the exact probability of the string, by recursion over symbols and spans."""
    tokens = tuple(string)

    @cache
    def symbol(level: int, a: int, i: int, j: int) -> Fraction:
        if level == grammar.levels:
            return Fraction(j == i + 1 and tokens[i] == a + 1)
        rules = grammar.rules[level - 1][a]
        return sum((sequence(level + 1, r, i, j) for r in rules), Fraction()) / len(rules)

    @cache
    def sequence(level: int, rhs: tuple[int, ...], i: int, j: int) -> Fraction:
        if len(rhs) == 1:
            return symbol(level, rhs[0], i, j)
        return sum(
            (symbol(level, rhs[0], i, k) * sequence(level, rhs[1:], k, j) for k in range(i + 1, j)),
            Fraction(),
        )

    return symbol(1, 0, 0, len(tokens))


Strings = dict[tuple[int, ...], Fraction]


def language(grammar: Grammar) -> Strings:
    """Returns every string of a tiny grammar with its exact probability."""
    below: list[Strings] = [{(t,): Fraction(1)} for t in range(1, grammar.terminals + 1)]
    for rules in reversed(grammar.rules):
        below = [_spell(symbol, below) for symbol in rules]
    return below[0]


def _spell(rules: Sequence[tuple[int, ...]], below: list[Strings]) -> Strings:
    found: Strings = {}
    for rhs in rules:
        for parts in product(*(below[c].items() for c in rhs)):
            string = tuple(t for tokens, _ in parts for t in tokens)
            weight = math.prod((p for _, p in parts), start=Fraction(1, len(rules)))
            found[string] = found.get(string, Fraction()) + weight
    return found


def next_tokens(strings: Strings, prefix: Sequence[int], terminals: int) -> list[Fraction]:
    """Returns the distribution [end, 1, .., |T|] after a prefix, from the list of all strings."""
    k, mass = len(prefix), [Fraction()] * (terminals + 1)
    for string, p in strings.items():
        if string[:k] == tuple(prefix):
            mass[string[k] if len(string) > k else 0] += p
    return [m / sum(mass) for m in mass]
