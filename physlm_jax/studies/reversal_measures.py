"""What is trained and asked for the claims of reverse training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from physlm_jax.data.reversal import Questions, ReverseMix
from physlm_jax.probes import recall
from physlm_jax.studies import statistics
from physlm_jax.studies.claim import Bars, Exhibit, Figure, Measurement, Sample, Series, Text
from physlm_jax.studies.curves import learning_curve
from physlm_jax.training.checkpoint import Run

Rule = Callable[[Measurement], str]
ROLES = {"none": "control", "word": "control"}
SHOWN = 8


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
        names = list(_world(each[0]).questions())
        for name in reversed(names):  # what the claim is about first
            found = [_answers(run, name) for run in each]
            shares = [statistics.proportion(int(f.right.sum()), len(f.right)) for f in found]
            figures.append(
                Figure.of(
                    f"{label}, {name}",
                    statistics.over_seeds(shares, (0, 1)),
                    100,
                    seeds=len(each),
                    unit="%",
                    role=_role(label, list(trained)),
                )
            )
        exhibits += [learning_curve(label, each), _said(label, each[0], names[-1])]
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
    """The settings of a run: "segment k=3"."""
    kind, *rest = (s.removeprefix("kind=") for s in argument.split(",")[2:])
    return " ".join([kind, *rest])


def _world(run: Run) -> ReverseMix:
    assert isinstance(run.world, ReverseMix)  # this study's configs name no other
    return run.world


@functools.lru_cache(maxsize=256)
def _answers(run: Run, name: str) -> recall.Answers:
    asked: Mapping[str, Questions] = _world(run).questions()
    return recall.answered(run, asked[name], recall.longest(asked))


def _said(label: str, run: Run, name: str) -> Text:
    """The first questions with what the model answered."""
    asked, found = _world(run).questions()[name], _answers(run, name)
    decode = run.world.vocabulary.decode
    samples = tuple(
        Sample(
            f"{decode(asked.prompts[i][1:])} -> {decode(found.given[i])}",
            bool(found.right[i]),
            "" if found.right[i] else f"right: {decode(asked.answers[i])}",
        )
        for i in range(min(SHOWN, len(asked)))
    )
    return Text(f"{label}: answers to '{name}'", samples)


def _bars(arguments: list[str], figures: list[Figure]) -> Bars:
    """All runs side by side, a group for each."""
    labels = [_label(argument) for argument in arguments]
    questions = list(dict.fromkeys(f.label.rpartition(", ")[2] for f in figures))
    by_label = {f.label: f for f in figures}
    series = []
    for question in questions:
        found = [by_label[f"{label}, {question}"] for label in labels]
        series.append(
            Series(
                question,
                tuple(f.value for f in found),
                low=tuple(f.low for f in found),
                high=tuple(f.high for f in found),
                role="ours" if question == questions[0] else "baseline",
            )
        )
    return Bars("Questions answered exactly", tuple(labels), tuple(series), "right (%)")
