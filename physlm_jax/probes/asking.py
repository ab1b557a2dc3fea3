"""Asks a model its world's own questions, one by one, for a person to read.

iGSM asks fresh problems (cells as of the probe `reasoning`), worlds of facts the sets of the probe
`recall`; here is not what share is right but what was said, and what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from physlm_jax.data.igsm import IgsmWorld
from physlm_jax.data.questions import Questions
from physlm_jax.errors import InputError, unknown
from physlm_jax.probes import reasoning
from physlm_jax.probes.recall import answered

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run


@dataclass(frozen=True)
class Exchange:
    """A question, what the model said, and the verdict in words; `right` or what is wrong."""

    question: str
    said: str
    right: bool
    verdict: str


def ask(run: Run, name: str, count: int, seed: int = 0, temperature: float = 0.0) -> list[Exchange]:
    """Returns `count` questions (fewer, if the set has fewer) with a model's answers.

    Args:
        name: of iGSM a cell: law, a number of operations, reask20; else a set of questions.
        seed: of the problems and of what is drawn.
        temperature: 0 for the likeliest token.

    Raises:
        InputError: a world that cannot be asked, or no such questions.
    """
    if isinstance(run.world, IgsmWorld):
        return _solved(run, run.world, name, count, seed, temperature)
    offers = getattr(run.world, "questions", None)
    sets: Mapping[str, Questions] = offers() if offers else {}
    if not sets:
        raise InputError(f"the world '{run.config.data.world}' has no questions to ask")
    if name not in sets:
        raise unknown("questions", name, sets, f"world '{run.config.data.world}'")
    questions = sets[name].first(count)
    found = answered(run, questions, temperature=temperature, seed=seed)
    text = run.world.vocabulary.decode
    return [
        Exchange(
            text(prompt[1:]).strip(),
            text(said).strip(),
            bool(right),
            "right" if right else f"wrong: {text(answer).strip()}",
        )
        for prompt, answer, said, right in zip(
            questions.prompts, questions.answers, found.given, found.right, strict=True
        )
    ]


def _solved(
    run: Run, world: IgsmWorld, cell: str, count: int, seed: int, temperature: float
) -> list[Exchange]:
    longest = reasoning.longest_of(run)
    problems = reasoning.problems_of(world, cell, seed, count, longest)
    sampler = reasoning.solver(run, temperature=temperature, batch=min(count, 128))
    outcome = reasoning.solve(world, sampler, problems, seed)
    found = []
    for problem, verdict, ids in zip(problems, outcome.verdicts, outcome.written, strict=True):
        said, error = world.vocabulary.decode(ids).strip(), verdict.error
        words = "right" if error is None else f"wrong: {error.kind}: {error.detail}"
        if error is not None and error.sentence >= 0:
            words += f" (sentence {error.sentence + 1})"
        found.append(Exchange(problem.prompt(world.order).strip(), said, verdict.correct, words))
    return found
