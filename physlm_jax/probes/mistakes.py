"""What a model believed where it went wrong: V-probes put at its own mistakes.

Redundant solutions: parameters written without need, and how often the probe of `nece` says, before
the solution begins, that they are needed. Wrong solutions: the first wrong parameter, where it
could truly not be next, and how often the probes of can_next and nece_next say so. Source: arXiv
2407.20311, Result 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from physlm_jax.data.igsm import IgsmWorld, Problem, Verdict, computable
from physlm_jax.probes.fitting import option
from physlm_jax.probes.measurement import Cell, Measurement
from physlm_jax.probes.reasoning import Outcome, as_igsm, longest_of, problems_of, solve, solver
from physlm_jax.probes.variable_fit import ADAPTER, predict
from physlm_jax.probes.variable_tasks import Asked, Reading
from physlm_jax.probes.variables import Settings as ProbeSettings
from physlm_jax.probes.variables import fitted

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run

TASKS = ("nece", "can_next", "nece_next")


@dataclass(frozen=True)
class Settings:
    """Flags of the entry point."""

    cells: tuple[str, ...] = option(("law",), "problems: see the probe reasoning")
    count: int = option(512, "problems of each cell")
    temperature: float = option(0.0, "of drawn solutions; 0: the likeliest token")
    adapter: str = option(ADAPTER, "of the probes: rules of models.lora")
    steps: int = option(300, "updates of each probe")
    batch: int = option(32, "problems per update, and solved at once")
    seed: int = option(0, "of problems and probes")


def _asked(world: IgsmWorld, problem: Problem, written: Sequence[int], t: int, a: int) -> Asked:
    """One question: about parameter A after t sentences, or (t < 0) after the question."""
    reading = Reading(world, problem, written)
    place = reading.question if t < 0 else reading.after[t]
    truth = np.zeros(1, int)
    return Asked(reading.text, [reading.ask(place, a)], truth, truth, truth, truth)


def redundant(world: IgsmWorld, outcome: Outcome) -> list[Asked]:
    """Returns questions about the unneeded parameters of right solutions, after the question."""
    found = []
    for problem, verdict, written in _each(outcome):
        needed = problem.arrays.necessary
        for param in dict.fromkeys(verdict.defined) if verdict.correct else ():
            place = problem.place(param) if param else -1
            if place >= 0 and not needed[place]:
                found.append(_asked(world, problem, written, -1, place))
    return found


def blunders(world: IgsmWorld, outcome: Outcome, task: str) -> list[Asked]:
    """Returns questions about first wrong parameters of which the task is false, before them."""
    found = []
    for problem, verdict, written in _each(outcome):
        place = problem.place(verdict.wrong) if verdict.wrong else -1
        if place < 0:
            continue
        before = verdict.defined[: verdict.defined.index(verdict.wrong)]
        known = {problem.place(p) for p in before if p is not None}
        possible = computable(problem, known, place)
        if task == "nece_next":
            possible &= bool(problem.arrays.necessary[place])
        if not possible:
            found.append(_asked(world, problem, written, verdict.wrong_sentence, place))
    return found


def _each(outcome: Outcome) -> list[tuple[Problem, Verdict, tuple[int, ...]]]:
    return list(zip(outcome.problems, outcome.verdicts, outcome.written, strict=True))


def measure(run: Run, settings: Settings) -> Measurement:
    """Returns what the probes say of unneeded and of first wrong parameters, in every cell.

    Raises:
        InputError: a world without problems, or no such cell.
    """
    world = as_igsm(run.world)
    longest = longest_of(run)
    fitting = ProbeSettings(
        adapter=settings.adapter, steps=settings.steps, batch=settings.batch, seed=settings.seed
    )
    probes = {task: fitted(run, task, fitting) for task in TASKS}
    sampler = solver(run, temperature=settings.temperature, batch=settings.batch)
    rows: list[tuple[Cell, ...]] = []
    data: dict[str, Any] = {}
    for cell in settings.cells:
        problems = problems_of(world, cell, settings.seed, settings.count, longest)
        outcome = solve(world, sampler, problems, settings.seed)
        asked = {"nece": redundant(world, outcome)}
        asked |= {task: blunders(world, outcome, task) for task in TASKS[1:]}
        data[cell] = {}
        for task, questions in asked.items():
            said = predict(*probes[task], questions) if questions else np.zeros(0, int)
            share = float((said == 0).mean()) if len(said) else None
            data[cell][task] = {"n": len(said), "said_false": share}
            where = "unneeded parameters" if task == "nece" else "first wrong parameters"
            rows.append((cell, where, task, len(said), share))
    header = ("cell", "of", "task", "n", "said false")
    heat = f"-t{settings.temperature:g}" if settings.temperature else ""
    return Measurement(f"mistakes{heat}", header, tuple(rows), {"cells": data})
