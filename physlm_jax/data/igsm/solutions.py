"""Solutions as text, in pieces, without and with mistakes that are taken back.

A step defines one parameter; what it folds on the way gets letters of its own. With a retry rate,
sentences `Define <name> as BACK.` stand before a step, each with that probability after another.
Source: arXiv 2407.20311 (the grammar); arXiv 2408.16293, section 4 (retry data).
"""

from typing import Any, NamedTuple

import numpy as np

from physlm_jax.data.compiled import compiled, draw_below, draw_uniform
from physlm_jax.data.igsm.formulas import (
    DIFFERENCE,
    MODULUS,
    MORE,
    PLAIN,
    Problem,
)
from physlm_jax.data.igsm.language import LETTER, NUMBER, mark, phrase
from physlm_jax.data.igsm.writing import (
    KEPT,
    SYMBOL,
    WRONG_FRAME,
    WRONG_NAME,
    Writer,
    put,
    write_name,
)

RETRY, WEAK, WEAK_OR_SAME, MISS = 0, 1, 2, 3

_DEFINE, _AS, _BACK, _SO = phrase("Define")[0], phrase("as")[0], phrase("BACK")[0], phrase("so")[0]
_STOP, _SEMICOLON, _EQUALS = mark("."), mark(";"), mark("=")
_PLUS, _MINUS, _BY = mark("+"), mark("-"), mark("*")


class Term(NamedTuple):
    """An operand: its piece, a letter or a number, and its value."""

    piece: np.int64
    value: np.int64


@compiled
def write_solution(
    writer: Writer, problem: Problem, rate: float, kind: int, state: np.ndarray
) -> None:
    """Writes the solution.

    Args:
        rate: probability of a mistake before every step, and after every mistake: 0 <= rate < 1.
        kind: which parameters mistakes are: RETRY (cannot be computed yet), WEAK (defined by
            later steps), WEAK_OR_SAME (and by this one), MISS (in the statement, not yet solved).
        state: the random stream of the mistakes.
    """
    symbol = np.full(len(problem.value), -1, np.int32)
    used = np.zeros(1, np.int32)  # letters given away
    for n in range(len(problem.order)):
        if rate > 0:
            _write_mistakes(writer, problem, symbol, n, rate, kind, state)
        p = problem.order[n]
        symbol[p] = _letter(problem, used)
        put(writer, _DEFINE, KEPT)
        write_name(writer, problem, p, KEPT)
        put(writer, _AS, KEPT)
        put(writer, symbol[p], SYMBOL)
        put(writer, _SEMICOLON, KEPT)
        _write_formula(writer, problem, symbol, used, p)
        put(writer, _STOP, KEPT)


@compiled
def _letter(problem: Problem, used: np.ndarray) -> np.int64:
    """The piece of a fresh letter."""
    used[0] += 1
    return np.int64(LETTER + problem.letters[used[0] - 1])


@compiled
def _term(problem: Problem, symbol: np.ndarray, p: int) -> Term:
    return Term(np.int64(symbol[p]), np.int64(problem.value[p]))


@compiled
def _write_formula(
    writer: Writer, problem: Problem, symbol: np.ndarray, used: np.ndarray, p: int
) -> None:
    """Writes intermediates and the final `so` part."""
    ids, constant = problem.structure.ids[p], np.int64(problem.constant[p])
    count, outer = problem.deps.counts[p], problem.outer[p]
    if count == 0:
        _so(writer, symbol[p], NUMBER + constant)
    elif p >= problem.structure.instances and ids[3] > ids[1] + 1:
        _write_products(writer, problem, symbol, used, p)
    elif outer == PLAIN and count == 1:
        only = _term(problem, symbol, problem.deps.used[p, 0])
        _so(writer, symbol[p], only.piece)
        put(writer, _EQUALS, KEPT)
        put(writer, NUMBER + only.value, KEPT)
    else:
        folded = count - 1 if outer == PLAIN else count
        total = _term(problem, symbol, problem.deps.used[p, 0])
        operation = _MINUS if problem.inner[p] == DIFFERENCE else _PLUS
        for c in range(1, folded):
            part = _term(problem, symbol, problem.deps.used[p, c])
            total = _fold(writer, problem, used, operation, total, part)
        if outer == PLAIN:
            last = _term(problem, symbol, problem.deps.used[p, folded])
            _last(writer, symbol[p], operation, total, last)
        else:
            number = Term(NUMBER + constant, constant)
            _last(writer, symbol[p], _PLUS if outer == MORE else _BY, number, total)


@compiled
def _write_products(
    writer: Writer, problem: Problem, symbol: np.ndarray, used: np.ndarray, p: int
) -> None:
    """Writes an abstract parameter of several layers: products, added up one by one."""
    count, parts = problem.deps.counts[p], problem.deps.used[p]
    total = Term(np.int64(0), np.int64(0))
    for c in range(0, count, 2):
        a, b = _term(problem, symbol, parts[c]), _term(problem, symbol, parts[c + 1])
        if count == 2:
            _last(writer, symbol[p], _BY, a, b)
            return
        product = _fold(writer, problem, used, _BY, a, b)
        if c == 0:
            total = product
        elif c + 2 < count:
            total = _fold(writer, problem, used, _PLUS, total, product)
        else:
            _last(writer, symbol[p], _PLUS, total, product)


@compiled
def _fold(
    writer: Writer, problem: Problem, used: np.ndarray, operation: int, a: Term, b: Term
) -> Term:
    """Writes `X = a + b = 3 + 4 = 7;` with a fresh letter X; returns X."""
    piece = _letter(problem, used)
    put(writer, piece, SYMBOL)
    value = _write_calculation(writer, operation, a, b)
    put(writer, _SEMICOLON, KEPT)
    return Term(piece, value)


@compiled
def _last(writer: Writer, piece: Any, operation: int, a: Term, b: Term) -> None:
    """Writes `so X = a + b = 3 + 4 = 7`."""
    put(writer, _SO, KEPT)
    put(writer, piece, KEPT)
    _write_calculation(writer, operation, a, b)


@compiled
def _so(writer: Writer, piece: Any, value: Any) -> None:
    """Writes `so X = 3`, or a letter for the number."""
    put(writer, _SO, KEPT)
    put(writer, piece, KEPT)
    put(writer, _EQUALS, KEPT)
    put(writer, value, KEPT)


@compiled
def _write_calculation(writer: Writer, operation: int, a: Term, b: Term) -> Any:
    """Writes ` = a + b = 3 + 4 = 7`; returns the result."""
    value = a.value + b.value
    if operation == _MINUS:
        value = a.value - b.value
    elif operation == _BY:
        value = a.value * b.value
    value %= MODULUS
    _write_operands(writer, a.piece, operation, b.piece)
    _write_operands(writer, NUMBER + a.value, operation, NUMBER + b.value)
    put(writer, _EQUALS, KEPT)
    put(writer, NUMBER + value, KEPT)
    return value


@compiled
def _write_operands(writer: Writer, a: Any, operation: int, b: Any) -> None:
    put(writer, _EQUALS, KEPT)
    put(writer, a, KEPT)
    put(writer, operation, KEPT)
    put(writer, b, KEPT)


@compiled
def _write_mistakes(
    writer: Writer,
    problem: Problem,
    symbol: np.ndarray,
    step: int,
    rate: float,
    kind: int,
    state: np.ndarray,
) -> None:
    """Writes mistakes before a step: drawn without replacement, until a coin says stop."""
    options = np.flatnonzero(mistakes(problem, symbol >= 0, step, kind))
    left = len(options)
    while left and draw_uniform(state) < rate:
        n = draw_below(state, left)
        put(writer, _DEFINE, WRONG_FRAME)
        write_name(writer, problem, options[n], WRONG_NAME)
        put(writer, _AS, WRONG_FRAME)
        put(writer, _BACK, KEPT)
        put(writer, _STOP, KEPT)
        left -= 1
        options[n] = options[left]


@compiled
def mistakes(problem: Problem, known: np.ndarray, step: int, kind: int) -> np.ndarray:
    """bool[P]: the parameters that a mistake before this step can name.

    Args:
        known: bool[P], defined by earlier steps.
        step: of the solution, from 0.
    """
    found = np.zeros(len(known), np.bool_)
    if kind in (WEAK, WEAK_OR_SAME):
        for p in problem.order[step + (kind == WEAK) :]:
            found[p] = True
        return found
    if kind == MISS:
        for p in range(problem.structure.instances):
            found[p] = True
            for c in range(problem.deps.counts[p]):
                found[problem.deps.used[p, c]] = True
        return found & ~known
    for p in range(len(known)):
        for c in range(problem.deps.counts[p]):
            found[p] |= not known[problem.deps.used[p, c]]
    return found & ~known
