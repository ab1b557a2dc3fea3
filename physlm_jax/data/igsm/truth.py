"""What is true of a problem at every point of its solution: the labels of probes.

Source: arXiv 2407.20311, section 4.1 (the six functions).
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from physlm_jax.data.igsm.formulas import MODULUS
from physlm_jax.data.igsm.problem import Id, Problem

UNKNOWN = MODULUS  # the class of a value that is not known yet


@dataclass(frozen=True)
class Labels:
    """The six functions, for all P parameters, after t = 0..S sentences of the solution.

    Attributes:
        params: the parameters, in the order of the record (`Problem.facts`): those outside the
            dependency graph included.
        nece: bool[P], whether the query needs it (the query itself included).
        dep: bool[P, P], whether the first depends on the second, however indirectly.
        known: bool[S + 1, P], whether a sentence for it is written.
        can_next: bool[S + 1, P], not known and all that it uses is.
        nece_next: bool[S + 1, P], both can_next and nece.
        value: int32[S + 1, P], 0..22, or 23 while not known.
    """

    params: list[Id]
    nece: np.ndarray
    dep: np.ndarray
    known: np.ndarray
    can_next: np.ndarray
    nece_next: np.ndarray
    value: np.ndarray


def labels(problem: Problem) -> Labels:
    """Returns what is true of a problem."""
    arrays = problem.arrays
    count, order = len(problem.params), arrays.order
    direct = np.zeros((count, count), bool)
    for p, used in enumerate(problem.uses):
        direct[p, used] = True
    known = np.zeros((len(order) + 1, count), bool)
    for t, p in enumerate(order):
        known[t + 1 :, p] = True
    can_next = ~known & ~((~known).astype(np.int32) @ direct.T.astype(np.int32) > 0)
    nece = arrays.necessary.copy()
    value = np.where(known, arrays.value, UNKNOWN).astype(np.int32)
    return Labels(problem.params, nece, _closed(direct), known, can_next, can_next & nece, value)


def computable(problem: Problem, known: Collection[int], param: int) -> bool:
    """Returns whether a parameter is not known, but all that it uses is: can_next.

    Args:
        known, param: places in `Problem.params`.
    """
    return param not in known and all(used in known for used in problem.used(param))


def _closed(direct: np.ndarray) -> np.ndarray:
    """bool[P, P]: the transitive closure, by doubling the length of paths."""
    reach = direct
    while True:
        longer = reach | (reach.astype(np.int32) @ reach.astype(np.int32) > 0)
        if (longer == reach).all():
            return reach
        reach = longer
