"""What is counted of problems, ours and the slow generator's alike, as arrays over problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import igsm_law
import numpy as np

from physlm_jax.data import igsm

COUNTED = (
    "op",
    "depth",
    "items",
    "barren",  # items that contain nothing, though a layer is below theirs
    "full",  # whether every item contains all of the next layer
    "ip",
    "sentences",
    "unused",  # instance parameters that the query does not need
    "unused_abstract",  # of the dependency graph
    "abstract",  # necessary abstract parameters
    "high",  # of these, of a level above 1
    "childless",  # of these, those without parts
    "query_abstract",
    "zero",  # whether the answer is 0
    "constants",  # necessary instance parameters with a random constant in the formula
    "degree1",  # necessary instance parameters of in-degree 1, the constant counted
    "degree2",
    "degree3",
    "degree4",
    "idle1",  # the same of the unnecessary ones
    "idle2",
    "idle3",
    "idle4",
)


@dataclass(frozen=True)
class Table:
    """int64[n] of each of `COUNTED`."""

    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def of_op(self, low: int, high: int) -> Table:
        """The problems with low .. high operations."""
        kept = (self["op"] >= low) & (self["op"] <= high)
        return Table({name: column[kept] for name, column in self.columns.items()})


def counted(
    degrees: dict, parts: dict, order: list, widths: list[int], answer: int, used: dict
) -> tuple:
    """One row: in-degrees and constants of instances, number of parts of abstract ones in use."""
    needed = set(order)
    instances = [p for p in degrees if p in needed]
    idle = [p for p in degrees if p not in needed]
    abstract = [p for p in order if p[0] == 1]
    op = sum(max(1, (degrees[p] if p[0] == 0 else parts[p]) - 1) for p in order)
    by_degree = [
        sum(degrees[p] == k for p in some) for some in (instances, idle) for k in range(1, 5)
    ]
    return (
        op,
        len(widths),
        sum(widths),
        sum(widths[:-1]) - len({p[1:3] for p in degrees}),
        sum(a * b for a, b in pairwise(widths)) == len(degrees),
        len(degrees),
        len(order),
        len(idle),
        len(parts) - len(abstract),
        len(abstract),
        sum(p[3] > p[1] + 1 for p in abstract),
        sum(parts[p] == 0 for p in abstract),
        order[-1][0] == 1,
        answer == 0,
        sum(used[p] for p in instances),
        *by_degree,
    )


def table(rows: Iterable[tuple]) -> Table:
    whole = np.array(list(rows), np.int64)
    return Table(dict(zip(COUNTED, whole.T, strict=True)))


def of_problem(problem: igsm.Problem) -> tuple:
    arrays = problem.arrays
    ids = problem.params
    counts, constant = arrays.deps.counts.tolist(), arrays.deps.constant.tolist()
    instances, graph = int(arrays.structure.instances), arrays.in_graph.tolist()
    return counted(
        {ids[n]: counts[n] + constant[n] for n in range(instances)},
        {ids[n]: counts[n] for n in range(instances, len(ids)) if graph[n]},
        [ids[n] for n in arrays.order.tolist()],
        arrays.structure.widths.tolist(),
        problem.answer,
        {ids[n]: constant[n] for n in range(instances)},
    )


def ours(spec: igsm.Spec, seed: int, count: int, chunk: int = 2000) -> Table:
    """Of problems 0..count-1 of a stream."""

    def rows() -> Iterator[tuple]:
        for start in range(0, count, chunk):
            yield from map(of_problem, igsm.sample(spec, seed, start, min(chunk, count - start)))

    return table(rows())


def of_drawn(drawn: igsm_law.Drawn) -> tuple:
    uses = drawn.uses
    return counted(
        {p: len(used) for p, used in uses.items() if p[0] == 0},
        {p: len(used) for p, used in uses.items() if p[0] == 1},
        drawn.order,
        drawn.widths,
        -1,
        {p: igsm_law.RNG in used for p, used in uses.items()},
    )


def surprise(statistic: float, degrees: int) -> float:
    """A chi-square statistic as standard deviations of a normal law (Wilson and Hilferty)."""
    spread = 2 / (9 * degrees)
    return float(((statistic / degrees) ** (1 / 3) - 1 + spread) / np.sqrt(spread))


def misfit(counts: np.ndarray, expected: np.ndarray | float) -> float:
    """How far counts are from what is expected of them, in the same unit."""
    return surprise(float(((counts - expected) ** 2 / expected).sum()), len(counts) - 1)
