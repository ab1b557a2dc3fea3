"""Does a model answer what it was taught? Exact match of whole answers, and best of n samples.

A world that can be asked has `questions() -> {name: Questions}`, and may say by `means()` of which
of these sets the mean is worth a line, {name: sets}. Answers are decoded greedily; an answer is
right if it is one of those accepted, all its tokens in place. Source: arXiv 2403.13799,
sections 3-4 (exact match; best@n for the celebrities); the estimator of best@n from m samples is
the usual one, 1 - C(m - c, n) / C(m, n) with c of them right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from physlm_jax.data.questions import Questions
from physlm_jax.decoding.interface import Sampler, transformer_sampler
from physlm_jax.errors import InputError
from physlm_jax.probes.filling import filled
from physlm_jax.probes.fitting import option
from physlm_jax.probes.measurement import Cell, Measurement

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run


@dataclass(frozen=True)
class Answers:
    """What a model answered.

    Attributes:
        right: bool[n], one of the accepted answers.  strict: bool[n], the answer itself.
        given: the ids of each answer, cut where the longest right one would end.
    """

    right: np.ndarray
    strict: np.ndarray
    given: tuple[tuple[int, ...], ...]


def answers(sampler: Sampler, questions: Questions, seed: int = 0) -> Answers:
    """Returns a model's answers and whether they are right.

    Args:
        sampler: greedy, or one that draws with `seed`; stops at EOS.
    """
    samples = sampler(questions.prompts, seed)
    said = samples.continuations
    given, right, strict = [], [], []
    for i, (answer, accepted) in enumerate(zip(questions.answers, questions.accepted, strict=True)):
        words = tuple(said[i].tolist())
        ended = bool(samples.finished[i]) or not questions.ends

        def fits(one: tuple[int, ...], words: tuple[int, ...] = words, ended: bool = ended) -> bool:
            same = words if questions.ends else words[: len(one)]
            return ended and same == one

        right.append(any(fits(one) for one in accepted))
        strict.append(fits(tuple(answer.tolist())))
        given.append(words[: max(map(len, accepted))])
    return Answers(np.array(right, bool), np.array(strict, bool), tuple(given))


def answered(
    run: Run, questions: Questions, longest: int = 0, temperature: float = 0.0, seed: int = 0
) -> Answers:
    """Returns the answers of a run's model: written, or filled in if it is bidirectional.

    Args:
        longest: tokens of a row to make room for; 0: as many as these questions need.
        temperature: of what is written, drawn with `seed`; 0: the likeliest token.
    """
    if not run.model.causal:
        vocabulary = run.world.vocabulary
        mask = getattr(vocabulary, "mask", -1)
        said = filled(run.model, run.params, questions, mask)
        given = tuple(tuple(words.tolist()) for words in said)
        pairs = zip(given, questions.answers, questions.accepted, strict=True)
        right, strict = zip(
            *[(g in accepted, g == tuple(a.tolist())) for g, a, accepted in pairs], strict=True
        )
        return Answers(np.array(right, bool), np.array(strict, bool), given)
    length = longest or int((questions.prompts.lengths + questions.answers.lengths).max()) + 1
    sampler = transformer_sampler(
        run.model,
        run.params,
        stop=run.world.vocabulary.eos,
        max_length=min(length, run.model.max_length),
        temperature=temperature,
    )
    return answers(sampler, questions, seed)


def best_at(correct: np.ndarray, samples: int, n: int) -> np.ndarray:
    """float[questions]: chance that one of n samples is right, from c right ones of m.

    Args:
        correct: c, int[questions].  samples: m.  n: 1 <= n <= m.
    """
    if not 1 <= n <= samples:
        raise InputError(f"best@{n} needs at least {n} samples of each question, got {samples}")
    none = [math.comb(samples - int(c), n) / math.comb(samples, n) for c in correct]
    return 1 - np.array(none)


def longest(questions: Mapping[str, Questions]) -> int:
    """Tokens of the longest question with its answer and EOS."""
    return max(int((q.prompts.lengths + q.answers.lengths).max()) + 1 for q in questions.values())


@dataclass(frozen=True)
class Settings:
    """Flags of the entry point."""

    best: tuple[int, ...] = option((), "n of best@n besides greedy decoding, e.g. 1,5,10")
    samples: int = option(10, "samples of each question for best@n")
    temperature: float = option(1.0, "of those samples")
    seed: int = option(0, "of those samples")


def measure(run: Run, settings: Settings) -> Measurement:
    """Returns the share of right answers of every set of questions of the run's world.

    Raises:
        InputError: a world that cannot be asked; best@n with fewer than n samples.
    """
    ask = getattr(run.world, "questions", None)
    asked: Mapping[str, Questions] = ask() if ask else {}
    if not asked:
        raise InputError(
            f"the world '{run.config.data.world}' has no questions; recall is for worlds of facts"
        )
    stop = run.world.vocabulary.eos
    length = min(longest(asked), run.model.max_length)
    drawing = transformer_sampler(
        run.model, run.params, stop=stop, max_length=length, temperature=settings.temperature
    )
    rows: list[tuple[Cell, ...]] = []
    data: dict[str, dict[str, float]] = {}
    for name, questions in asked.items():
        found = answered(run, questions, length)
        best = {}
        if settings.best:
            drawn = [
                answers(drawing, questions, settings.seed + i) for i in range(settings.samples)
            ]
            correct = np.sum([d.right for d in drawn], axis=0)
            best = {n: float(best_at(correct, settings.samples, n).mean()) for n in settings.best}
        right, strict = float(found.right.mean()), float(found.strict.mean())
        rows.append((name, len(questions), right, strict, *best.values()))
        data[name] = {"n": len(questions), "right": right, "strict": strict}
        data[name] |= {f"best@{n}": value for n, value in best.items()}
    summed = getattr(run.world, "means", None)
    means = {
        name: _mean([data[part] for part in of])
        for name, of in (summed() if summed else {}).items()
    }
    rows += [(name, *found.values()) for name, found in means.items()]
    header = ("questions", "n", "right", "strict", *(f"best@{n}" for n in settings.best))
    name = "recall" + (f"-t{settings.temperature:g}-{settings.samples}" if settings.best else "")
    return Measurement(name, header, tuple(rows), {"questions": data, "means": means})


def _mean(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The number of all questions, and the means of the sets' shares."""
    shares = {key: sum(one[key] for one in found) / len(found) for key in found[0] if key != "n"}
    return {"n": sum(one["n"] for one in found), **shares}
