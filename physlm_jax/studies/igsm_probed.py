"""What V-probes read off iGSM's models, and what they do with it: the claims' measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from physlm_jax.probes import mistakes as mistakes_probe
from physlm_jax.probes import regret as regret_probe
from physlm_jax.probes import variables as variables_probe
from physlm_jax.probes.reasoning import as_igsm, usual_cells
from physlm_jax.studies import statistics
from physlm_jax.studies.exhibits import Exhibit, Figure, Measurement, Table
from physlm_jax.studies.igsm_measures import (
    COUNT,
    TEMPERATURE,
    Trained,
    cell_label,
    label,
    paper_cells,
    right,
)
from physlm_jax.training.checkpoint import Run

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
            temperature=TEMPERATURE[scale],
            steps=chosen["steps"],
            batch=chosen["batch"],
        )
        found = [mistakes_probe.measure(run, settings).data["cells"] for run in each]
        for cell in settings.cells:
            for task in mistakes_probe.TASKS:
                n = sum(f[cell][task]["n"] for f in found)
                said = sum((f[cell][task]["said_false"] or 0) * f[cell][task]["n"] for f in found)
                name = f"{label(argument)}, {cell_label(cell)}, {task} said false"
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
            temperature=TEMPERATURE[scale],
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
                    f"{label(argument)}, {cell_label(cell)}, regret {how}",
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
                    f"{label(argument)}, {cell_label(cell)}, {width} beams",
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
    cells = dict(paper_cells(run, section, rows.get(how, "beam1")))
    return cells.get(cell)
