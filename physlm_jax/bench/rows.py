"""A line of a benchmark's table, and how a table is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict


class Row(TypedDict):
    """The figure of ours, the slow twin's or peer's (None: there is none) and their ratio.

    The ratio says how many times better ours is.
    """

    ours: float
    slow: float | None
    ratio: float | None
    unit: str


def row(ours: float, slow: float | None, ratio: float | None, unit: str) -> Row:
    """Returns a line."""
    return {"ours": ours, "slow": slow, "ratio": ratio, "unit": unit}


def table(rows: Mapping[str, Row], other: str) -> str:
    """Returns the rows as aligned text; `other` heads the column of the twin or peer."""
    lines = [("", "ours", other, "ratio", "unit")]
    for name, line in rows.items():
        numbers = (line["ours"], line["slow"], line["ratio"])
        ours, slow, ratio = ("-" if x is None else f"{x:,.4g}" for x in numbers)
        lines.append((name, ours, slow, ratio, line["unit"]))
    widths = [max(len(cells[i]) for cells in lines) for i in range(5)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i in (0, 4) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in lines
    )
