"""The parameters that a problem states without needing them (Algorithm 5 of arXiv 2407.20311)."""

import numpy as np

from physlm_jax.data.compiled import compiled, draw_uniform, shuffle
from physlm_jax.data.igsm.necessary import MOST, Dependencies, mark
from physlm_jax.data.igsm.structure import Structure, level


@compiled
def add_unnecessary(
    structure: Structure, deps: Dependencies, chosen: np.ndarray, state: np.ndarray
) -> np.ndarray:
    """Draws what the unnecessary instance parameters use; writes deps.

    Returns:
        bool[P]: the dependency graph, all instance parameters and the abstract ones in use.
    """
    defined = chosen.copy()
    apart = np.zeros(len(chosen), np.bool_)  # unnecessary and independent of the necessary ones
    left = np.flatnonzero(~chosen[: structure.instances])
    shuffle(state, left, len(left))
    for v in left:
        _complete(structure, deps, defined)
        independent = draw_uniform(state) < 0.5
        pool = np.flatnonzero(apart if independent else defined)
        most = min(len(pool) + 1, MOST)
        wanted = 1
        while wanted < most and draw_uniform(state) < 0.5:
            wanted += 1
        if wanted == len(pool) + 1 or draw_uniform(state) < 0.5:
            deps.constant[v] = True
            wanted -= 1
        shuffle(state, pool, wanted)
        deps.used[v, :wanted] = pool[:wanted]
        deps.counts[v] = wanted
        defined[v] = True
        apart[v] = independent
    in_graph = np.zeros(len(chosen), np.bool_)
    for p in range(len(chosen)):
        if (p < structure.instances or chosen[p]) and not in_graph[p]:
            mark(deps, in_graph, p)
    return in_graph


@compiled
def _complete(structure: Structure, deps: Dependencies, defined: np.ndarray) -> None:
    """Defines the abstract parameters all of whose parts are defined, low levels first."""
    for span in range(1, structure.depth):
        for p in range(structure.instances, len(defined)):
            if not defined[p] and level(structure, p) == span:
                whole = True
                for c in range(deps.counts[p]):
                    whole &= defined[deps.used[p, c]]
                defined[p] = whole
