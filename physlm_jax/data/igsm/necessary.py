"""Which parameters a problem needs, and in which order its solution defines them.

Source: arXiv 2407.20311, appendix D: `choose` is Algorithm 2, `put_in_order` Algorithm 3 and
`fill` Algorithm 4, in the variants of the authors' generator.
"""

import math
from typing import NamedTuple

import numpy as np

from physlm_jax.data.compiled import (
    compiled,
    draw_below,
    draw_normal,
    draw_uniform,
    draw_weighted,
    shuffle,
)
from physlm_jax.data.igsm.structure import Hyper, Structure, implied, level

MOST = 4  # dependencies of an instance parameter, the random constant counted


class Dependencies(NamedTuple):
    """What each parameter's formula uses, in the order of the text.

    Attributes:
        used: int32[P, K], the parameters.  counts: int32[P], how many.
        constant: bool[P], whether a random constant is in the formula (RNG).
    """

    used: np.ndarray
    counts: np.ndarray
    constant: np.ndarray


@compiled
def implied_dependencies(structure: Structure, most: int) -> Dependencies:
    """What the abstract parameters use; nothing yet for the others.

    Args:
        most: room for each instance parameter's dependencies.
    """
    count = len(structure.ids)
    used = np.full((count, max(2 * structure.children.max(), most)), -1, np.int32)
    counts = np.zeros(count, np.int32)
    for p in range(structure.instances, count):
        parts = implied(structure, p)
        used[p, : len(parts)] = parts
        counts[p] = len(parts)
    return Dependencies(used, counts, np.zeros(count, np.bool_))


@compiled
def operations(indegree: int) -> int:
    """Operations of a parameter of that in-degree (RNG counted): definition D.1."""
    return max(1, indegree - 1)


@compiled
def choose(
    structure: Structure, deps: Dependencies, hyper: Hyper, state: np.ndarray
) -> tuple[np.ndarray, int]:
    """Draws the necessary parameters: abstract ones first, then instance ones.

    Returns:
        bool[P], and the operations when each instance parameter counts one: at most hyper.least.
    """
    chosen = np.zeros(len(structure.ids), np.bool_)
    budget = min(hyper.first, _total(structure))
    rest = hyper.least - budget
    lowest, highest = 1, structure.depth - 1
    while budget > 0 and lowest <= highest:
        kept, kept_cost, full = -1, 0, False
        for span in range(1, structure.depth):
            options = _unchosen(structure, chosen, span)
            if len(options) == 0:
                if span == lowest:
                    lowest += 1
                elif span == highest:
                    highest -= 1
                continue
            p = options[draw_below(state, len(options))]
            cost = _cost(structure, deps, chosen, p)
            if cost > budget:
                full = span == lowest
                break
            kept, kept_cost = p, cost
            if span == highest:
                break
        else:
            continue  # levels ran out: look again, with the highest that is left
        if full:
            break
        mark(deps, chosen, kept)
        budget -= kept_cost
    _add_instances(structure, chosen, max(budget, 0) + rest, state)
    total = 0
    for p in np.flatnonzero(chosen):
        total += 1 if p < structure.instances else operations(deps.counts[p])
    return chosen, total


@compiled
def _total(structure: Structure) -> int:
    """Operations when everything is chosen."""
    total = structure.instances
    for i in range(structure.depth - 1):
        for j in range(structure.widths[i]):
            c = structure.children[i, j]
            total += max(2 * c - 1, 0) * (structure.depth - i - 2) + (c - 1 if c > 1 else c)
    return total


@compiled
def _unchosen(structure: Structure, chosen: np.ndarray, span: int) -> np.ndarray:
    """The abstract parameters of one level that are not chosen."""
    found = np.empty(len(chosen), np.int32)
    n = 0
    for p in range(structure.instances, len(chosen)):
        if not chosen[p] and level(structure, p) == span:
            found[n] = p
            n += 1
    return found[:n]


@compiled
def _cost(structure: Structure, deps: Dependencies, chosen: np.ndarray, p: int) -> int:
    """Operations that choosing an abstract parameter adds, with all that it needs.

    What two of its parts share is counted twice, as the authors' generator does.
    """
    cost, todo = 0, [p]
    while len(todo):
        v = todo.pop()
        cost += operations(deps.counts[v])
        for c in range(deps.counts[v]):
            u = deps.used[v, c]
            if not chosen[u] and u < structure.instances:
                cost += 1
            elif not chosen[u]:
                todo.append(u)
    return cost


@compiled
def mark(deps: Dependencies, marked: np.ndarray, p: int) -> None:
    """Marks a parameter and all that it needs, however indirectly."""
    todo = [p]
    while len(todo):
        v = todo.pop()
        marked[v] = True
        for c in range(deps.counts[v]):
            if not marked[deps.used[v, c]]:
                todo.append(deps.used[v, c])


@compiled
def _add_instances(structure: Structure, chosen: np.ndarray, count: int, state: np.ndarray) -> None:
    left = np.flatnonzero(~chosen[: structure.instances])
    shuffle(state, left, count)
    for p in left[:count]:
        chosen[p] = True


@compiled
def put_in_order(
    structure: Structure, deps: Dependencies, chosen: np.ndarray, state: np.ndarray
) -> tuple[bool, np.ndarray]:
    """Draws the order of the solution, backwards from the query; instances get their first need.

    Writes deps: an instance parameter that was connected uses one other.

    Returns:
        Whether it worked out, and int32[S], the parameters, the query last.
    """
    eager, bias = draw_uniform(state), abs(draw_normal(state))
    unplaced = chosen.copy()
    needed = np.zeros(len(chosen), np.bool_)  # the papers' Next1: some placed one needs it
    users = np.zeros(len(chosen), np.int32)  # unplaced ones that need it; free (Next2): none
    for p in np.flatnonzero(chosen):
        for c in range(deps.counts[p]):
            users[deps.used[p, c]] += 1
    order = np.empty(chosen.sum(), np.int32)
    for n in range(len(order) - 1, -1, -1):
        free = unplaced & (users == 0)
        pool = np.flatnonzero(free if n == len(order) - 1 else free & needed)
        if len(pool) == 0:
            return False, order
        v = pool[draw_below(state, len(pool))]
        order[n] = v
        unplaced[v] = needed[v] = free[v] = False
        for c in range(deps.counts[v]):
            users[deps.used[v, c]] -= 1
            needed[deps.used[v, c]] = True
        if v >= structure.instances or n == 0:
            continue
        free = unplaced & (users == 0)
        must = not (free & needed).any()
        if draw_uniform(state) < eager or must:
            u = _connected(structure, free if must else unplaced, needed, bias, state)
            deps.used[v, 0], deps.counts[v] = u, 1
            needed[u] = True
    return True, order


@compiled
def _connected(
    structure: Structure, options: np.ndarray, needed: np.ndarray, bias: float, state: np.ndarray
) -> int:
    """One of the options; abstract ones, and those not yet needed, are the likelier."""
    weights = np.zeros(len(options))
    for u in np.flatnonzero(options):
        points = int(u >= structure.instances) + int(not needed[u])
        weights[u] = math.exp(bias * points)
    return draw_weighted(state, weights)


@compiled
def extra_operations(
    structure: Structure, order: np.ndarray, least: int, wanted: int, state: np.ndarray
) -> tuple[int, np.ndarray]:
    """Spreads the operations beyond `least` over the instance parameters.

    Returns:
        The operations of the solution, at most `wanted` (or `least`), and int32[S], each
        parameter's further operations.
    """
    room = np.zeros(len(order), np.int32)
    for i in range(len(order)):
        if order[i] < structure.instances:
            room[i] = max(min(i + 1, MOST) - 2, 0)
    total = least + min(max(least, wanted) - least, room.sum())
    extra = np.zeros(len(order), np.int32)
    for _ in range(total - least):
        growing = np.flatnonzero(extra < room)
        extra[growing[draw_below(state, len(growing))]] += 1
    return total, extra


@compiled
def fill(
    structure: Structure,
    deps: Dependencies,
    order: np.ndarray,
    extra: np.ndarray,
    state: np.ndarray,
) -> None:
    """Draws what the necessary instance parameters use besides what they were connected to."""
    for i in range(len(order)):
        p = order[i]
        if p >= structure.instances:
            continue
        wanted = extra[i] + 2 if extra[i] else 1 + draw_below(state, 2)
        wanted = min(wanted, i + 1, MOST)
        had = deps.counts[p]
        earlier = order[:i].copy()
        if had:
            earlier = earlier[earlier != deps.used[p, 0]]
        if wanted == i + 1:  # all there is
            deps.constant[p] = True
            _use(deps, p, earlier, len(earlier))
            continue
        _draw_used(deps, p, earlier, wanted - had, state)


@compiled
def _draw_used(
    deps: Dependencies, p: int, pool: np.ndarray, wanted: int, state: np.ndarray
) -> None:
    """Draws `wanted` from the pool and the constant; the constant is tried first, by a coin."""
    if wanted <= 0:
        return
    if draw_uniform(state) < 0.5:
        deps.constant[p] = True
        shuffle(state, pool, wanted - 1)
        _use(deps, p, pool, wanted - 1)
        return
    both = np.append(pool, -1)
    shuffle(state, both, wanted)
    for u in both[:wanted]:
        if u < 0:
            deps.constant[p] = True
        else:
            _use(deps, p, np.array([u]), 1)


@compiled
def _use(deps: Dependencies, p: int, pool: np.ndarray, count: int) -> None:
    for u in pool[:count]:
        deps.used[p, deps.counts[p]] = u
        deps.counts[p] += 1
