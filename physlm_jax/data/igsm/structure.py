"""The structure graph: which items can contain which, and the parameters that this makes.

Parameters are numbered: first the instance parameters, one per edge, by (layer, item, contained
item); then all abstract ones by (layer, item, layer of the category). An item's children are so
consecutive instance parameters. Source: arXiv 2407.20311, appendix D (Algorithm 1); the hyper-
parameters are those of its Algorithm 7 ("light").
"""

import math
from typing import NamedTuple

import numpy as np

from physlm_jax.data.compiled import (
    compiled,
    draw_below,
    draw_uniform,
    draw_weighted,
    shuffle,
)

INSTANCE, ABSTRACT = 0, 1


class Sizes(NamedTuple):
    """What a problem is drawn from: the numbers of a `Spec` that the compiled code needs.

    Attributes:
        op_max, ip_max: most operations, and most instance parameters.
        op: operations asked for; 0: drawn.
        depths, widths: float64[5], 1 where that depth (number of layers), that width (items of a
            layer) is allowed, else 0.
    """

    op_max: int
    ip_max: int
    op: int
    depths: np.ndarray
    widths: np.ndarray


class Hyper(NamedTuple):
    """The hyper-parameters of a candidate; letters of the papers in parentheses.

    Attributes:
        op: wanted operations (s).  first: part of them for abstract parameters (n).
        least: operations of necessary parameters, each instance counting one (m).
        depth: layers (d).  low, high: items of a layer (w0, w1).
        more: chance to add an item beyond what is needed (p).  edges: instance parameters (e).
    """

    op: int
    first: int
    least: int
    depth: int
    low: int
    high: int
    more: float
    edges: int


class Structure(NamedTuple):
    """A structure graph and its parameters.

    Attributes:
        depth: d.  widths: int32[d], items of each layer.
        instances: E, the number of instance parameters; the rest are abstract.
        ids: int32[P, 4], (t, i, j, k) of each parameter.
        first, children: int32[d, w], the parameters first .. first + children - 1 are those of
            the items that item (i, j) can contain.
        abstract: int32[d, w, d], the parameter (1, i, j, k), or -1.
    """

    depth: int
    widths: np.ndarray
    instances: int
    ids: np.ndarray
    first: np.ndarray
    children: np.ndarray
    abstract: np.ndarray


@compiled
def draw_hyper(sizes: Sizes, target: int, state: np.ndarray) -> Hyper:
    """Draws hyper-parameters, given that at least `target` operations are wanted.

    That condition leaves out candidates alone that could not have `target` operations: none has
    more than were wanted. So those that have `target` keep their law.
    """
    if sizes.op:
        op = sizes.op
    else:
        span = sizes.op_max - target + 1
        op = target + min(draw_below(state, span), draw_below(state, span))
    first = 1 + max(draw_below(state, op), draw_below(state, op))
    least = first + draw_below(state, op - first + 1)
    fullness = (op - 1) / (sizes.ip_max - 1)
    depth = _draw_size(state, fullness, sizes.depths)
    a, b = _draw_size(state, fullness, sizes.widths), _draw_size(state, fullness, sizes.widths)
    low, high = min(a, b), max(a, b)
    more = draw_uniform(state)
    fewest = (depth - 1) * low
    span = sizes.ip_max - fewest + 1
    edges = fewest + min(draw_below(state, span), draw_below(state, span))
    return Hyper(op, first, least, depth, low, high, more, min(edges, (depth - 1) * high**2))


@compiled
def _draw_size(state: np.ndarray, fullness: float, allowed: np.ndarray) -> int:
    """One of the allowed sizes 2, 3, 4, the likelier the fuller the problem: a softmax."""
    weights = np.zeros(5)
    for size in range(2, 5):
        weights[size] = allowed[size] * math.exp(-((fullness - (0.3 * size - 0.4)) ** 2))
    return draw_weighted(state, weights)


@compiled
def draw_structure(hyper: Hyper, state: np.ndarray) -> Structure:
    """Draws the items and edges: one parent for every item, the other edges anywhere."""
    widths = _draw_widths(hyper, state)
    edges = np.zeros((hyper.depth - 1, widths.max(), widths.max()), np.bool_)
    left = hyper.edges
    for i in range(hyper.depth - 1):
        for k in range(widths[i + 1]):
            edges[i, draw_below(state, widths[i]), k] = True
            left -= 1
    absent = np.empty(edges.size, np.int32)
    count = 0
    for i in range(hyper.depth - 1):
        for j in range(widths[i]):
            for k in range(widths[i + 1]):
                if not edges[i, j, k]:
                    absent[count] = (i * edges.shape[1] + j) * edges.shape[2] + k
                    count += 1
    absent = absent[:count]
    shuffle(state, absent, left)
    flat = edges.reshape(-1)
    for place in absent[:left]:
        flat[place] = True
    return lay_out(widths, edges)


@compiled
def _draw_widths(hyper: Hyper, state: np.ndarray) -> np.ndarray:
    """int32[d]: items of each layer; enough room for the edges, no more items than edges."""
    widths = np.full(hyper.depth, hyper.low, np.int32)
    while True:
        room = (widths[:-1] * widths[1:]).sum()
        if room >= hyper.edges and (
            widths[1:].sum() == hyper.edges or draw_uniform(state) >= hyper.more
        ):
            return widths
        growing = np.flatnonzero(widths < hyper.high)
        if len(growing) == 0:
            return widths
        widths[growing[draw_below(state, len(growing))]] += 1


@compiled
def lay_out(widths: np.ndarray, edges: np.ndarray) -> Structure:
    """Numbers the parameters.

    Args:
        widths: int32[d], items of each layer.
        edges: bool[d - 1, w, w], whether item (i, j) can contain item (i + 1, k).
    """
    depth, width = len(widths), widths.max()
    instances = edges.sum()
    count = instances
    for i in range(depth - 1):
        count += widths[i] * (depth - 1 - i)
    ids = np.empty((count, 4), np.int32)
    first = np.zeros((depth, width), np.int32)
    children = np.zeros((depth, width), np.int32)
    abstract = np.full((depth, width, depth), -1, np.int32)
    n, m = 0, instances
    for i in range(depth - 1):
        for j in range(widths[i]):
            first[i, j] = n
            for k in range(widths[i + 1]):
                if edges[i, j, k]:
                    ids[n, 0], ids[n, 1], ids[n, 2], ids[n, 3] = INSTANCE, i, j, k
                    n += 1
            children[i, j] = n - first[i, j]
            for k in range(i + 1, depth):
                ids[m, 0], ids[m, 1], ids[m, 2], ids[m, 3] = ABSTRACT, i, j, k
                abstract[i, j, k] = m
                m += 1
    return Structure(depth, widths, instances, ids, first, children, abstract)


@compiled
def implied(structure: Structure, p: int) -> np.ndarray:
    """int32[n]: what an abstract parameter is made of, in the order of its solution.

    Level 1: the children's instance parameters, to be added. Level > 1: for every child its
    instance parameter and the child's own abstract parameter, to be multiplied, then added.
    """
    i, j, k = structure.ids[p, 1], structure.ids[p, 2], structure.ids[p, 3]
    first, count = structure.first[i, j], structure.children[i, j]
    if k == i + 1:
        return np.arange(first, first + count).astype(np.int32)
    found = np.empty(2 * count, np.int32)
    for c in range(count):
        found[2 * c] = first + c
        found[2 * c + 1] = structure.abstract[i + 1, structure.ids[first + c, 3], k]
    return found


@compiled
def level(structure: Structure, p: int) -> int:
    """How many layers an abstract parameter spans: k - i; 0 for an instance parameter."""
    if structure.ids[p, 0] == INSTANCE:
        return 0
    return structure.ids[p, 3] - structure.ids[p, 1]
