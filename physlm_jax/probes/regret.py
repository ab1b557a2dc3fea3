"""Retry upon regret: a sentence whose parameter cannot be computed yet is written once more.

After every sentence a detector says whether its parameter could be next, from the text before the
sentence and the parameter's name. If not, the sentence is dropped and drawn anew, so many times in
a solution at most. Detectors: a V-probe of can_next ("version 1", or 2 with a larger adapter), or
the truth ("P"). Source: arXiv 2408.16293, section 2, figure 3.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from physlm_jax.data.igsm import IgsmWorld, Problem, computable
from physlm_jax.data.igsm.language import ANSWER, START, STOP
from physlm_jax.data.ragged import Ragged
from physlm_jax.decoding.interface import Sampler
from physlm_jax.errors import InputError, unknown
from physlm_jax.models.transformer import Params
from physlm_jax.probes.fitting import option
from physlm_jax.probes.measurement import Cell, Measurement, joined
from physlm_jax.probes.reasoning import Outcome, as_igsm, longest_of, problems_of, solve, solver
from physlm_jax.probes.variable_fit import ADAPTER, Probe, predict
from physlm_jax.probes.variable_tasks import Asked
from physlm_jax.probes.variables import Settings as ProbeSettings
from physlm_jax.probes.variables import fitted

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run

SENTENCE = 96  # tokens that a sentence, or the answer, may have
DETECTORS = ("probe", "perfect")
DEFINE = " Define"  # begins a sentence


@dataclass
class Draft:
    """A solution in the making.

    Attributes:
        problem: what is solved.  prompt: its ids.  text: ids of the finished sentences.
        known: places of the parameters computed so far.
        tries: sentences drawn anew.  again: whether the next one is.
        done: whether the answer is written, or there is no more room.
    """

    problem: Problem
    prompt: list[int]
    text: list[int] = field(default_factory=list)
    known: set[int] = field(default_factory=set)
    tries: int = 0
    again: bool = False
    done: bool = False


@dataclass(frozen=True)
class Sentence:
    """What comes next in a draft: ids, the name that it defines (None: none), its place."""

    ids: list[int]
    name: list[int] | None
    param: int


Detector = Callable[[Sequence[Draft], Sequence[Sentence]], np.ndarray]
"""bool[n]: whether each sentence's parameter can be computed in its draft."""


def perfect(drafts: Sequence[Draft], sentences: Sequence[Sentence]) -> np.ndarray:
    """The detector that knows."""
    return np.array(
        [
            s.param >= 0 and computable(d.problem, d.known, s.param)
            for d, s in zip(drafts, sentences, strict=True)
        ],
        bool,
    )


def probing(world: IgsmWorld, probe: Probe, params: Params) -> Detector:
    """Returns the detector that asks a fitted V-probe of can_next."""
    vocabulary = world.vocabulary
    start, stop = vocabulary.role(START), vocabulary.role(STOP)

    def detect(drafts: Sequence[Draft], sentences: Sequence[Sentence]) -> np.ndarray:
        asked = []
        for draft, sentence in zip(drafts, sentences, strict=True):
            text = [*draft.prompt, *draft.text]
            none, question = np.zeros(1, int), [start, *(sentence.name or ()), stop]
            asked.append(Asked(text, [(len(text), question)], none, none, none, none))
        return predict(probe, params, asked) > 0

    return detect


def regret(
    world: IgsmWorld,
    steady: Sampler,
    random: Sampler,
    detect: Detector,
    problems: Sequence[Problem],
    tries: int,
    longest: int,
    seed: int = 0,
) -> Outcome:
    """Returns solutions written sentence by sentence, those that are regretted drawn anew.

    Args:
        steady, random: write a sentence, the first time and again; both stop at its full stop.
        tries: sentences drawn anew in a solution at most.
        longest: tokens of prompt and solution.
    """
    drafts = [Draft(p, world.prompt(p)) for p in problems]
    for turn in range(longest):
        for sampler, again in ((steady, False), (random, True)):
            ready = [d for d in drafts if not d.done and d.again == again]
            if ready:
                _advance(world, sampler, detect, ready, tries, longest, seed + turn)
        if all(d.done for d in drafts):
            break
    written = tuple(tuple(d.text) for d in drafts)
    verdicts = tuple(world.judge(d.problem, d.text) for d in drafts)
    return Outcome(tuple(problems), verdicts, written)


def _advance(
    world: IgsmWorld,
    sampler: Sampler,
    detect: Detector,
    drafts: list[Draft],
    tries: int,
    longest: int,
    seed: int,
) -> None:
    """Adds a sentence to each draft, or the answer, or nothing where it is regretted."""
    prompts = Ragged.from_sequences([[*d.prompt, *d.text] for d in drafts])
    samples = sampler(prompts, seed)
    defined: list[tuple[Draft, Sentence]] = []
    stop = int(world.vocabulary.encode(".")[0])
    for draft, ids, ended in zip(drafts, samples.continuations, samples.finished, strict=True):
        sentence = _read(world, draft.problem, ids.tolist(), bool(ended), stop)
        if sentence.name is not None:
            defined.append((draft, sentence))
            continue
        draft.text += sentence.ids
        draft.again = False
        draft.done = not ended or world.vocabulary.role(ANSWER) in sentence.ids
    if defined:
        said = detect([d for d, _ in defined], [s for _, s in defined])
        for (draft, sentence), possible in zip(defined, said, strict=True):
            draft.again = not possible and draft.tries < tries
            if draft.again:
                draft.tries += 1
            else:
                draft.text += sentence.ids
                draft.known.add(sentence.param)
    for draft in drafts:
        draft.done |= len(draft.prompt) + len(draft.text) + SENTENCE >= longest


def _read(world: IgsmWorld, problem: Problem, ids: list[int], ended: bool, stop: int) -> Sentence:
    """A sentence with its full stop; the answer without what follows it."""
    vocabulary = world.vocabulary
    if vocabulary.role(ANSWER) in ids or not ended:
        end = ids.index(vocabulary.eos) if vocabulary.eos in ids else len(ids)
        return Sentence(ids[:end], None, -1)
    text = vocabulary.decode(ids)
    head, found, _ = text.partition(" as ")
    begins = [vocabulary.decode(ids[:n]) for n in range(len(ids))]
    if not found or "BACK" in text or not {DEFINE, head} < set(begins):
        return Sentence([*ids, stop], None, -1)
    name = ids[begins.index(DEFINE) : begins.index(head)]
    known = {problem.name(p): n for n, p in enumerate(problem.params)}
    return Sentence([*ids, stop], name, known.get(head.removeprefix(f"{DEFINE} "), -1))


@dataclass(frozen=True)
class Settings:
    """Flags of the entry point."""

    cells: tuple[str, ...] = option(("law",), "problems: see the probe reasoning")
    count: int = option(256, "problems of each cell")
    tries: tuple[int, ...] = option((10,), "sentences drawn anew in a solution at most, e.g. 10,50")
    detectors: tuple[str, ...] = option(DETECTORS, "what regrets: probe, perfect")
    temperature: float = option(
        0.0, "of drawn solutions; 0: the likeliest token, and 1 for what is drawn anew"
    )
    width: int = option(1, "beams of each sentence; 1: none")
    adapter: str = option(ADAPTER, "of the probe: rules of models.lora")
    steps: int = option(300, "updates of the probe")
    batch: int = option(32, "problems per update of the probe, and solved at once")
    seed: int = option(0, "of problems, draws and the probe")


def measure(run: Run, settings: Settings) -> Measurement:
    """Returns accuracy without regret and with each detector, in every cell.

    Raises:
        InputError: a world without problems, an unknown detector or cell.
    """
    for name in settings.detectors:
        if name not in DETECTORS:
            raise unknown("detector", name, DETECTORS, "--detectors")
    if min(settings.tries, default=0) < 1:
        raise InputError(f"--tries: expected numbers of at least 1, got {settings.tries}")
    world = as_igsm(run.world)
    longest = longest_of(run)
    detectors: dict[str, Detector] = {}
    if "probe" in settings.detectors:
        fitting = ProbeSettings(
            adapter=settings.adapter, steps=settings.steps, batch=settings.batch, seed=settings.seed
        )
        detectors["probe"] = probing(world, *fitted(run, "can_next", fitting))
    if "perfect" in settings.detectors:
        detectors["perfect"] = perfect
    whole, steady, random = _samplers(run, settings)
    data: dict[str, Any] = {}
    rows: list[tuple[Cell, ...]] = []
    for cell in settings.cells:
        problems = problems_of(world, cell, settings.seed, settings.count, longest)
        outcomes = {"none": solve(world, whole, problems, settings.seed)}
        for name, detect in detectors.items():
            for tries in settings.tries:
                outcomes[f"{name} {tries}"] = regret(
                    world, steady, random, detect, problems, tries, 2 * longest, settings.seed
                )
        data[cell] = {name: found.figures() for name, found in outcomes.items()}
        for name, found in data[cell].items():
            rows.append((cell, name, found["n"], found["right"], found["error"]))
    header = ("cell", "regret", "n", "right", "±")
    heat = f"-t{settings.temperature:g}" if settings.temperature else ""
    name = f"regret-{joined(settings.tries)}{heat}-beams{settings.width}"
    return Measurement(name, header, tuple(rows), {"cells": data})


def _samplers(run: Run, settings: Settings) -> tuple[Sampler, Sampler, Sampler]:
    """Of whole solutions, of sentences, and of sentences drawn anew."""
    stop = int(as_igsm(run.world).vocabulary.encode(".")[0])
    writes = functools.partial(solver, run, width=settings.width, batch=settings.batch)
    whole = writes(temperature=settings.temperature)
    steady = writes(temperature=settings.temperature, stop=stop)
    if settings.width > 1 or settings.temperature > 0:
        return whole, steady, steady
    return whole, steady, writes(temperature=1.0, stop=stop)
