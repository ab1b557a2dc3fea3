"""How much an adapter learns, by rank and by matrices (sections 7.1 and 7.2)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import numpy as np

from physlm_jax.models import lora, transformer
from physlm_jax.studies import lora_runs as runs
from physlm_jax.studies import statistics
from physlm_jax.studies.curves import learning_curve
from physlm_jax.studies.exhibits import Bars, Cell, Curve, Figure, Level, Measurement, Series, Table
from physlm_jax.training.checkpoint import Run
from physlm_jax.training.records import read_rows

WIKISQL = {"q": 70.4, "k": 70.0, "v": 73.0, "o": 73.2, "qk": 71.4, "qv": 73.7, "qkvo": 73.7}


@functools.lru_cache(maxsize=256)
def _losses(run: Run) -> tuple[float, float]:
    """Held-out loss before and after: of the base on the new language, and of the run."""
    rows = read_rows(run.workdir / "metrics.jsonl", run.member)
    held = {row["step"]: row["held_out_loss"] for row in rows if "held_out_loss" in row}
    return held[min(held)], held[max(held)]


def _shares(trained: runs.Trained, argument: str, full: str) -> statistics.Estimate:
    """How much of full fine-tuning's gain a configuration reaches, over the seeds."""
    shares = []
    for run, whole in zip(trained[argument], trained[full], strict=True):
        (before, after), (start, best) = _losses(run), _losses(whole)
        shares.append((before - after) / (start - best))
    return statistics.mean(shares)


def rank_trend(trained: runs.Trained, scale: str) -> Measurement:
    """Share of full fine-tuning's gain by rank of q and v."""
    full, every, *arguments = runs.ranks(scale)
    figures, rows = [], []
    for rank, argument in zip(runs.RANKS, arguments, strict=True):
        share = _shares(trained, argument, full)
        label = f"q,v rank {rank}"
        figures.append(Figure.of(label, share, 100, seeds=len(trained[full]), unit="%"))
        rows.append(_row(label, trained[argument]))
    line = Series(
        "adapter",
        tuple(f.value for f in figures),
        tuple(map(float, runs.RANKS)),
        tuple(f.low for f in figures),
        tuple(f.high for f in figures),
    )
    curve = Curve(
        "How much of full fine-tuning's gain does a rank reach?",
        (line,),
        "rank of q and v",
        "share of the gain (%)",
        x_log=True,
        levels=(Level("full fine-tuning", 100.0),),
    )
    whole = _shares(trained, every, full)
    label = "all matrices rank 4"
    figures.append(Figure.of(label, whole, 100, seeds=len(trained[full]), unit="%"))
    rows += [_row(label, trained[every]), _row("full fine-tuning", trained[full])]
    curves = learning_curve("q,v rank 4", trained[arguments[runs.RANKS.index(4)]])
    return Measurement(tuple(figures), (curve, _losses_table(rows), curves))


def which(trained: runs.Trained, scale: str) -> Measurement:
    """Share of full fine-tuning's gain by matrices, at one number of trained numbers."""
    full, *arguments = runs.budgets(scale)
    figures, rows = [], []
    first = ("qv", "qkvo")  # the headline
    order = sorted(range(len(runs.BUDGET)), key=lambda i: (runs.BUDGET[i][0] not in first, i))
    for i in order:
        letters, rank = runs.BUDGET[i]
        label = f"{','.join(letters)} rank {rank}"
        share = _shares(trained, arguments[i], full)
        role = "ours" if len(letters) > 1 else "baseline"
        figures.append(Figure.of(label, share, 100, seeds=len(trained[full]), unit="%", role=role))
        rows.append(_row(label, trained[arguments[i]]))
    rows.append(_row("full fine-tuning", trained[full]))
    bars = Bars(
        "Which matrices, at one budget?",
        tuple(f.label for f in figures),
        (
            Series.of("share of full fine-tuning's gain", figures),
            Series(
                "the paper: WikiSQL accuracy of GPT-3",
                tuple(WIKISQL[runs.BUDGET[i][0]] for i in order),
                role="paper",
            ),
        ),
        "%",
    )
    return Measurement(tuple(figures), (bars, _losses_table(rows)))


def _row(label: str, each: Sequence[Run]) -> tuple[Cell, ...]:
    before, after = zip(*(_losses(run) for run in each), strict=True)
    rules = each[0].config.lora
    model = each[0].model
    count = (
        lora.size(
            jax.eval_shape(
                functools.partial(lora.init, model, lora.parse(rules)), jax.random.key(0)
            )
        )
        if rules
        else transformer.parameter_count(model)
    )
    return label, count, float(np.mean(before)), float(np.mean(after))


def _losses_table(rows: Sequence[tuple[Cell, ...]]) -> Table:
    columns = ("trained", "numbers", "held-out loss before", "held-out loss after")
    return Table("Loss on the new language (nats per token, mean over seeds)", columns, tuple(rows))
