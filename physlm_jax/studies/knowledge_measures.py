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
from physlm_jax.probes.knowledge import manipulation as manipulation_probe
from physlm_jax.probes.knowledge import storage as storage_probe
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
    decide,
)
from physlm_jax.studies.curves import learning_curve
from physlm_jax.training.checkpoint import Run, checkpoint_steps, load_run

Trained = Mapping[str, tuple[Run, ...]]
Runs = Callable[[str], tuple[str, ...]]
Rule = Callable[[Measurement], str]
FIVE = ("birth_date", "birth_city", "university", "major", "employer")  # company city apart
PROBES: dict[
    str, dict[str, Any]
] = {  # how P- and Q-probes are fitted: laptop's and gpu's sizes are ours
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


def at_least(limit: float) -> Rule:
    """Returns a rule: every mean over attributes reaches a per cent."""

    def rule(m: Measurement) -> str:
        return decide(*(f.value >= limit for f in m.figures if f.label.endswith(", mean")))

    return rule


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


@functools.lru_cache(maxsize=64)
def _probed(run: Run, kind: str, scale: str) -> Mapping[str, Any]:
    settings = storage_probe.Settings(kinds=(kind,), **PROBES[scale])
    return storage_probe.measure(run, settings).data["probes"][kind]


def _told(each: Sequence[Run], kind: str, scale: str, place: int) -> dict[str, float]:
    """Share of people whose whole value a probe tells at one place, by attribute; mean of seeds."""
    found = [_probed(run, kind, scale) for run in each]
    tasks = [task for task in found[0] if task.endswith(" whole")]
    return {t: float(np.mean([f[t]["right"][place] for f in found])) for t in tasks}


def probed(kind: str) -> Callable[[Trained, str], Measurement]:
    """Returns a measurement of a storage probe at its first place: after the name alone.

    Args:
        kind: "position" or "query".
    """

    def measure(trained: Trained, scale: str) -> Measurement:
        figures, tables = [], []
        for argument, each in trained.items():
            people = min(f[t]["n"] for f in [_probed(each[0], kind, scale)] for t in f)
            told = _told(each, kind, scale, 0)
            share = float(np.mean([*told.values()]))
            estimate = statistics.proportion(round(share * people), people)
            figures.append(_percent(f"{label(argument)}, first place", estimate, len(each)))
            if kind == "position":
                tables.append(_by_place(label(argument), each, scale))
            figures += [
                Figure(f"{label(argument)}: {task}", 100 * v, seeds=len(each), unit="%")
                for task, v in told.items()
            ]
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


@functools.lru_cache(maxsize=64)
def _manipulated(run: Run) -> list[dict[str, Any]]:
    return manipulation_probe.measure(run, manipulation_probe.Settings()).data["questions"]


def manipulated(trained: Trained, scale: str) -> Measurement:
    """Answers about held-out people, direct and with a hint, beside what the hints predict."""
    del scale
    figures: list[Figure] = []
    for argument, each in trained.items():
        found = [
            {(r["task"], r["control"]): r for r in _manipulated(run) if r["side"] == "held-out"}
            for run in each
        ]
        for task in dict.fromkeys(task for task, _ in found[0]):
            name = f"{label(argument)}: {task}"
            for control, said in (("<hint>", "with a hint"), ("<direct>", "direct")):
                shares = [
                    statistics.proportion(round(f[task, control]["right"] * n), n)
                    for f in found
                    if (n := f[task, control]["n"])
                ]
                estimate = statistics.over_seeds(shares, (0, 1))
                role = "ours" if control == "<hint>" else "baseline"
                figures.append(_percent(f"{name}, {said}", estimate, len(each), role=role))
            hints = [f[task, "<hint>"] for f in found]
            for said, key in (("hint", "hint"), ("predicted", "predicted"), ("guessing", "chance")):
                value = 100 * float(np.mean([h[key] for h in hints]))
                role = "truth" if key == "predicted" else "control"
                figures.append(
                    Figure(f"{name}, {said}", value, seeds=len(each), unit="%", role=role)
                )
    return Measurement(tuple(figures))


RISES = (  # in the order in which the paper sees them rise
    "questions, trained people",
    "biographies",
    "questions, held-out people",
)


def _share_of_last(values: Sequence[float], share: float = 0.5) -> int:
    """The first place where a rising quantity reaches a share of its last value."""
    return next(i for i, v in enumerate(values) if v >= share * values[-1])


def rises(trained: Trained, scale: str) -> Measurement:
    """When, in the course of training, questions and biographies come to be known."""
    del scale
    figures: list[Figure] = []
    exhibits: list[Exhibit] = []
    for argument, each in trained.items():
        run = each[0]
        steps = checkpoint_steps(run.workdir)
        curves: dict[str, list[float]] = {name: [] for name in RISES}
        for step in steps:
            then = load_run(run.workdir, step, run.member)
            names = [n for n in _world(then).questions() if not n.endswith(TRAINED)]
            known = _stored(then)["people_known"] / _stored(then)["people"]
            asked = (_share([then], [n + TRAINED for n in names]), _share([then], names))
            for name, value in zip(RISES, (asked[0].value, known, asked[1].value), strict=True):
                curves[name].append(100 * value)
        x = tuple(map(float, steps))
        series = tuple(Series(name, tuple(values), x) for name, values in curves.items())
        exhibits.append(Curve(f"{label(argument)}: what is known", series, "updates", "%"))
        for name, values in curves.items():
            half = steps[_share_of_last(values)]
            figures += [
                Figure(f"{label(argument)}, {name}: half", half, unit="updates"),
                Figure(f"{label(argument)}, {name}: at the end", values[-1], unit="%"),
            ]
    return Measurement(tuple(figures), tuple(exhibits))
