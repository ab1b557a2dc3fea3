"""What is measured of answers that follow from stored facts (Part 3.2, Results 3 to 6)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from physlm_jax.probes.knowledge import manipulation as manipulation_probe
from physlm_jax.studies import statistics
from physlm_jax.studies.exhibits import Bars, Figure, Measurement, Series
from physlm_jax.studies.knowledge_measures import Trained, label, percent
from physlm_jax.training.checkpoint import Run

SAID = {  # how a figure is called after its task, and its role
    "with a hint": "ours",
    "direct": "baseline",
    "hint": "control",
    "predicted": "truth",
    "guessing": "control",
}
DRAWN = ("with a hint", "predicted", "direct", "guessing")


def manipulated(trained: Trained, scale: str) -> Measurement:
    """Answers about held-out people, direct and with a hint, beside what the hints predict.

    Tasks without hints (extraction, where trained on too) are not among them.
    """
    del scale
    figures: list[Figure] = []
    bars: list[Bars] = []
    for argument, each in trained.items():
        rows = [_held_out(run) for run in each]
        tasks = [task for task, control in rows[0] if control == "<hint>"]
        stem = "" if len(trained) == 1 else f"{label(argument)}: "
        found = [figure for task in tasks for figure in _of_task(f"{stem}{task}", task, rows)]
        figures += found
        bars.append(_bars(label(argument), tasks, found))
    return Measurement(tuple(figures), tuple(bars))


@functools.lru_cache(maxsize=64)
def _held_out(run: Run) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows of the probe `manipulation` by task and control token."""
    found = manipulation_probe.measure(run, manipulation_probe.Settings()).data["questions"]
    return {(row["task"], row["control"]): row for row in found if row["side"] == "held-out"}


def _of_task(
    name: str, task: str, rows: Sequence[Mapping[tuple[str, str], Mapping[str, Any]]]
) -> list[Figure]:
    """A task's figures in the order of `SAID`; rows of the probe for each seed."""
    hinted, direct = ([row[task, control] for row in rows] for control in ("<hint>", "<direct>"))
    figures = [
        percent(f"{name}, {said}", _right(asked), len(rows), role=SAID[said])
        for said, asked in (("with a hint", hinted), ("direct", direct))
    ]
    for said, key in (("hint", "hint"), ("predicted", "predicted"), ("guessing", "chance")):
        value = 100 * float(np.mean([row[key] for row in hinted]))
        figures.append(Figure(f"{name}, {said}", value, seeds=len(rows), unit="%", role=SAID[said]))
    return figures


def _right(rows: Sequence[Mapping[str, Any]]) -> statistics.Estimate:
    """The share of right answers over the seeds, a row of the probe each."""
    shares = [statistics.proportion(round(row["right"] * row["n"]), row["n"]) for row in rows]
    return statistics.over_seeds(shares, (0, 1))


def _bars(name: str, tasks: Sequence[str], figures: Sequence[Figure]) -> Bars:
    """Every task's answers with a hint and without, beside what is to be expected."""
    series = []
    for said in DRAWN:
        found = [f for f in figures if f.label.endswith(f", {said}")]
        series.append(Series.of(said, found, role=SAID[said]))
    return Bars(f"{name}: held-out people", tuple(tasks), tuple(series), "right (%)")
