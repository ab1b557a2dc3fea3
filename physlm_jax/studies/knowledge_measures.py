"""What is trained and asked for the claims of knowledge (Parts 3.1, 3.2 and 3.3)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from physlm_jax.data.bios import BiosWorld
from physlm_jax.data.bios.questions import chance
from physlm_jax.data.bios.world import TRAINED
from physlm_jax.probes import recall
from physlm_jax.probes.knowledge import capacity as capacity_probe
from physlm_jax.studies import statistics
from physlm_jax.studies.claim import (
    Bars,
    Curve,
    Exhibit,
    Figure,
    Level,
    Measurement,
    Sample,
    Series,
    Table,
    Text,
)
from physlm_jax.studies.curves import learning_curve
from physlm_jax.training.checkpoint import Run

Trained = Mapping[str, tuple[Run, ...]]
Runs = Callable[[str], tuple[str, ...]]
Rule = Callable[[Measurement], str]
FIVE = ("birth_date", "birth_city", "university", "major", "employer")  # company city apart
PROBES = {  # how P- and Q-probes are fitted: laptop's and gpu's sizes are ours
    "laptop": {"steps": 600, "learning_rate": 1e-2},
    "gpu": {"steps": 5000},
    "paper": {},
}
SHOWN = 8


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
    ours = Series(
        "R",
        tuple(f.value for f in found),
        x,
        low=tuple(f.low for f in found),
        high=tuple(f.high for f in found),
    )
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


@functools.lru_cache(maxsize=1024)
def _answers(run: Run, name: str) -> recall.Answers:
    asked = _world(run).questions()
    return recall.answered(run, asked[name], recall.longest(asked))


def _share(each: Sequence[Run], names: Sequence[str]) -> statistics.Estimate:
    """The share of right answers to some sets of questions together."""
    shares = []
    for run in each:
        right = np.concatenate([_answers(run, name).right for name in names])
        shares.append(statistics.proportion(int(right.sum()), len(right)))
    return statistics.over_seeds(shares, (0, 1))


def _percent(name: str, estimate: statistics.Estimate, seeds: int, **more: Any) -> Figure:
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
            names = [n for n in _world(each[0]).questions() if not n.endswith(TRAINED)]
            variant = argument.partition(",")[0]
            paper = (papers or {}).get(variant) if scale == "paper" else None
            mean = _percent(f"{label(argument)}, mean", _share(each, names), len(each), paper=paper)
            known = _share(each, [n + TRAINED for n in names])
            figures += [
                mean,
                _percent(f"{label(argument)}, trained", known, len(each), role="baseline"),
            ]
            figures += [
                _percent(f"{label(argument)}: {n}", _share(each, [n]), len(each), role="baseline")
                for n in names
            ]
            exhibits += [_said(label(argument), each[0], names[0])]
            exhibits.append(learning_curve(label(argument), each))
        return Measurement(tuple(figures), (_bars(trained, figures), *exhibits))

    return measure


def _bars(trained: Trained, figures: Sequence[Figure]) -> Bars:
    """Held-out and trained people side by side."""
    by_label = {f.label: f for f in figures}
    series = []
    for name, role in (("mean", "ours"), ("trained", "baseline")):
        found = [by_label[f"{label(argument)}, {name}"] for argument in trained]
        series.append(
            Series(
                {"mean": "held-out people", "trained": "people asked in training"}[name],
                tuple(f.value for f in found),
                low=tuple(f.low for f in found),
                high=tuple(f.high for f in found),
                role=role,
            )
        )
    return Bars(
        "Questions answered exactly", tuple(map(label, trained)), tuple(series), "right (%)"
    )


def _said(name: str, run: Run, task: str) -> Text:
    """The first questions with what the model answered."""
    asked, found = _world(run).questions()[task], _answers(run, task)
    decode = run.world.vocabulary.decode
    samples = tuple(
        Sample(
            f"{decode(asked.prompts[i][1:])} ->{decode(found.given[i])}",
            bool(found.right[i]),
            "" if found.right[i] else f"right:{decode(asked.answers[i])}",
        )
        for i in range(min(SHOWN, len(asked)))
    )
    return Text(f"{name}: answers of held-out people", samples)


def searched(trained: Trained, scale: str) -> Measurement:
    """Names found from what is known of people, beside guessing."""
    del scale
    figures: list[Figure] = []
    for argument, each in trained.items():
        world = _world(each[0])
        names = [n for n in world.questions() if not n.endswith(TRAINED)]
        for name in names:
            figures.append(_percent(f"{label(argument)}, {name}", _share(each, [name]), len(each)))
        known = _share(each, [n + TRAINED for n in names])
        figures.append(_percent(f"{label(argument)}, trained", known, len(each), role="baseline"))
    world = _world(next(iter(trained.values()))[0])
    guess = 100 * chance("all_to_first", world.biographies.groups[0].lists)
    figures.append(Figure("guessing a first name", guess, seeds=0, unit="%", role="control"))
    return Measurement(tuple(figures))
