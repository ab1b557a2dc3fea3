"""Drawing problems: candidates are made until one has the operations asked for.

The papers draw the number of operations once and then throw candidates away until one has it. Here
candidates are drawn given that at least so many are wanted (see `draw_hyper`), which gives the same
law with a fifth of the waste, and every problem has a random stream of its own: problem i depends
on the specification, the seed and i alone.
"""

from typing import NamedTuple

import numpy as np

from physlm_jax.data.compiled import compiled, draw_below, shuffle
from physlm_jax.data.igsm.formulas import (
    LETTERS,
    Problem,
    draw_formulas,
    evaluate,
    permutation,
    total_operations,
)
from physlm_jax.data.igsm.necessary import (
    Dependencies,
    choose,
    extra_operations,
    fill,
    implied_dependencies,
    mark,
    put_in_order,
)
from physlm_jax.data.igsm.structure import (
    Hyper,
    Sizes,
    Structure,
    draw_hyper,
    draw_structure,
)
from physlm_jax.data.igsm.unnecessary import add_unnecessary

TRIES = 1000  # of one set of hyper-parameters, as in the authors' generator
CANDIDATES = 20_000  # then the operations asked for are taken to be out of reach


class Lists(NamedTuple):
    """The names on offer, as numbers.

    Attributes:
        items: int32[chains, categories, sub-categories, most], the items' numbers.
        counts: int32[chains, categories, sub-categories], how many each has.
        categories: int32[chains, categories], the categories' numbers.
    """

    items: np.ndarray
    counts: np.ndarray
    categories: np.ndarray


@compiled
def draw_target(sizes: Sizes, state: np.ndarray) -> int:
    """How many operations a problem is to have; P(k) = (2 (op_max - k) + 1) / op_max ** 2."""
    if sizes.op:
        return sizes.op
    return 1 + min(draw_below(state, sizes.op_max), draw_below(state, sizes.op_max))


class Skeleton(NamedTuple):
    """A candidate before the parameters it does not need: see `necessary`."""

    structure: Structure
    deps: Dependencies
    chosen: np.ndarray
    order: np.ndarray
    extra: np.ndarray


@compiled
def draw_skeleton(sizes: Sizes, target: int, state: np.ndarray) -> tuple[bool, Skeleton]:
    """Draws candidates until one has `target` operations; False if none of very many has."""
    for _ in range(CANDIDATES):
        hyper = draw_hyper(sizes, target, state)
        for _ in range(TRIES):
            placed, total, skeleton = _attempt(hyper, state)
            if placed:
                break
        if placed and total == target:
            return True, skeleton
    return False, skeleton


@compiled
def _attempt(hyper: Hyper, state: np.ndarray) -> tuple[bool, int, Skeleton]:
    structure = draw_structure(hyper, state)
    deps = implied_dependencies(structure, 4)
    chosen, least = choose(structure, deps, hyper, state)
    placed, order = put_in_order(structure, deps, chosen, state)
    total, extra = 0, np.zeros(0, np.int32)
    if placed:
        total, extra = extra_operations(structure, order, least, hyper.op, state)
    return placed, total, Skeleton(structure, deps, chosen, order, extra)


@compiled
def draw_problem(
    sizes: Sizes, lists: Lists, reask: bool, target: int, state: np.ndarray
) -> tuple[bool, Problem]:
    """Draws a problem with `target` operations (before it is asked again, with `reask`).

    Returns:
        False if there is no such problem, or the letters do not suffice for it.
    """
    found, skeleton = draw_skeleton(sizes, target, state)
    structure, deps, order = skeleton.structure, skeleton.deps, skeleton.order
    fill(structure, deps, order, skeleton.extra, state)
    in_graph = add_unnecessary(structure, deps, skeleton.chosen, state)
    formulas = draw_formulas(structure, deps, state)
    necessary = skeleton.chosen
    if reask:
        query = _other(in_graph, order[-1], state)
        necessary = np.zeros_like(in_graph)
        mark(deps, necessary, query)
        order = _any_order(deps, necessary, state)
    problem = Problem(
        structure,
        deps,
        formulas[0],
        formulas[1],
        formulas[2],
        evaluate(structure, deps, formulas, in_graph),
        in_graph,
        necessary,
        order,
        permutation(state, structure.instances),
        permutation(state, LETTERS),
        _draw_names(structure, lists, state),
    )
    return found and total_operations(problem) <= LETTERS, problem


@compiled
def _other(in_graph: np.ndarray, query: int, state: np.ndarray) -> int:
    """Another parameter of the dependency graph (the query, if there is no other)."""
    options = np.flatnonzero(in_graph)
    options = options[options != query]
    return options[draw_below(state, len(options))] if len(options) else query


@compiled
def _any_order(deps: Dependencies, necessary: np.ndarray, state: np.ndarray) -> np.ndarray:
    """int32[S]: the necessary parameters in a random topological order."""
    left = necessary.copy()
    order = np.empty(necessary.sum(), np.int32)
    for n in range(len(order)):
        ready = left.copy()
        for p in np.flatnonzero(left):
            for c in range(deps.counts[p]):
                ready[p] &= not left[deps.used[p, c]]
        options = np.flatnonzero(ready)
        order[n] = options[draw_below(state, len(options))]
        left[order[n]] = False
    return order


@compiled
def _draw_names(structure: Structure, lists: Lists, state: np.ndarray) -> np.ndarray:
    """int32[d, w + 1]: the names of the items of each layer, and of its category."""
    width = structure.widths.max()
    names = np.full((structure.depth, width + 1), -1, np.int32)
    chain = draw_below(state, lists.categories.shape[0])
    first = draw_below(state, lists.categories.shape[1] - structure.depth + 1)
    for i in range(structure.depth):
        sub = draw_below(state, lists.counts.shape[2])
        pool = lists.items[chain, first + i, sub, : lists.counts[chain, first + i, sub]].copy()
        shuffle(state, pool, structure.widths[i])
        names[i, : structure.widths[i]] = pool[: structure.widths[i]]
        names[i, width] = lists.categories[chain, first + i]
    return names
