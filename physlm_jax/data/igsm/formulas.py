"""Formulas of instance parameters, values of all, and what else a text leaves to chance.

Source: arXiv 2407.20311, appendix D (Algorithm 6) and the text's grammar.
"""

from typing import Any, NamedTuple

import numpy as np

from physlm_jax.data.compiled import compiled, draw_below, shuffle
from physlm_jax.data.igsm.necessary import Dependencies, operations
from physlm_jax.data.igsm.structure import Structure

MODULUS = 23
LETTERS = 52
NONE, SINGLE, SUM, DIFFERENCE = 0, 1, 2, 3  # of the parameters used
PLAIN, MORE, TIMES = 0, 1, 2  # what the constant does: "more than", "times as much as"


class Problem(NamedTuple):
    """A whole problem as arrays: what the compiled code makes and reads.

    Attributes:
        structure, deps: see there; deps are those of all parameters of the dependency graph, and
            the implied ones of abstract parameters outside it.
        inner, outer: int32[P], NONE.. and PLAIN.., the formula of an instance parameter.
        constant: int32[P], its constant.
        value: int32[P], 0..22, or -1 outside the dependency graph.
        in_graph, necessary: bool[P].
        order: int32[S], the parameters in the order of the solution, the query last.
        statement: int32[E], the order of the statement's sentences.
        letters: int32[52], the order in which letters 0..51 (a-z, A-Z) are given to symbols.
        names: int32[d, w + 1], which name every item has; the last column, the category's.
    """

    structure: Structure
    deps: Dependencies
    inner: np.ndarray
    outer: np.ndarray
    constant: np.ndarray
    value: np.ndarray
    in_graph: np.ndarray
    necessary: np.ndarray
    order: np.ndarray
    statement: np.ndarray
    letters: np.ndarray
    names: np.ndarray


@compiled
def draw_formulas(
    structure: Structure, deps: Dependencies, state: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns inner, outer and constant of a `Problem`, int32[P] each."""
    count = len(structure.ids)
    inner, outer = np.zeros(count, np.int32), np.zeros(count, np.int32)
    constant = np.zeros(count, np.int32)
    for p in range(structure.instances):
        if deps.counts[p] == 0:
            constant[p] = draw_below(state, MODULUS)
            continue
        inner[p] = SINGLE if deps.counts[p] == 1 else SUM
        if deps.counts[p] == 2:
            inner[p] = SUM + draw_below(state, 2)
        if deps.constant[p]:
            outer[p] = MORE + draw_below(state, 2)
            low = outer[p] == TIMES
            constant[p] = low + draw_below(state, MODULUS - low)
    return inner, outer, constant


@compiled
def evaluate(
    structure: Structure,
    deps: Dependencies,
    formulas: tuple[np.ndarray, np.ndarray, np.ndarray],
    in_graph: np.ndarray,
) -> np.ndarray:
    """int32[P]: the values modulo 23, -1 outside the dependency graph, -2 on a cycle of it."""
    value = np.where(in_graph, -2, -1).astype(np.int32)
    moved = True
    while moved:
        moved = False
        for p in np.flatnonzero(value == -2):
            ready = True
            for c in range(deps.counts[p]):
                ready &= value[deps.used[p, c]] >= 0
            if ready:
                value[p] = _value(structure, deps, formulas, value, p)
                moved = True
    return value


@compiled
def _value(
    structure: Structure,
    deps: Dependencies,
    formulas: tuple[np.ndarray, np.ndarray, np.ndarray],
    value: np.ndarray,
    p: Any,
) -> Any:
    used, count, total = deps.used[p], deps.counts[p], 0
    if p >= structure.instances and structure.ids[p, 3] > structure.ids[p, 1] + 1:
        for c in range(0, count, 2):
            total += value[used[c]] * value[used[c + 1]]
        return total % MODULUS
    for c in range(count):
        total += value[used[c]]
    if p >= structure.instances:
        return total % MODULUS
    inner, outer, constant = formulas
    if inner[p] == NONE:
        return constant[p]
    if inner[p] == DIFFERENCE:
        total -= 2 * value[used[1]]
    if outer[p] == MORE:
        total += constant[p]
    elif outer[p] == TIMES:
        total *= constant[p]
    return total % MODULUS


@compiled
def total_operations(problem: Problem) -> int:
    """The operations of a problem's solution: definition D.1."""
    total = 0
    for p in problem.order:
        total += operations(problem.deps.counts[p] + problem.deps.constant[p])
    return total


@compiled
def permutation(state: np.ndarray, count: int) -> np.ndarray:
    """int32[count]: 0..count-1 in random order."""
    order = np.arange(count).astype(np.int32)
    shuffle(state, order, count)
    return order
