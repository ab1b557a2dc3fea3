"""What a model can do with its knowledge: questions with and without hints, of new and old people.

Every task of a world is asked, of people whose questions were trained on and of others. Where
training had hints, a control token at the end of the prompt forces the direct answer or the one
with a hint, which is what the answer depends on (attributes of one person or two), written first.
The model writes its own hint; what hints are worth by themselves is told beside it (`hints`).
Source: arXiv 2309.14402, sections 4 to 6 (Results 3-6; 7-9: inverse search).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from physlm_jax.data.bios import BiosWorld, Tasks
from physlm_jax.data.bios.asking import HINTED, NO_HINT, PLAIN
from physlm_jax.data.bios.people import Population
from physlm_jax.data.bios.questions import DIRECT, GROUPS, HINT, QUESTIONS, chance
from physlm_jax.data.bios.world import ASKED, as_questions
from physlm_jax.data.questions import Questions
from physlm_jax.data.ragged import Ragged
from physlm_jax.decoding.interface import Sampler, beam_sampler, transformer_sampler
from physlm_jax.decoding.rows import Samples
from physlm_jax.errors import InputError, unknown
from physlm_jax.probes import recall
from physlm_jax.probes.fitting import option
from physlm_jax.probes.knowledge.hints import judged, predicted, read
from physlm_jax.probes.measurement import Cell, Measurement

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run

CONTROLS = {NO_HINT: "none", PLAIN: DIRECT, HINTED: HINT}
SIDES = ("held-out", "trained")
_FIELDS = tuple(field.name for field in dataclasses.fields(Samples))


@dataclass(frozen=True)
class Settings:
    """Flags of the entry point."""

    tasks: tuple[str, ...] = option((), "names of tasks or of groups; all: those of the world")
    count: int = option(ASKED, "people of each side who are asked about; 0: all", least=0)
    width: int = option(1, "beams (the papers: 4); 1: the likeliest token")
    batch: int = option(256, "questions at once")
    seed: int = option(0, "of who is compared with whom")


@dataclass(frozen=True)
class Asked:
    """Questions of one task about one side's people, with one control token.

    Attributes:
        task: of `QUESTIONS`.  side: of `SIDES`.  control: NO_HINT, PLAIN or HINTED.
        questions: the right answers have their hints.
    """

    task: str
    side: str
    control: int
    questions: Questions


def chosen(names: Sequence[str], tasks: Tasks) -> tuple[str, ...]:
    """Returns the world's tasks of these names and groups; all for none.

    Raises:
        InputError: a task that the world does not ask.
    """
    found: list[str] = []
    for name in names:
        of_group = [task for task in GROUPS.get(name, ()) if task in tasks.tasks]
        if name not in tasks.tasks and not of_group:
            raise unknown("task", name, tasks.tasks, "the run's world")
        found += of_group or [name]
    return tuple(dict.fromkeys(found)) or tasks.tasks


def controls(task: str, hints: float) -> tuple[int, ...]:
    """Returns the control tokens that training showed of a task, if `hints` of it had hints."""
    if not hints or not QUESTIONS[task].hint:
        return (NO_HINT,)
    return (HINTED,) if hints == 1 else (PLAIN, HINTED)


def all_asked(world: BiosWorld, names: Sequence[str], count: int, seed: int) -> list[Asked]:
    """Returns what is asked: tasks x sides x control tokens.

    Args:
        count: people of each side; 0: all.
    Raises:
        InputError: a world without questions; no such task.
    """
    if world.tasks is None or world.held_out is None:
        raise InputError("the run's world has no questions: its config.data.tasks is empty")
    sides: Mapping[str, Population] = dict(
        zip(SIDES, (world.held_out, world.tasks.people), strict=True)
    )
    found = []
    for task in chosen(names, world.tasks):
        for side, people in sides.items():
            some = dataclasses.replace(people, n=min(people.n, count or people.n))
            tasks = dataclasses.replace(world.tasks, people=some)
            for control in controls(task, tasks.hints):
                questions = as_questions(*tasks.pairs(task, control, seed))
                found.append(Asked(task, side, control, questions))
    return found


def together(asked: Sequence[Asked], sampler: Sampler, seed: int) -> list[Samples]:
    """Returns what is said to all questions, which are decoded as one list: one compilation."""
    every = [prompt for one in asked for prompt in one.questions.prompts]
    samples = sampler(Ragged.from_sequences(every), seed)
    ends = np.cumsum([0, *(len(one.questions) for one in asked)]).tolist()
    parts = (slice(start, stop) for start, stop in itertools.pairwise(ends))
    return [Samples(*(getattr(samples, name)[part] for name in _FIELDS)) for part in parts]


def room(asked: Sequence[Asked], most: int) -> int:
    """Returns the tokens of a row: the longest prompt and the longest answer, which may be wrong.

    Args:
        most: tokens that the model reads.
    Raises:
        InputError: some right answer does not fit.
    """
    longest = recall.longest({str(i): one.questions for i, one in enumerate(asked)})
    if longest > most:
        raise InputError(
            f"questions of {longest} tokens with their answers: the model reads {most}"
        )
    prompts = max(int(one.questions.prompts.lengths.max()) for one in asked)
    answers = max(int(one.questions.answers.lengths.max()) for one in asked)
    return min(prompts + answers + 1, most)


def figures(world: BiosWorld, one: Asked, samples: Samples) -> dict[str, Any]:
    """Returns the numbers of one row: shares, and a binomial standard error of the accuracy."""
    lists = world.biographies.groups[0].lists
    found: dict[str, Any] = {
        "task": one.task,
        "side": one.side,
        "control": CONTROLS[one.control],
        "n": len(one.questions),
        "right": float(recall.answers(lambda *_: samples, one.questions).right.mean()),
        "chance": chance(one.task, lists),
    }
    if one.control == HINTED:  # a right result with a wrong hint is right
        decode, ends = world.vocabulary.decode, samples.finished
        said = [
            read(decode(ids), bool(e)) for ids, e in zip(samples.continuations, ends, strict=True)
        ]
        found |= judged(said, [read(decode(ids)) for ids in one.questions.answers])
        found["predicted"] = predicted(found["hint"], found["people_of_hint"], found["chance"])
    found["error"] = math.sqrt(found["right"] * (1 - found["right"]) / found["n"])
    return found


def means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the mean accuracy of each group of tasks, by side and control token."""
    found = []
    for group, tasks in GROUPS.items():
        for side in SIDES:
            for control in CONTROLS.values():
                own = [
                    row
                    for row in rows
                    if row["task"] in tasks and (row["side"], row["control"]) == (side, control)
                ]
                if len(own) > 1:
                    about = {"task": f"mean of {group}", "side": side, "control": control}
                    right = float(np.mean([row["right"] for row in own]))
                    found.append({**about, "n": sum(row["n"] for row in own), "right": right})
    return found


def measure(run: Run, settings: Settings) -> Measurement:
    """Returns how often a run's model answers right, by task, people and control token.

    Raises:
        InputError: another world than biographies with questions; no such task; questions longer
            than the model reads; no beam.
    """
    world = run.world
    if not isinstance(world, BiosWorld):
        raise InputError(f"{type(world).__name__} has no people: manipulation needs world 'bios'")
    if settings.count < 0:
        raise InputError(f"manipulation: count must be 0 or more, got {settings.count}")
    asked = all_asked(world, settings.tasks, settings.count, settings.seed)
    sampler = _sampler(run, world.vocabulary.eos, room(asked, run.model.max_length), settings)
    said = together(asked, sampler, settings.seed)
    rows = [figures(world, one, samples) for one, samples in zip(asked, said, strict=True)]
    summary = means(rows)
    header = ("task", "people", "control", "n", "right", "±", "hint", "predicted", "chance")
    name = "manipulation" + (f"-beams{settings.width}" if settings.width > 1 else "")
    return Measurement(
        name,
        header,
        tuple(_row(row) for row in [*rows, *summary]),
        {"settings": dataclasses.asdict(settings), "questions": rows, "means": summary},
    )


def _sampler(run: Run, stop: int, length: int, settings: Settings) -> Sampler:
    if settings.width < 1:
        raise InputError(f"manipulation: width must be at least 1 beam, got {settings.width}")
    if settings.width == 1:
        return transformer_sampler(
            run.model,
            run.params,
            stop=stop,
            max_length=length,
            temperature=0.0,
            batch=settings.batch,
        )
    return beam_sampler(
        run.model,
        run.params,
        stop=stop,
        max_length=length,
        width=settings.width,
        batch=settings.batch,
    )


def _row(found: Mapping[str, Any]) -> tuple[Cell, ...]:
    shares = (found.get(key) for key in ("right", "error", "hint", "predicted", "chance"))
    return (found["task"], found["side"], found["control"], found["n"], *shares)
