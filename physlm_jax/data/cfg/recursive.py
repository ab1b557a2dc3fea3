"""General context-free grammars with recursion, for a user's own rules (such as a treebank's).

A rule file has lines `symbol: rule | rule`, the first symbol being the root; words without rules
of their own are the terminals; all rules of a symbol are equally likely. Rules of more than two
symbols are cut into chains of helper symbols, and the inside algorithm runs span by span over
the binary rules. Unit rules, cyclic or not, are solved exactly: with U[a, b] the chance that one
unit step takes a to b, a symbol derives what the symbols reached by any number of steps derive,
(I - U)^-1 = 1 + U + U^2 + .. . That series needs every unit chain to end with probability one.
Source: arXiv 2305.13673, experiment on the PTB grammar; Stolcke (1995) on unit rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from physlm_jax.data.ragged import Ragged, as_ragged
from physlm_jax.errors import InputError


@dataclass(frozen=True, eq=False)
class RecursiveGrammar:
    """Symbols 0.. (the root is 0), terminals 1.., and rules as tuples of names.

    Attributes:
        name: how people call it.
        rules: for every symbol its right-hand sides, in the order of the file.
        terminals: the names of the tokens 1, 2, ..
    """

    name: str
    rules: dict[str, tuple[tuple[str, ...], ...]]
    terminals: tuple[str, ...]

    @cached_property
    def binary(self) -> Binary:
        """The binarised rules with unit chains solved.

        Raises:
            InputError: some unit rules can go on for ever.
        """
        return _binarise(self)


@dataclass(frozen=True, eq=False)
class Binary:
    """Binary rules as arrays.

    Attributes:
        left, first, second: int64[rules], a -> b c; weight: float64[rules].
        emit: float64[symbols, terminals + 1], Pr(a -> token) in one step that ends the chain.
        closure: float64[symbols, symbols], (I - U)^-1.
    """

    left: np.ndarray
    first: np.ndarray
    second: np.ndarray
    weight: np.ndarray
    emit: np.ndarray
    closure: np.ndarray


def load_rules(path: str | Path) -> RecursiveGrammar:
    """Returns the grammar in a rule file.

    Raises:
        InputError: the file is missing, empty or malformed, a rule is empty or occurs twice under
            its symbol; the message names the file and the line.
    """
    path = Path(path)
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as text: {error}") from None
    rules: dict[str, tuple[tuple[str, ...], ...]] = {}
    for number, raw in enumerate(lines, 1):
        if line := raw.split("#", 1)[0].strip():
            _read_line(rules, line, f"{path}, line {number}")
    if not rules:
        raise InputError(f"{path}: the file holds no rules")
    words = (w for sides in rules.values() for rhs in sides for w in rhs)
    terminals = tuple(dict.fromkeys(w for w in words if w not in rules))
    return RecursiveGrammar(path.stem, rules, terminals)


def _read_line(rules: dict[str, tuple[tuple[str, ...], ...]], line: str, where: str) -> None:
    left, colon, right = line.partition(":")
    symbol = left.strip()
    if not colon or not symbol or len(symbol.split()) > 1:
        raise InputError(f"{where}: expected 'symbol: rule | rule'")
    for part in right.split("|"):
        rhs = tuple(part.split())
        if not rhs:
            raise InputError(f"{where}: an empty rule of '{symbol}'; every rule needs a symbol")
        if rhs in rules.get(symbol, ()):
            raise InputError(f"{where}: the rule '{' '.join(rhs)}' of '{symbol}' occurs twice")
        rules[symbol] = (*rules.get(symbol, ()), rhs)


def log_prob(grammar: RecursiveGrammar, strings: Ragged | Sequence[Sequence[int]]) -> np.ndarray:
    """Returns float64[n]: ln p(string) over all derivations, -inf outside the language.

    Args:
        strings: tokens 1..|T| in the order of `grammar.terminals`; other ids fit nowhere.
    """
    return np.array([_string_log_prob(grammar, s) for s in as_ragged(strings)], np.float64)


def is_valid(grammar: RecursiveGrammar, strings: Ragged | Sequence[Sequence[int]]) -> np.ndarray:
    """Returns bool[n]: which strings are in the language. Args: as `log_prob`."""
    return np.isfinite(log_prob(grammar, strings))


def _string_log_prob(grammar: RecursiveGrammar, string: np.ndarray) -> float:
    n, rules = len(string), grammar.binary
    if n == 0:
        return -np.inf
    known = np.where((string >= 1) & (string <= len(grammar.terminals)), string, 0)
    # [length, start, symbol]; a span of length m starting at i. Each length is scaled so that its
    # greatest entry is 1 and `scale` holds the ln of what was divided out.
    table = np.zeros((n + 1, n, len(rules.closure)))
    scale = np.full(n + 1, -np.inf)
    _store(table, scale, 1, rules.emit[:, known].T @ rules.closure.T, 0.0)
    for m in range(2, n + 1):
        lengths = np.arange(1, m)
        part = scale[lengths] + scale[m - lengths]
        top = part.max()
        if np.isneginf(top):
            continue
        total = np.zeros((n - m + 1, len(rules.closure)))
        for k in lengths[part > -np.inf]:
            left = table[k, : n - m + 1, rules.first]
            right = table[m - k, k : k + n - m + 1, rules.second]
            found = (rules.weight * np.exp(part[k - 1] - top))[:, None] * left * right
            np.add.at(total.T, rules.left, found)
        _store(table, scale, m, total @ rules.closure.T, top)
    with np.errstate(divide="ignore"):
        return float(np.log(table[n, 0, 0]) + scale[n]) if scale[n] > -np.inf else -np.inf


def _store(
    table: np.ndarray, scale: np.ndarray, length: int, values: np.ndarray, log_unit: float
) -> None:
    """Keeps the values of one length of spans, in units of their greatest."""
    greatest = values.max()
    if greatest > 0:
        table[length, : len(values)] = values / greatest
        scale[length] = log_unit + np.log(greatest)


def _binarise(grammar: RecursiveGrammar) -> Binary:
    number = {symbol: i for i, symbol in enumerate(grammar.rules)}
    token = {word: i for i, word in enumerate(grammar.terminals, 1)}
    size = len(number)
    binary: list[tuple[int, int, int, float]] = []
    units: list[tuple[int, int, float]] = []
    emits: list[tuple[int, int, float]] = []

    def as_symbol(word: str) -> int:
        """The number of a nonterminal; a terminal in a longer rule gets a symbol that emits it."""
        nonlocal size
        if word not in number:
            number[word], size = size, size + 1
            emits.append((number[word], token[word], 1.0))
        return number[word]

    for symbol, sides in grammar.rules.items():
        for rhs in sides:
            weight = 1.0 / len(sides)
            if len(rhs) == 1:
                word = rhs[0]
                target = (units, number[word]) if word in grammar.rules else (emits, token[word])
                target[0].append((number[symbol], target[1], weight))
                continue
            left = number[symbol]
            for word in rhs[:-2]:  # a -> b rest, rest a helper symbol of this rule alone
                binary.append((left, as_symbol(word), size, weight))
                left, size, weight = size, size + 1, 1.0
            binary.append((left, as_symbol(rhs[-2]), as_symbol(rhs[-1]), weight))
    return _as_arrays(grammar, size, binary, units, emits)


def _as_arrays(
    grammar: RecursiveGrammar,
    size: int,
    binary: list[tuple[int, int, int, float]],
    units: list[tuple[int, int, float]],
    emits: list[tuple[int, int, float]],
) -> Binary:
    step = np.zeros((size, size))
    for a, b, weight in units:
        step[a, b] += weight
    if units and np.abs(np.linalg.eigvals(step)).max() > 1.0 - 1e-9:
        raise InputError(
            f"rules '{grammar.name}': some unit rules only lead to each other, so their chain "
            "never ends; give one of the symbols another rule"
        )
    emit = np.zeros((size, len(grammar.terminals) + 1))
    for a, t, weight in emits:
        emit[a, t] += weight
    left, first, second = (np.array([r[i] for r in binary], np.int64) for i in range(3))
    weights = np.array([r[3] for r in binary])
    return Binary(left, first, second, weights, emit, np.linalg.inv(np.eye(size) - step))
