"""Problems as records of plain values, so that those made elsewhere can be judged here.

A record names every parameter, what it uses, its formula and its value. `reading` reads one.
"""

from __future__ import annotations

from typing import Any

from physlm_jax.data.igsm.formulas import (
    DIFFERENCE,
    MORE,
    NONE,
    PLAIN,
    SINGLE,
    SUM,
    TIMES,
)
from physlm_jax.data.igsm.formulas import Problem as Arrays
from physlm_jax.data.igsm.problem import Problem
from physlm_jax.data.igsm.structure import INSTANCE

INNER = {"single": SINGLE, "sum": SUM, "diff": DIFFERENCE}
OUTER = {"add_const": MORE, "mul_const": TIMES}
_INNER_NAMES = {code: name for name, code in INNER.items()}
_OUTER_NAMES = {code: name for name, code in OUTER.items()}


def write(problem: Problem) -> dict[str, Any]:
    """Returns the record of a problem, none of whose parts is shared with it or with another."""
    arrays, structure = problem.arrays, problem.arrays.structure
    instances = [p for p in problem.params if p[0] == INSTANCE]
    return {
        "categories": list(problem.categories),
        "items": [list(layer) for layer in problem.items],
        "depth": int(structure.depth),
        "widths": structure.widths.tolist(),
        "structure_edges": [[i, j, k] for _, i, j, k in instances],
        "params": [_entry(problem, n) for n in range(len(problem.params))],
        "solution_order": [list(problem.params[n]) for n in arrays.order],
        "query": list(problem.query),
        "answer": problem.answer,
        "op": problem.op,
    }


def _entry(problem: Problem, n: int) -> dict[str, Any]:
    arrays, param = problem.arrays, problem.params[n]
    value = int(arrays.value[n])
    used = [list(problem.params[u]) for u in problem.uses[n]]
    instance = param[0] == INSTANCE
    return {
        "id": list(param),
        "type": "instance" if instance else "abstract",
        "name": problem.name(param),
        "in_dependency_graph": bool(arrays.in_graph[n]),
        "necessary": bool(arrays.necessary[n]),
        "uses_rng": bool(arrays.deps.constant[n]),
        "deps": [list(param) for param in used],
        "value": value if value >= 0 else None,
        "formula": _formula(arrays, n, used) if instance else None,
    }


def _formula(arrays: Arrays, n: int, used: list[list[int]]) -> dict[str, Any]:
    inner, outer = int(arrays.inner[n]), int(arrays.outer[n])
    if inner == NONE:
        return {"kind": "const", "const": int(arrays.constant[n])}
    if outer == PLAIN:
        return {"kind": _INNER_NAMES[inner], "args": used}
    return {
        "kind": _OUTER_NAMES[outer],
        "const": int(arrays.constant[n]),
        "inner": _INNER_NAMES[inner],
        "args": used,
    }
