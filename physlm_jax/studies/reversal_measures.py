"""What is trained and asked for the claims of reverse training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from physlm_jax.studies.answers import questions, share, shown
from physlm_jax.studies.curves import learning_curve
from physlm_jax.studies.exhibits import Bars, Exhibit, Figure, Measurement, Series
from physlm_jax.training.checkpoint import Run

Rule = Callable[[Measurement], str]
ROLES = {"none": "control", "word": "control"}


def symbolic(*settings: str) -> Callable[[str], tuple[str, ...]]:
    """Returns the runs of the symbolic task, as `Claim.runs` (arguments of configs/reversal.py)."""
    return functools.partial(_runs, "symbolic", settings)


def biographies(*settings: str) -> Callable[[str], tuple[str, ...]]:
    """Returns the runs of the biography task."""
    return functools.partial(_runs, "biographies", settings)


def _runs(task: str, settings: tuple[str, ...], scale: str) -> tuple[str, ...]:
    return tuple(f"{task},{scale},{one}" for one in settings)


def recalled(trained: Mapping[str, tuple[Run, ...]], scale: str) -> Measurement:
    """The share of right answers to every set of questions of every run."""
    del scale
    figures: list[Figure] = []
    exhibits: list[Exhibit] = []
    for argument, each in trained.items():
        label = _label(argument)
        names = list(questions(each[0]))
        for name in reversed(names):  # what the claim is about first
            figures.append(
                Figure.of(
                    f"{label}, {name}",
                    share(each, [name]),
                    100,
                    seeds=len(each),
                    unit="%",
                    role=_role(label, list(trained)),
                )
            )
        title = f"{label}: answers to '{names[-1]}'"
        exhibits += [learning_curve(label, each), shown(title, each[0], names[-1])]
    if len(trained) > 1:
        exhibits.insert(0, _bars(list(trained), figures))
    return Measurement(tuple(figures), tuple(exhibits))


def _role(label: str, arguments: list[str]) -> str:
    """Standard and word-reversed training are controls, where a claim is about another kind."""
    if "budget=data" in label:
        return "baseline"
    kinds = {_label(argument).split()[0] for argument in arguments}
    return ROLES.get(label.split()[0], "ours") if kinds - {*ROLES} else "ours"


def _label(argument: str) -> str:
    """The settings of a run: "segment k=5"."""
    kind, *rest = (s.removeprefix("kind=") for s in argument.split(",")[2:])
    return " ".join([kind, *rest])


def _bars(arguments: list[str], figures: list[Figure]) -> Bars:
    """All runs side by side, a group for each."""
    labels = [_label(argument) for argument in arguments]
    questions = list(dict.fromkeys(f.label.rpartition(", ")[2] for f in figures))
    by_label = {f.label: f for f in figures}
    series = []
    for question in questions:
        found = [by_label[f"{label}, {question}"] for label in labels]
        series.append(
            Series.of(question, found, role="ours" if question == questions[0] else "baseline")
        )
    return Bars("Questions answered exactly", tuple(labels), tuple(series), "right (%)")
