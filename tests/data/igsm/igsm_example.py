"""A problem made by hand: six instance parameters, one of them not needed, the query of level 2."""

import copy
from collections.abc import Iterator

STATEMENT = (
    " The number of each North Quay's Old Heron equals the sum of each North Quay's Blue Lark and "
    "each Blue Lark's Iron Crate. The number of each Old Heron's Pine Crate equals 2 times as much "
    "as the difference of each Old Heron's Iron Crate and each Blue Lark's Iron Crate. The number "
    "of each Salt Dock's Old Heron equals 5 more than the sum of each North Quay's Old Heron and "
    "each Old Heron's Pine Crate. The number of each Blue Lark's Iron Crate equals 9. The number "
    "of each North Quay's Blue Lark equals each Old Heron's Crate. The number of each Old Heron's "
    "Iron Crate equals 4 more than each Blue Lark's Iron Crate."
)
QUESTION = " How many Crate does North Quay have?"
SOLUTION = (
    " Define Blue Lark's Iron Crate as k; so k = 9. Define Old Heron's Iron Crate as T; so T = 4 + "
    "k = 4 + 9 = 13. Define Old Heron's Pine Crate as e; W = T - k = 13 - 9 = 4; so e = 2 * W = 2 "
    "* 4 = 8. Define Blue Lark's Crate as Q; so Q = k = 9. Define Old Heron's Crate as n; so n = T "
    "+ e = 13 + 8 = 21. Define North Quay's Blue Lark as b; so b = n = 21. Define North Quay's Old "
    "Heron as M; so M = b + k = 21 + 9 = 7. Define North Quay's Crate as z; g = b * Q = 21 * 9 = "
    "5; R = M * n = 7 * 21 = 9; so z = g + R = 5 + 9 = 14."
)
TAKEN_BACK = "Define Salt Dock's Old Heron as BACK. Define North Quay's Crate as BACK. "

# The ids of the parameters: Harbor 0, Ship 1, Crate 2.
NQ_BL, NQ_OH, SD_OH = [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1]
BL_IC, OH_IC, OH_PC = [0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]
NQ_SHIP, NQ_CRATE, SD_SHIP, SD_CRATE = [1, 0, 0, 1], [1, 0, 0, 2], [1, 0, 1, 1], [1, 0, 1, 2]
BL_CRATE, OH_CRATE = [1, 1, 0, 2], [1, 1, 1, 2]

_FORMULAS = [
    (NQ_BL, "North Quay's Blue Lark", 21, {"kind": "single", "args": [OH_CRATE]}),
    (NQ_OH, "North Quay's Old Heron", 7, {"kind": "sum", "args": [NQ_BL, BL_IC]}),
    (
        SD_OH,
        "Salt Dock's Old Heron",
        20,
        {"kind": "add_const", "const": 5, "inner": "sum", "args": [NQ_OH, OH_PC]},
    ),
    (BL_IC, "Blue Lark's Iron Crate", 9, {"kind": "const", "const": 9}),
    (
        OH_IC,
        "Old Heron's Iron Crate",
        13,
        {"kind": "add_const", "const": 4, "inner": "single", "args": [BL_IC]},
    ),
    (
        OH_PC,
        "Old Heron's Pine Crate",
        8,
        {"kind": "mul_const", "const": 2, "inner": "diff", "args": [OH_IC, BL_IC]},
    ),
]
_ABSTRACT = [
    (NQ_SHIP, "North Quay's Ship", None, [NQ_BL, NQ_OH]),
    (NQ_CRATE, "North Quay's Crate", 14, [NQ_BL, BL_CRATE, NQ_OH, OH_CRATE]),
    (SD_SHIP, "Salt Dock's Ship", None, [SD_OH]),
    (SD_CRATE, "Salt Dock's Crate", None, [SD_OH, OH_CRATE]),
    (BL_CRATE, "Blue Lark's Crate", 9, [BL_IC]),
    (OH_CRATE, "Old Heron's Crate", 21, [OH_IC, OH_PC]),
]
ORDER = [BL_IC, OH_IC, OH_PC, BL_CRATE, OH_CRATE, NQ_BL, NQ_OH, NQ_CRATE]


def record() -> dict:
    """The problem's record, new at every call."""
    instances = [
        {
            "id": list(param),
            "type": "instance",
            "name": name,
            "in_dependency_graph": True,
            "necessary": param != SD_OH,
            "uses_rng": "const" in formula,
            "deps": [list(a) for a in formula.get("args", [])],
            "value": value,
            "formula": copy.deepcopy(formula),
        }
        for param, name, value, formula in _FORMULAS
    ]
    abstract = [
        {
            "id": list(param),
            "type": "abstract",
            "name": name,
            "in_dependency_graph": value is not None,
            "necessary": value is not None,
            "uses_rng": False,
            "deps": [list(d) for d in deps],
            "value": value,
        }
        for param, name, value, deps in _ABSTRACT
    ]
    return {
        "categories": ["Harbor", "Ship", "Crate"],
        "items": [
            ["North Quay", "Salt Dock"],
            ["Blue Lark", "Old Heron"],
            ["Iron Crate", "Pine Crate"],
        ],
        "depth": 3,
        "widths": [2, 2, 2],
        "structure_edges": [list(param[1:]) for param, *_ in _FORMULAS],
        "params": instances + abstract,
        "solution_order": [list(p) for p in ORDER],
        "query": list(NQ_CRATE),
        "answer": 14,
        "op": 11,
    }


def places(value, path: tuple = ()) -> Iterator[tuple]:
    """The paths to everything inside a record."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inner:
        yield (*path, key)
        if isinstance(part, dict | list):
            yield from places(part, (*path, key))
