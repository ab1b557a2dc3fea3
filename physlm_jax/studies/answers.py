"""What trained models answer, for every study whose worlds can be asked: decoded once a run."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import numpy as np

from physlm_jax.data.questions import Questions
from physlm_jax.probes import recall
from physlm_jax.studies import statistics
from physlm_jax.studies.exhibits import Sample, Text
from physlm_jax.training.checkpoint import Run

SHOWN = 8


class Asked(Protocol):
    """A world that can be asked."""

    def questions(self) -> Mapping[str, Questions]:
        """Returns sets of questions, by name."""
        ...


def questions(run: Run) -> Mapping[str, Questions]:
    """Returns what a run's world asks."""
    return cast("Asked", run.world).questions()


@functools.lru_cache(maxsize=1024)
def answers(run: Run, name: str) -> recall.Answers:
    """Returns what a run's model answers to one set of questions."""
    asked = questions(run)
    return recall.answered(run, asked[name], recall.longest(asked))


def share(each: Sequence[Run], names: Sequence[str]) -> statistics.Estimate:
    """Returns the share of right answers to some sets of questions together, over the seeds."""
    shares = []
    for run in each:
        right = np.concatenate([answers(run, name).right for name in names])
        shares.append(statistics.proportion(int(right.sum()), len(right)))
    return statistics.over_seeds(shares, (0, 1))


def shown(title: str, run: Run, name: str) -> Text:
    """Returns the first questions of a set with what the model answered."""
    asked, found = questions(run)[name], answers(run, name)
    decode = run.world.vocabulary.decode

    def said(ids: Sequence[int] | np.ndarray) -> str:
        return decode(ids).removeprefix(" ")

    samples = tuple(
        Sample(
            f"{said(asked.prompts[i][1:])} -> {said(found.given[i])}",
            bool(found.right[i]),
            "" if found.right[i] else f"right: {said(asked.answers[i])}",
        )
        for i in range(min(SHOWN, len(asked)))
    )
    return Text(title, samples)
