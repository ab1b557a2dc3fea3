"""What is trained and asked for the claims of knowledge (Parts 3.1, 3.2 and 3.3)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from physlm_jax.data.bios import BiosWorld
from physlm_jax.data.bios.questions import chance
from physlm_jax.data.bios.world import TRAINED
from physlm_jax.probes.knowledge import capacity as capacity_probe
from physlm_jax.probes.knowledge import storage as storage_probe
from physlm_jax.studies import statistics
from physlm_jax.studies.answers import questions, share, shown
from physlm_jax.studies.claim import decide
from physlm_jax.studies.curves import learning_curve
from physlm_jax.studies.exhibits import (
    Bars,
    Curve,
    Exhibit,
    Figure,
    Level,
    Measurement,
    Series,
    Table,
)
from physlm_jax.training.checkpoint import Run, checkpoint_steps, load_run

Trained = Mapping[str, tuple[Run, ...]]
Runs = Callable[[str], tuple[str, ...]]
Rule = Callable[[Measurement], str]
# how P- and Q-probes are fitted: laptop's and gpu's sizes are ours
PROBES: dict[str, dict[str, Any]] = {
    "laptop": {"steps": 600, "learning_rate": 1e-2},
    "gpu": {"steps": 5000},
    "paper": {},
}


def runs(**by_scale: Sequence[str]) -> Runs:
    """Returns the runs of a claim by scale, each "variant,settings" without the scale."""

    def chosen(scale: str) -> tuple[str, ...]:
        return tuple(_argument(one, scale) for one in by_scale.get(scale, ()))

    return chosen


def _argument(text: str, scale: str) -> str:
    variant, _, settings = text.partition(",")
    return ",".join(part for part in (variant, scale, settings) if part)


def label(argument: str) -> str:
    """Returns how a run is called: its variant and settings."""
    variant, _, *settings = argument.split(",")
    return " ".join([variant, *settings])


def _world(run: Run) -> BiosWorld:
    assert isinstance(run.world, BiosWorld)  # this study's configs name no other
    return run.world


@functools.lru_cache(maxsize=512)
def _stored(run: Run, bits: int = 0, method: str = "nearest") -> Mapping[str, Any]:
    """What the capacity probe says of a run's useful people."""
    settings = capacity_probe.Settings(bits=bits, method=method)
    data = capacity_probe.measure(run, settings).data
    return {**data["groups"][-1], "parameters": data["parameters"]}


def _over_seeds(each: Sequence[Mapping[str, Any]], key: str) -> statistics.Estimate:
    """Bits per parameter over the seeds; of one seed the spread over people."""
    found = [
        statistics.Estimate(
            f["bits"][key],
            f["bits"][key] - 1.96 * f["error"],
            f["bits"][key] + 1.96 * f["error"],
            1,
        )
        for f in each
    ]
    return statistics.over_seeds(found, (-100.0, 100.0))


def _ratio(argument: str, each: Sequence[Run], bits: int = 0, method: str = "nearest") -> Figure:
    found = [_stored(run, bits, method) for run in each]
    how = f" int{bits}" + (" gptq" if method == "gptq" else "") if bits else ""
    return Figure.of(
        f"{label(argument)}{how}, R", _over_seeds(found, "ratio"), seeds=len(each), unit="bits"
    )


def _most(argument: str, run: Run) -> Figure:
    value = _stored(run)["bits"]["max_ratio"]
    return Figure(f"{label(argument)}, R_max", value, seeds=0, unit="bits", role="truth")


def ratios(trained: Trained, scale: str) -> Measurement:
    """Bits per parameter of every run beside what a perfect model of its size would have."""
    del scale
    figures = []
    for argument, each in trained.items():
        figures += [_ratio(argument, each), _most(argument, each[0])]
    exhibits: list[Exhibit] = [_law(trained), _accounts(trained)]
    exhibits += [learning_curve(label(a), each) for a, each in trained.items()]
    return Measurement(tuple(figures), tuple(exhibits))


def _law(trained: Trained) -> Curve:
    """R against model size, with R_max, two bits and one bit."""
    points = sorted(
        (_stored(each[0])["parameters"], argument) for argument, each in trained.items()
    )
    x = tuple(float(p) for p, _ in points)
    found = [_ratio(argument, trained[argument]) for _, argument in points]
    most = [_most(argument, trained[argument][0]).value for _, argument in points]
    ours = Series.of("R", found, x=x)
    ceiling = Series("R_max", tuple(most), x, role="truth")
    return Curve(
        "Bits per parameter",
        (ours, ceiling),
        "parameters",
        "bits per parameter",
        x_log=True,
        levels=(Level("2 bits", 2.0), Level("1 bit", 1.0)),
    )


def _accounts(trained: Trained) -> Table:
    """Losses and accuracies behind the bits, of the first seed."""
    rows = []
    for argument, each in trained.items():
        f = _stored(each[0])
        people = f["people"]
        rows.append(
            (
                label(argument),
                f["parameters"],
                people,
                round(f["p1"], 3),
                round(f["p2"], 3),
                round(f["bits"]["total"] / people, 2),
                round(f["bits"]["max_total"] / people, 2),
                round(f["people_known"] / people, 3),
            )
        )
    columns = ("run", "parameters", "people", "p1 (nats)", "p2 (nats)", "bits a person", "of")
    return Table("What was stored (first seed)", (*columns, "values right"), tuple(rows))


def quantised(*ways: tuple[int, str]) -> Callable[[Trained, str], Measurement]:
    """Returns a measurement of R as trained and with weights of few bits.

    Args:
        ways: (bits, method).
    """

    def measure(trained: Trained, scale: str) -> Measurement:
        del scale
        figures = []
        for argument, each in trained.items():
            figures += [_ratio(argument, each), _most(argument, each[0])]
            figures += [_ratio(argument, each, bits, method) for bits, method in ways]
        return Measurement(tuple(figures))

    return measure


def _held_out(run: Run) -> list[str]:
    """The sets of questions on held-out people."""
    return [name for name in questions(run) if not name.endswith(TRAINED)]


def percent(name: str, estimate: statistics.Estimate, seeds: int, **more: Any) -> Figure:
    """Returns the figure of a share, in per cent."""
    return Figure.of(name, estimate, 100, seeds=seeds, unit="%", **more)


def answered(papers: Mapping[str, float] | None = None) -> Callable[[Trained, str], Measurement]:
    """Returns a measurement of questions answered exactly, of held-out and of trained people.

    Args:
        papers: the paper's figure, per cent, by variant; shown at the scale `paper`.
    """

    def measure(trained: Trained, scale: str) -> Measurement:
        figures: list[Figure] = []
        exhibits: list[Exhibit] = []
        for argument, each in trained.items():
            names = _held_out(each[0])
            variant = argument.partition(",")[0]
            paper = (papers or {}).get(variant) if scale == "paper" else None
            mean = percent(f"{label(argument)}, mean", share(each, names), len(each), paper=paper)
            known = share(each, [n + TRAINED for n in names])
            figures += [
                mean,
                percent(f"{label(argument)}, trained", known, len(each), role="baseline"),
            ]
            figures += [
                percent(f"{label(argument)}: {n}", share(each, [n]), len(each), role="baseline")
                for n in names
            ]
            exhibits += [shown(f"{label(argument)}: answers of held-out people", each[0], names[0])]
            exhibits.append(learning_curve(label(argument), each))
        return Measurement(tuple(figures), (_bars(trained, figures), *exhibits))

    return measure


def at_least(limit: float) -> Rule:
    """Returns a rule: every mean over attributes reaches a per cent."""

    def rule(m: Measurement) -> str:
        return decide(*(f.value >= limit for f in m.figures if f.label.endswith(", mean")))

    return rule


def _bars(trained: Trained, figures: Sequence[Figure]) -> Bars:
    """Held-out and trained people side by side."""
    by_label = {f.label: f for f in figures}
    series = []
    for name, said, role in (
        ("mean", "held-out people", "ours"),
        ("trained", "people asked in training", "baseline"),
    ):
        found = [by_label[f"{label(argument)}, {name}"] for argument in trained]
        series.append(Series.of(said, found, role=role))
    return Bars(
        "Questions answered exactly", tuple(map(label, trained)), tuple(series), "right (%)"
    )


def searched(trained: Trained, scale: str) -> Measurement:
    """Names found from what is known of people, beside guessing."""
    del scale
    figures: list[Figure] = []
    for argument, each in trained.items():
        world = _world(each[0])
        names = _held_out(each[0])
        for name in names:
            figures.append(percent(f"{label(argument)}, {name}", share(each, [name]), len(each)))
        known = share(each, [n + TRAINED for n in names])
        figures.append(percent(f"{label(argument)}, trained", known, len(each), role="baseline"))
    world = _world(next(iter(trained.values()))[0])
    guess = 100 * chance("all_to_first", world.biographies.groups[0].lists)
    figures.append(Figure("guessing a first name", guess, seeds=0, unit="%", role="control"))
    return Measurement(tuple(figures))


@functools.lru_cache(maxsize=64)
def _probed(run: Run, kind: str, scale: str) -> Mapping[str, Any]:
    settings = storage_probe.Settings(kinds=(kind,), **PROBES[scale])
    return storage_probe.measure(run, settings).data["probes"][kind]


def _told(each: Sequence[Run], kind: str, scale: str, tasks: Sequence[str]) -> statistics.Estimate:
    """Share of whole values that probes tell at their first place; the mean over attributes."""
    shares = []
    for run in each:
        found = [_probed(run, kind, scale)[task] for task in tasks]
        people = min(one["n"] for one in found)  # the same for all attributes: no more independent
        told = float(np.mean([one["right"][0] for one in found]))
        shares.append(statistics.proportion(round(told * people), people))
    return statistics.over_seeds(shares, (0, 1))


def probed(kind: str) -> Callable[[Trained, str], Measurement]:
    """Returns a measurement of a storage probe at its first place: after the name alone.

    Args:
        kind: "position" or "query".
    """

    def measure(trained: Trained, scale: str) -> Measurement:
        figures, tables = [], []
        for argument, each in trained.items():
            tasks = [t for t in _probed(each[0], kind, scale) if t.endswith(" whole")]
            for name, some in ((", first place", tasks), *((f": {t}", [t]) for t in tasks)):
                estimate = _told(each, kind, scale, some)
                figures.append(percent(f"{label(argument)}{name}", estimate, len(each)))
            if kind == "position":
                tables.append(_by_place(label(argument), each, scale))
        return Measurement(tuple(figures), tuple(tables))

    return measure


def _by_place(name: str, each: Sequence[Run], scale: str) -> Table:
    """Whole values told, per cent, at each of the six places."""
    found = _probed(each[0], "position", scale)
    rows = [
        (task, *(round(100 * share, 1) for share in one["right"]))
        for task, one in found.items()
        if task.endswith(" whole")
    ]
    title = f"{name}: told before the n-th value, per cent (first seed)"
    return Table(title, ("attribute", *map(str, range(1, 7))), tuple(rows))


RISES = (  # in the order in which the paper sees them rise
    "questions, trained people",
    "biographies",
    "questions, held-out people",
)


def _share_of_last(values: Sequence[float], share: float = 0.5) -> int:
    """The first place where a rising quantity reaches a share of its last value."""
    return next(i for i, v in enumerate(values) if v >= share * values[-1])


def _rising(run: Run) -> dict[str, list[tuple[int, float]]]:
    """What a run knew at each of its checkpoints, per cent, by the names of `RISES`."""
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in RISES}
    for step in checkpoint_steps(run.workdir):
        then = load_run(run.workdir, step, run.member)
        names, stored = _held_out(then), _stored(then)
        known = (
            share([then], [n + TRAINED for n in names]).value,
            stored["people_known"] / stored["people"],
            share([then], names).value,
        )
        for name, value in zip(RISES, known, strict=True):
            found[name].append((step, 100 * value))
    return found


def rises(trained: Trained, scale: str) -> Measurement:
    """When, in the course of training, questions and biographies come to be known."""
    del scale
    figures: list[Figure] = []
    exhibits: list[Exhibit] = []
    for argument, each in trained.items():
        runs = [_rising(run) for run in each]
        for name in RISES:
            curves = [run[name] for run in runs]
            half = [c[_share_of_last([v for _, v in c])][0] for c in curves]
            stem, more = f"{label(argument)}, {name}", {"seeds": len(each)}
            end = statistics.mean([c[-1][1] for c in curves])
            figures += [
                Figure.of(f"{stem}: half", statistics.mean(half), unit="updates", **more),
                Figure.of(f"{stem}: at the end", end, unit="%", **more),
            ]
        first = {name: tuple(zip(*curve, strict=True)) for name, curve in runs[0].items()}
        series = tuple(Series(name, values, steps) for name, (steps, values) in first.items())
        title = f"{label(argument)}: what is known (first seed)"
        exhibits.append(Curve(title, series, "updates", "%"))
    return Measurement(tuple(figures), tuple(exhibits))
