"""Curves that several studies show: how the loss fell."""

from __future__ import annotations

from collections.abc import Sequence

from physlm_jax.studies.exhibits import Curve, Level, Series
from physlm_jax.training.checkpoint import Run
from physlm_jax.training.records import read_rows

POINTS = 100  # of a training curve, about


def learning_curve(
    label: str, each: Sequence[Run], levels: tuple[Level, ...] = (), note: str = ""
) -> Curve:
    """Returns the training and held-out losses of one configuration's runs, one per seed."""
    series = []
    for number, run in enumerate(each):
        rows = read_rows(run.workdir / "metrics.jsonl", run.member)
        losses = [(r["step"], r["loss"]) for r in rows if "loss" in r]
        every = max(1, len(losses) // POINTS)
        held = [(r["step"], r["held_out_loss"]) for r in rows if "held_out_loss" in r]
        suffix = f", seed {number}" if len(each) > 1 else ""
        for name, points in (("training", losses[::every]), ("held out", held)):
            x, y = zip(*points, strict=True)
            role = "ours" if name == "held out" else "baseline"
            series.append(Series(f"{name}{suffix}", y, x, role=role))
    return Curve(
        f"{label}: learning curve",
        tuple(series),
        "updates",
        "loss (nats per token)",
        levels=levels,
        note=note,
    )
