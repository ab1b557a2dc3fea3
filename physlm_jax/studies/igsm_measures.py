"""What is trained and solved, and compared for the claims of iGSM (Parts 2.1 and 2.2)."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from physlm_jax.probes.reasoning import (
    UNPARSED,
    Outcome,
    as_igsm,
    longest_of,
    problems_of,
    solve,
    solver,
    usual_cells,
)
from physlm_jax.studies import statistics
from physlm_jax.studies.curves import learning_curve
from physlm_jax.studies.exhibits import (
    Bars,
    Exhibit,
    Figure,
    Measurement,
    Sample,
    Series,
    Table,
    Text,
)
from physlm_jax.training.checkpoint import Run

Trained = Mapping[str, tuple[Run, ...]]
COUNT = {"laptop": 512, "gpu": 1024, "paper": 4096}  # problems of a cell
BATCH = {"laptop": 128, "gpu": 512, "paper": 512}  # of them that are written at once
# Letters of symbols are nearly uniform: each one is less likely than that a sentence is taken back
# (greedily, models that are not sure take back for ever), and the likeliest one is the same every
# time, which small models have not learned to avoid. So they are drawn at a low temperature.
TEMPERATURE = {"laptop": 0.6, "gpu": 0.6, "paper": 0.0}
SHOWN = 3


@functools.cache
def reported() -> dict[str, Any]:
    """Returns the papers' tables: arXiv 2408.16293, figures 3 to 8, each cell in per cent."""
    return json.loads(files("physlm_jax.studies").joinpath("igsm_reported.json").read_text())


def worlds(*settings: str, paper: Sequence[str] = ()) -> Callable[[str], tuple[str, ...]]:
    """Returns the runs of a claim: at the scale `paper` those of all four families.

    Args:
        settings: of configs/igsm.py, one run each; "" for none.
        paper: other settings at the scale `paper`; none for the same.
    """

    def runs(scale: str) -> tuple[str, ...]:
        if scale != "paper":
            return tuple(_joined("mini", scale, s) for s in settings)
        families = [(world, order) for world in ("med", "hard") for order in ("pq", "qp")]
        return tuple(
            _joined(world, scale, f"order={order}", s)
            for world, order in families
            for s in paper or settings
        )

    return runs


def _joined(*parts: str) -> str:
    return ",".join(part for part in parts if part)


def family(run: Run) -> str:
    """Returns a run's column in the papers' tables: med_pq, .."""
    data = run.config.data
    return f"{data.spec}_{data.order}"


def label(argument: str) -> str:
    """Returns how a run is called: its world and settings."""
    world, _, *settings = argument.split(",")
    return " ".join([world, *settings])


@functools.lru_cache(maxsize=512)
def outcome(run: Run, cell: str, scale: str, width: int = 1) -> Outcome:
    """Returns what a run's model makes of a cell: token by token, or with beams that are drawn."""
    world = as_igsm(run.world)
    longest = longest_of(run)
    batch = max(1, BATCH[scale] // width)
    sampler = solver(run, temperature=TEMPERATURE[scale], width=width, batch=batch)
    return solve(world, sampler, problems_of(world, cell, 0, COUNT[scale], longest), 0)


def right(each: Sequence[Run], cell: str, scale: str, width: int = 1) -> statistics.Estimate:
    """Returns the share of right solutions of a cell over the seeds."""
    counts = [outcome(run, cell, scale, width).verdicts for run in each]
    shares = [statistics.proportion(sum(v.correct for v in vs), len(vs)) for vs in counts]
    return statistics.over_seeds(shares, (0, 1))


def accuracy(trained: Trained, scale: str) -> Measurement:
    """Accuracy in every cell, and the share of solutions that can be read at all."""
    figures: list[Figure] = []
    exhibits = tables(trained, scale)
    for argument, each in trained.items():
        figures += _by_cell(argument, each, scale, "accuracy", "beam1")
        figures.append(_parsed(argument, each, scale))
        exhibits += [_taxonomy(argument, each, scale), _written(argument, each[0], scale)]
        exhibits.append(learning_curve(label(argument), each))
    return Measurement(tuple(figures), tuple(exhibits))


def beyond(trained: Trained, scale: str) -> Measurement:
    """Accuracy with more operations than in training, then with the most of training."""
    figures: list[Figure] = []
    for argument, each in trained.items():
        most = as_igsm(each[0].world).spec.op_max
        found = _by_cell(argument, each, scale, "accuracy", "beam1", most)
        figures += [*found[1:], found[0]]
    return Measurement(tuple(figures))


def _by_cell(
    argument: str, each: Sequence[Run], scale: str, section: str, row: str, least: int = 0
) -> list[Figure]:
    """Accuracy in every cell, beside the papers' row of one of their tables.

    With `least` only where so many operations or more are fixed, the fewest first.
    """
    return [
        Figure.of(
            f"{label(argument)}, {cell_label(cell)}",
            right(each, cell, scale),
            100,
            seeds=len(each),
            paper=paper,
            unit="%",
        )
        for cell, paper in paper_cells(each[0], section, row)
        if not least or (cell.isdigit() and int(cell) >= least)
    ]


def cell_label(cell: str) -> str:
    """Returns how a cell is called in the figures."""
    return f"op={cell}" if cell.isdigit() else cell


def paper_cells(run: Run, section: str = "", row: str = "") -> list[tuple[str, float | None]]:
    """Returns the cells of a run's world, with the papers' figure of each where they have it."""
    cells = usual_cells(as_igsm(run.world))
    values = reported().get(section, {}).get(row, {}).get(family(run)) if section else None
    return list(zip(cells, values or [None] * len(cells), strict=True))


def _parsed(argument: str, each: Sequence[Run], scale: str) -> Figure:
    shares = []
    for run in each:
        verdicts = outcome(run, "law", scale).verdicts
        read = sum(v.error is None or v.error.kind not in UNPARSED for v in verdicts)
        shares.append(statistics.proportion(read, len(verdicts)))
    estimate = statistics.over_seeds(shares, (0, 1))
    name = f"{label(argument)}, law, parsed"
    return Figure.of(name, estimate, 100, seeds=len(each), unit="%", role="baseline")


def tables(trained: Trained, scale: str) -> list[Exhibit]:
    """Per cent right, binomial error and number of problems: a table for each set of cells."""
    rows: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for argument, each in trained.items():
        cells = usual_cells(as_igsm(each[0].world))
        row = [label(argument), *(_solved(each, cell, scale) for cell in cells)]
        rows.setdefault(cells, []).append(tuple(row))
    title = "Solved, per cent, with binomial standard error"
    return [Table(title, ("run", *map(cell_label, cells)), tuple(r)) for cells, r in rows.items()]


def _solved(each: Sequence[Run], cell: str, scale: str) -> str:
    found = [outcome(run, cell, scale).figures() for run in each]
    share, n = float(np.mean([f["right"] for f in found])), sum(f["n"] for f in found)
    return f"{100 * share:.1f} ± {100 * (share * (1 - share) / n) ** 0.5:.1f} (n={n})"


def _taxonomy(argument: str, each: Sequence[Run], scale: str) -> Table:
    """What the first mistake of wrong solutions is, in all cells."""
    rows = []
    for cell in usual_cells(as_igsm(each[0].world)):
        kinds: dict[str, int] = {}
        for run in each:
            for kind, n in outcome(run, cell, scale).figures()["mistakes"].items():
                kinds[kind] = kinds.get(kind, 0) + n
        said = ", ".join(f"{k} {n}" for k, n in sorted(kinds.items(), key=lambda x: -x[1]))
        rows.append((cell_label(cell), sum(kinds.values()), said or "-"))
    return Table(f"{label(argument)}: first mistakes", ("cell", "wrong", "kinds"), tuple(rows))


def _written(argument: str, run: Run, scale: str) -> Text:
    """Some solutions as the model wrote them."""
    world, found = as_igsm(run.world), outcome(run, "law", scale)
    samples = []
    for problem, verdict, ids in list(
        zip(found.problems, found.verdicts, found.written, strict=True)
    )[:SHOWN]:
        note = f"{verdict.error.kind}: {verdict.error.detail}" if verdict.error else ""
        text = problem.prompt(world.order) + " ->" + world.vocabulary.decode(list(ids))
        samples.append(Sample(text, verdict.correct, note))
    return Text(f"{label(argument)}: problems of the test side", tuple(samples))


def redundancy(trained: Trained, scale: str) -> Measurement:
    """Operations and parameters beyond the necessary ones in right solutions."""
    figures: list[Figure] = []
    for argument, each in trained.items():
        for cell, _ in paper_cells(each[0]):
            for name in ("unnecessary_op", "unnecessary_params"):
                said = f"{label(argument)}, {cell_label(cell)}, {name}"
                figures += _mean(said, each, cell, scale, name)
    return Measurement(tuple(figures), tuple(tables(trained, scale)))


def _mean(
    name: str,
    each: Sequence[Run],
    cell: str,
    scale: str,
    attribute: str,
    paper: float | None = None,
) -> list[Figure]:
    """The mean of a verdict's number over right solutions, if any, with its interval."""
    values = [
        float(getattr(v, attribute))
        for run in each
        for v in outcome(run, cell, scale).verdicts
        if v.correct
    ]
    if not values:
        return []
    estimate = statistics.token_mean(values, np.ones(len(values)))
    return [Figure.of(name, estimate, seeds=len(each), paper=paper)]


def retries(trained: Trained, scale: str) -> Measurement:
    """Sentences taken back in right solutions, and accuracy, at every rate of mistakes."""
    figures: list[Figure] = []
    for argument, each in trained.items():
        data = each[0].config.data
        row = f"{data.retry_rate:g}".lstrip("0") + ("" if data.retry_mask == "none" else "m")
        for cell, paper in paper_cells(each[0], "retry_counts", row):
            name = f"{label(argument)}, {cell_label(cell)}, taken back"
            figures += _mean(name, each, cell, scale, "retries", paper)
        figures += _by_cell(argument, each, scale, "retry_rates", row or "0")
    return Measurement(tuple(figures), (*tables(trained, scale), _bars(trained, figures)))


def _bars(trained: Trained, figures: Sequence[Figure]) -> Bars:
    """Accuracy of all runs side by side, a group for each cell."""
    found = {f.label: f for f in figures}
    first = next(iter(trained.values()))[0]
    cells = [cell_label(cell) for cell in usual_cells(as_igsm(first.world))]
    series = []
    for argument in trained:
        own = [found.get(f"{label(argument)}, {cell}") for cell in cells]
        series.append(Series.of(label(argument), own))
    return Bars("Problems solved", tuple(cells), tuple(series), "right (%)")


def compared(section: str, row: Callable[[Run], str]) -> Callable[[Trained, str], Measurement]:
    """Returns a measurement of accuracy of several runs beside a table of the papers.

    Args:
        section: of the papers' tables.  row: of a run in it.
    """

    def measure(trained: Trained, scale: str) -> Measurement:
        figures: list[Figure] = []
        for argument, each in trained.items():
            figures += _by_cell(argument, each, scale, section, row(each[0]))
        return Measurement(tuple(figures), (*tables(trained, scale), _bars(trained, figures)))

    return measure


def by_size(trained: Trained, scale: str) -> Measurement:
    """Accuracy of models of several sizes, each called by its layers and heads."""
    named = {}
    for argument, each in trained.items():
        size = f",model={each[0].model.layers}-{each[0].model.heads}"
        named[argument + ("" if ",model=" in argument else size)] = each
    return compared("", lambda run: "")(named, scale)


def fake_row(run: Run) -> str:
    """Returns a run's row in the papers' table of fake mistakes: "weak .1m"."""
    data = run.config.data
    kind = {"retry_weak": "weak", "retry_miss": "miss"}.get(data.retry_kind, "")
    masked = "" if data.retry_mask == "none" else "m"
    return f"{kind} {data.retry_rate:g}".replace(" 0.", " .") + masked
