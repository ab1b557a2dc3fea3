"""Layered context-free grammars: the languages of "Physics of Language Models: Part 1".

A layered grammar has levels 1 (the root alone) to L (the terminals); a symbol of level l owns
rules whose right-hand sides hold one to three symbols of level l + 1, all of them equally likely.
There is no recursion inside a level, so every path from the root to a token has L nodes.

Inside this package a symbol is (level, number within the level from 0). Outside, symbols carry
the ids of the published data: terminals 1..|T|, then EOS, MASK and a separator, then the
nonterminals from the deepest level upward, the root last.
Source: arXiv 2305.13673, section 2 and the authors' published generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import index

import numpy as np

from physlm_jax.errors import InputError

Rules = tuple[tuple[tuple[tuple[int, ...], ...], ...], ...]
MAX_RULE_LENGTH = 3


@dataclass(frozen=True)
class Level:
    """The rules of one level as flat tables, rule by rule in the order of their symbols.

    Attributes:
        degree: int64[symbols], the number of rules of each symbol.
        first: int64[symbols], the number of its first rule.
        owner: int64[rules], the symbol on the left.
        width: int64[rules], the length of the right-hand side, 1 to 3.
        children: int64[3, rules], the right-hand side; 0 where there is no such child.
    """

    degree: np.ndarray
    first: np.ndarray
    owner: np.ndarray
    width: np.ndarray
    children: np.ndarray

    @classmethod
    def of(cls, rules: Sequence[Sequence[Sequence[int]]]) -> Level:
        degree = np.array([len(r) for r in rules], np.int64)
        flat = [rhs for symbol in rules for rhs in symbol]
        children = np.zeros((MAX_RULE_LENGTH, len(flat)), np.int64)
        for r, rhs in enumerate(flat):
            children[: len(rhs), r] = rhs
        owner = np.repeat(np.arange(len(degree)), degree)
        width = np.array([len(rhs) for rhs in flat], np.int64)
        return cls(degree, np.cumsum(degree) - degree, owner, width, children)


@dataclass(frozen=True)
class Grammar:
    """A checked layered grammar. Two grammars are equal if their sizes and rules are.

    Attributes:
        name: how people call it.
        sizes: the number of symbols of levels 1..L.
        rules: `rules[k][a]` holds the right-hand sides of symbol a (from 0) of level k + 1, each a
            tuple of symbols (from 0) of level k + 2.
        symbols: `symbols[k][a]`, the written name of that symbol, for drawings.
    """

    name: str = field(compare=False)
    sizes: tuple[int, ...]
    rules: Rules
    symbols: tuple[tuple[str, ...], ...] = field(compare=False, repr=False)

    @classmethod
    def from_rules(
        cls,
        rules: Sequence[Sequence[Sequence[Sequence[int]]]],
        terminals: int | None = None,
        name: str = "grammar",
        symbols: Sequence[Sequence[str]] | None = None,
    ) -> Grammar:
        """Returns the grammar with the given rules, checked.

        Args:
            rules: `rules[k][a]` = right-hand sides of symbol a of level k + 1 (all from 0).
            terminals: |T|; by default the largest terminal in use plus one.
            name: the grammar's name.
            symbols: written names, level by level; by default the official ids.

        Raises:
            InputError: no rules, a symbol without rules, a right-hand side of a length outside
                1..3, a child that the next level does not have, a symbol with two equal rules.
        """
        frozen = tuple(
            tuple(tuple(tuple(index(c) for c in rhs) for rhs in symbol) for symbol in level)
            for level in rules
        )
        if not frozen or not all(frozen):
            raise InputError(f"grammar '{name}' has no rules")
        used = max((c for symbol in frozen[-1] for rhs in symbol for c in rhs), default=-1)
        sizes = (*(len(level) for level in frozen), used + 1 if terminals is None else terminals)
        _check(name, sizes, frozen)
        names = symbols or [
            [str(_official_id(sizes, k + 1, a)) for a in range(n)] for k, n in enumerate(sizes)
        ]
        return cls(name, sizes, frozen, tuple(tuple(level) for level in names))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.sizes, self.rules))

    @property
    def levels(self) -> int:
        """L, the number of levels; the root is level 1, the terminals are level L."""
        return len(self.sizes)

    @property
    def terminals(self) -> int:
        """|T|, the number of terminals."""
        return self.sizes[-1]

    @property
    def bos(self) -> int:
        """The id that begins an example (a free choice of this project)."""
        return 0

    @property
    def eos(self) -> int:
        """The id that ends an example, |T| + 1 as in the published data."""
        return self.terminals + 1

    @property
    def mask(self) -> int:
        """The id that hides a token from an encoder, |T| + 2 as in the published data."""
        return self.terminals + 2

    @cached_property
    def tables(self) -> tuple[Level, ...]:
        """The rules of levels 1..L-1 as flat arrays, for vectorised work."""
        return tuple(Level.of(level) for level in self.rules)

    def symbol_id(self, level: int, number: int) -> int:
        """Returns the official id of symbol `number` (from 0) of `level` (1..L)."""
        return _official_id(self.sizes, level, number)

    def locate(self, symbol: int) -> tuple[int, int]:
        """Returns (level, number from 0) of an official id, the inverse of `symbol_id`.

        Raises:
            InputError: no symbol has this id.
        """
        for level, size in enumerate(self.sizes, 1):
            number = symbol - self.symbol_id(level, 0)
            if 0 <= number < size:
                return level, number
        last = self.symbol_id(1, 0)
        raise InputError(
            f"grammar '{self.name}' has no symbol {symbol} (terminals: 1..{self.terminals}, "
            f"nonterminals: {self.mask + 2}..{last})"
        )

    def under(self, symbol: int) -> Grammar:
        """Returns the language of the subtrees below one nonterminal, as a grammar of its own.

        The deeper levels stay whole, so every symbol below keeps its official id.

        Args:
            symbol: official id of a nonterminal.

        Raises:
            InputError: the symbol does not exist or is a terminal.
        """
        level, number = self.locate(symbol)
        if level == self.levels:
            raise InputError(f"'{symbol}' is a terminal of '{self.name}': nothing lies under it")
        if level == 1:
            return self
        top = level - 1
        rules = ((self.rules[top][number],), *self.rules[top + 1 :])
        names = ((self.symbols[top][number],), *self.symbols[top + 1 :])
        return Grammar.from_rules(rules, self.terminals, f"{self.name}-under-{symbol}", names)

    def unreachable(self) -> list[int]:
        """Returns the official ids of the symbols that no derivation from the root uses."""
        found, lost = {0}, []
        for k, level in enumerate(self.rules):
            found = {c for a in found for rhs in level[a] for c in rhs}
            lost += [self.symbol_id(k + 2, a) for a in range(self.sizes[k + 1]) if a not in found]
        return sorted(lost)


def _official_id(sizes: Sequence[int], level: int, number: int) -> int:
    if level == len(sizes):
        return number + 1
    return sizes[-1] + 3 + sum(sizes[level:-1]) + number + 1


def _check(name: str, sizes: tuple[int, ...], rules: Rules) -> None:
    if sizes[0] != 1:
        raise InputError(f"grammar '{name}': level 1 must hold the root alone, not {sizes[0]}")
    for k, level in enumerate(rules):
        for a, symbol in enumerate(level):
            where = f"grammar '{name}', rules[{k}][{a}]"
            if not symbol:
                raise InputError(f"{where}: a symbol without rules")
            for r, rhs in enumerate(symbol):
                _check_rule(where, rhs, sizes[k + 1])
                if rhs in symbol[:r]:
                    raise InputError(f"{where}: the rule {list(rhs)} occurs twice")


def _check_rule(where: str, rhs: tuple[int, ...], size: int) -> None:
    if not 1 <= len(rhs) <= MAX_RULE_LENGTH:
        raise InputError(f"{where}: a rule of {len(rhs)} symbols (allowed: 1 to 3)")
    for child in rhs:
        if not 0 <= child < size:
            raise InputError(f"{where}: child {child} is not in the next level (0..{size - 1})")
