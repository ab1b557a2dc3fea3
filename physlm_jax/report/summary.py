"""Outcomes as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from physlm_jax.report import numbers
from physlm_jax.studies.claim import Outcome

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


def measured(outcome: Outcome) -> str:
    """Returns the headline figure with its interval and unit; '-' where there is none."""
    figure = outcome.measurement.headline if outcome.measurement else None
    if figure is None:
        return "-"
    places = numbers.decimals(figure)
    value = numbers.with_unit(numbers.fixed(figure.value, places), figure.unit)
    between = numbers.interval(figure, places)
    return f"{value} ({between})" if between else value


def _row(outcome: Outcome) -> tuple[str, str, str, str]:
    name = "/".join((outcome.study, outcome.scale, outcome.id))
    verdict, reason = outcome.verdict, outcome.reason
    if reason:
        verdict = reason if reason.startswith(verdict) else f"{verdict} ({reason})"
    return (name, _cut(outcome.paper_value), measured(outcome), verdict)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"
