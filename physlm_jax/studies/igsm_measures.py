"""What is trained, asked and compared for the claims of iGSM (Parts 2.1 and 2.2)."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from physlm_jax.probes import mistakes as mistakes_probe
from physlm_jax.probes import regret as regret_probe
from physlm_jax.probes import variables as variables_probe
from physlm_jax.probes.reasoning import (
    UNPARSED,
    Outcome,
    as_igsm,
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
PROBE: dict[str, dict[str, Any]] = {  # how V-probes are fitted: laptop's and gpu's sizes are ours
    "laptop": {  # the papers' rank 8 of 768 dimensions is, in proportion, less than 1 of 64
        "steps": 1000,
        "batch": 24,
        "fresh": 300,
        "count": 512,
        "learning_rate": 1e-2,
        "adapter": "^embedding$: rank=2, alpha=4, init=zero_down",
    },
    "gpu": {"steps": 3000, "batch": 64, "fresh": 600, "count": 1024},
    "paper": {"steps": 100_000, "batch": 256, "fresh": 100_000, "count": 4096},
}
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
    longest = world.longest or run.config.pipeline.length
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
            f"{label(argument)}, {_said(cell)}",
            right(each, cell, scale),
            100,
            seeds=len(each),
            paper=paper,
            unit="%",
        )
        for cell, paper in _cells(each[0], section, row)
        if not least or (cell.isdigit() and int(cell) >= least)
    ]


def _said(cell: str) -> str:
    return f"op={cell}" if cell.isdigit() else cell


def _cells(run: Run, section: str = "", row: str = "") -> list[tuple[str, float | None]]:
    """The cells of a run's world, with the paper's figure of each where it is the paper's."""
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
    return [Table(title, ("run", *map(_said, cells)), tuple(r)) for cells, r in rows.items()]


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
        rows.append((_said(cell), sum(kinds.values()), said or "-"))
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
        for cell, _ in _cells(each[0]):
            for name in ("unnecessary_op", "unnecessary_params"):
                said = f"{label(argument)}, {_said(cell)}, {name}"
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
        for cell, paper in _cells(each[0], "retry_counts", row):
            name = f"{label(argument)}, {_said(cell)}, taken back"
            figures += _mean(name, each, cell, scale, "retries", paper)
        figures += _by_cell(argument, each, scale, "retry_rates", row or "0")
    return Measurement(tuple(figures), (*tables(trained, scale), _bars(trained, figures)))


def _bars(trained: Trained, figures: Sequence[Figure]) -> Bars:
    """Accuracy of all runs side by side, a group for each cell."""
    found = {f.label: f for f in figures}
    first = next(iter(trained.values()))[0]
    cells = [_said(cell) for cell in usual_cells(as_igsm(first.world))]
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


def variables(tasks: Sequence[str], layers: Sequence[int] = (-1,)) -> Any:
    """Returns a measurement of V-probes: the trained models, one untrained one, the majority."""

    def measure(trained: Trained, scale: str) -> Measurement:
        settings = variables_probe.Settings(tasks=tuple(tasks), layers=tuple(layers))
        figures: list[Figure] = []
        exhibits: list[Exhibit] = []
        for argument, each in trained.items():
            found = [_probed(run, scale, settings, n == 0) for n, run in enumerate(each)]
            for key in found[0]:
                figures += _probe_figures(f"{label(argument)}, {key}", [f[key] for f in found])
            exhibits.append(_by_distance(label(argument), found[0]))
        return Measurement(tuple(figures), tuple(exhibits))

    return measure


def _probed(
    run: Run, scale: str, settings: variables_probe.Settings, untrained: bool
) -> dict[str, Any]:
    chosen = dataclasses.replace(settings, untrained=untrained, **PROBE[scale])
    return variables_probe.measure(run, chosen).data["tasks"]


def _probe_figures(name: str, found: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Of one task: right, by class, the untrained model, the commoner answer."""
    figures = []
    for part in ("right", "positives", "negatives"):
        shares = [
            statistics.proportion(round(f["trained"][part] * f["trained"]["n"]), f["trained"]["n"])
            for f in found
        ]
        figures.append(
            Figure.of(
                f"{name}, {part}",
                statistics.over_seeds(shares, (0, 1)),
                100,
                seeds=len(found),
                unit="%",
                role="ours" if part == "right" else "baseline",
            )
        )
    control = found[0]["untrained"]
    share = statistics.proportion(round(control["right"] * control["n"]), control["n"])
    figures.append(Figure.of(f"{name}, untrained", share, 100, unit="%", role="control"))
    most = float(np.mean([f["trained"]["majority"] for f in found]))
    figures.append(Figure(f"{name}, majority", 100 * most, seeds=0, unit="%", role="control"))
    return figures


def _by_distance(name: str, found: Mapping[str, Any]) -> Table:
    rows = [
        (key, t, cell["n"], None if cell["right"] is None else round(100 * cell["right"], 1))
        for key, both in found.items()
        for t, cell in both["trained"]["by_distance"].items()
    ]
    return Table(
        f"{name}: right by distance from the question", ("probe", "t", "n", "%"), tuple(rows)
    )


def mistakes(trained: Trained, scale: str) -> Measurement:
    """What V-probes say of unneeded and of first wrong parameters."""
    figures = []
    for argument, each in trained.items():
        cells = usual_cells(as_igsm(each[0].world))
        chosen = PROBE[scale]
        settings = mistakes_probe.Settings(
            cells=(cells[-2], cells[-1]),
            count=COUNT[scale],
            steps=chosen["steps"],
            batch=chosen["batch"],
        )
        found = [mistakes_probe.measure(run, settings).data["cells"] for run in each]
        for cell in settings.cells:
            for task in mistakes_probe.TASKS:
                n = sum(f[cell][task]["n"] for f in found)
                said = sum((f[cell][task]["said_false"] or 0) * f[cell][task]["n"] for f in found)
                name = f"{label(argument)}, {_said(cell)}, {task} said false"
                if n:
                    share = statistics.proportion(round(said), n)
                    figures.append(Figure.of(name, share, 100, seeds=len(each), unit="%"))
    return Measurement(tuple(figures))


def regret(trained: Trained, scale: str) -> Measurement:
    """Accuracy with sentences regretted by a probe or by the truth, and with beams instead."""
    figures: list[Figure] = []
    for argument, each in trained.items():
        cell = usual_cells(as_igsm(each[0].world))[-2]
        settings = regret_probe.Settings(
            cells=(cell,),
            count=COUNT[scale],
            tries=(10, 50),
            steps=PROBE[scale]["steps"],
            batch=PROBE[scale]["batch"],
        )
        found = [regret_probe.measure(run, settings).data["cells"][cell] for run in each]
        for how in found[0]:
            shares = [
                statistics.proportion(round(f[how]["right"] * f[how]["n"]), f[how]["n"])
                for f in found
            ]
            figures.append(
                Figure.of(
                    f"{label(argument)}, {_said(cell)}, regret {how}",
                    statistics.over_seeds(shares, (0, 1)),
                    100,
                    seeds=len(each),
                    paper=_regret_paper(each[0], cell, how),
                    unit="%",
                )
            )
        for width in (4, 16):
            figures.append(
                Figure.of(
                    f"{label(argument)}, {_said(cell)}, {width} beams",
                    right(each, cell, scale, width),
                    100,
                    seeds=len(each),
                    unit="%",
                    role="baseline",
                )
            )
    return Measurement(tuple(figures))


def _regret_paper(run: Run, cell: str, how: str) -> float | None:
    rows = {"probe 10": "v1 beam1", "perfect 10": "vP beam1", "perfect 50": "vP50 beam1"}
    section = "accuracy" if how == "none" else "regret"
    cells = dict(_cells(run, section, rows.get(how, "beam1")))
    return cells.get(cell)
