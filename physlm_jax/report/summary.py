"""Outcomes as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from physlm_jax.report import numbers
from physlm_jax.studies.claim import Outcome
from physlm_jax.studies.exhibits import Table

HEADS = ("claim", "paper", "measured (95 % interval)", "verdict")
WIDEST = 36  # of the columns in free words


def summary_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Returns a line of heads and one aligned line per outcome: claim, paper, measured, verdict."""
    rows = [HEADS, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS) - 1)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]


def table_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Returns the tables of the outcomes' exhibits as aligned lines; those shown twice, once."""
    tables = {
        exhibit: None
        for outcome in outcomes
        for exhibit in (outcome.measurement.exhibits if outcome.measurement else ())
        if isinstance(exhibit, Table)
    }
    lines: list[str] = []
    for table in tables:
        rows = [table.columns, *(tuple(_cell(c) for c in row) for row in table.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["", table.title]
        lines += [
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
    return lines


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def measured(outcome: Outcome) -> str:
    """Returns the headline figure with its interval, unit and label; '-' where there is none."""
    figure = outcome.measurement.headline if outcome.measurement else None
    if figure is None:
        return "-"
    places = numbers.decimals(figure)
    value = numbers.with_unit(numbers.fixed(figure.value, places), figure.unit)
    between = numbers.interval(figure, places)
    return (
        f"{value} ({between})  {_cut(figure.label)}"
        if between
        else f"{value}  {_cut(figure.label)}"
    )


def _row(outcome: Outcome) -> tuple[str, str, str, str]:
    name = "/".join((outcome.study, outcome.scale, outcome.id))
    verdict, reason = outcome.verdict, outcome.reason
    if reason:
        verdict = reason if reason.startswith(verdict) else f"{verdict} ({reason})"
    return (name, _cut(outcome.paper_value), measured(outcome), verdict)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"
