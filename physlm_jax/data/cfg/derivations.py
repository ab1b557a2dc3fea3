"""Derivation trees of many strings, flat in memory, and the labels that they put on tokens.

With p_l(i) the level-l subtree that token i hangs from (counted from 1, left to right) and s_l(i)
its root symbol, b_l(i) says that i is the last token of its level-l subtree, and nt_end(i) is the
least l in 2..L-1 with b_l(i): the largest subtree but the whole that ends at i. Boundaries come
from indices, never from symbols, for neighbours are often equal.
Source: arXiv 2305.13673, section 4 (NT ancestor, NT boundary, NT end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physlm_jax.data.cfg.grammar import Grammar
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError


@dataclass(frozen=True, eq=False)
class Derivations:
    """One derivation tree for each of n strings.

    Attributes:
        grammar: what the trees belong to.
        symbols: for levels 1..L, the numbers (from 0) of the symbols of all strings, in order.
        bounds: for levels 1..L-1, int64[nodes + 1]: the children of node j are the nodes
            bounds[j]..bounds[j + 1] - 1 of the next level.
        offsets: for levels 1..L, int64[n + 1]: where the strings begin and end in `symbols`.
    """

    grammar: Grammar
    symbols: tuple[np.ndarray, ...]
    bounds: tuple[np.ndarray, ...]
    offsets: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.offsets[0]) - 1

    @cached_property
    def leaf_bounds(self) -> tuple[np.ndarray, ...]:
        """For levels 1..L-1, int64[nodes + 1]: node j has the tokens [j]..[j + 1] - 1."""
        found = [self.bounds[-1]]
        for bounds in reversed(self.bounds[:-1]):
            found.append(found[-1][bounds])
        return tuple(reversed(found))

    def strings(self) -> Ragged:
        """Returns the strings, tokens 1..|T|, without labels."""
        return unlabelled([self])

    def labelled(self) -> Ragged:
        """Returns the strings with the labels of `label`."""
        return label([self])

    def log_prob(self) -> np.ndarray:
        """float64[n]: ln of the probability of each derivation."""
        total = np.zeros(len(self))
        for table, symbols, offsets in zip(
            self.grammar.tables, self.symbols, self.offsets, strict=False
        ):
            owner = np.repeat(np.arange(len(self)), np.diff(offsets))
            total -= np.bincount(owner, np.log(table.degree[symbols]), len(self))
        return total

    def expansions(self, symbol: int, level: int) -> Ragged:
        """Returns the symbols of a deeper level under every node of one symbol, as official ids.

        Args:
            symbol: official id of a nonterminal; level: a deeper level, up to L.

        Raises:
            InputError: the symbol does not exist, or does not lie above the level.
        """
        home, number = self.grammar.locate(symbol)
        if not home < level <= self.grammar.levels:
            raise InputError(
                f"level {level} is not below symbol {symbol}, which is of level {home} of "
                f"{self.grammar.levels}"
            )
        reach = self.bounds[home - 1]
        for bounds in self.bounds[home : level - 1]:
            reach = bounds[reach]
        ids = self.symbols[level - 1] + self.grammar.symbol_id(level, 0)
        nodes = np.flatnonzero(self.symbols[home - 1] == number)
        return Ragged.from_sequences([ids[reach[j] : reach[j + 1]].tolist() for j in nodes])

    def tree(self, string: int = 0, level: int = 1, node: int | None = None) -> Node:
        """Returns the tree of one string as nested nodes, for drawing and for slow checks."""
        j = int(self.offsets[level - 1][string]) if node is None else node
        number = int(self.symbols[level - 1][j])
        children: tuple[Node, ...] = ()
        if level < self.grammar.levels:
            lo, hi = self.bounds[level - 1][j : j + 2]
            children = tuple(self.tree(string, level + 1, c) for c in range(int(lo), int(hi)))
        name = self.grammar.symbols[level - 1][number]
        return Node(level, self.grammar.symbol_id(level, number), name, children)


@dataclass(frozen=True)
class Node:
    """A node of a derivation tree: its level, official id, written name and children."""

    level: int
    symbol: int
    name: str
    children: tuple[Node, ...]


def label(parts: Sequence[Derivations]) -> Ragged:
    """Returns the strings of all parts, one after the other, with the labels of their trees.

    Returns:
        A Ragged with tokens 1..|T| and these labels, whose columns are the levels 2..L-1 (views
        of arrays that are contiguous level by level):
        ancestor_index: int32[total, L - 2], p_l(i), from 1 within the string;
        ancestor_symbol: uint8 or uint16 [total, L - 2], s_l(i) as official ids;
        boundary: bool[total, L - 2], b_l(i);
        nt_end: uint8[total], the least l with b_l(i), 0 where there is none.
    """
    grammar = parts[0].grammar
    inner = grammar.levels - 2
    total = sum(len(p.symbols[-1]) for p in parts)
    tokens = np.empty(total, np.int32)
    index = np.empty((inner, total), np.int32)
    symbol = np.empty((inner, total), np.min_scalar_type(grammar.symbol_id(1, 0)))
    boundary = np.zeros((inner, total), bool)
    nt_end = np.zeros(total, np.uint8)
    done = 0
    for part in parts:
        here = slice(done, done := done + len(part.symbols[-1]))
        np.add(part.symbols[-1], 1, out=tokens[here], casting="unsafe")
        for row in reversed(range(inner)):  # coarse levels last, they overwrite nt_end
            bounds = part.leaf_bounds[row + 1]
            counts = np.diff(bounds)
            index[row, here] = np.repeat(_places(part.offsets[row + 1]), counts)
            ids = (part.symbols[row + 1] + grammar.symbol_id(row + 2, 0)).astype(symbol.dtype)
            symbol[row, here] = np.repeat(ids, counts)
            boundary[row, here][bounds[1:] - 1] = True
            nt_end[here][bounds[1:] - 1] = row + 2
    labels = {"ancestor_index": index.T, "ancestor_symbol": symbol.T, "boundary": boundary.T}
    return Ragged(tokens, _join_offsets(parts), {**labels, "nt_end": nt_end})


def unlabelled(parts: Sequence[Derivations]) -> Ragged:
    """Returns the strings of all parts, tokens 1..|T|, one after the other."""
    tokens = np.concatenate([p.symbols[-1] for p in parts]).astype(np.int32)
    tokens += 1
    return Ragged(tokens, _join_offsets(parts))


def _join_offsets(parts: Sequence[Derivations]) -> np.ndarray:
    """int64[n + 1]: the token offsets of the strings of all parts laid end to end."""
    lengths = np.concatenate([np.diff(p.offsets[-1]) for p in parts])
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _places(offsets: np.ndarray) -> np.ndarray:
    """int32[total]: 1, 2, .. within each sequence."""
    shift = np.repeat(offsets[:-1].astype(np.int32), np.diff(offsets))
    return np.arange(1, len(shift) + 1, dtype=np.int32) - shift
