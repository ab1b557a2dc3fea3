"""How often does a model solve fresh problems, and how does it go wrong?

Problems are of template bins that training did not see, in cells: "law" (operations as in
training), a number (that many operations, in or out of distribution) or "reask" and a number
(another parameter of such a problem is asked for). The verifier judges whole solutions. Sources:
arXiv 2407.20311, Results 2-3; arXiv 2408.16293, figures 3, 5 and 6.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from physlm_jax.data.hashing import stream_key
from physlm_jax.data.igsm import HARD, MED, IgsmWorld, Problem, Verdict, sample
from physlm_jax.data.ragged import Ragged
from physlm_jax.decoding.interface import Sampler, beam_sampler, transformer_sampler
from physlm_jax.errors import InputError
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.probes.fitting import option
from physlm_jax.probes.measurement import Cell, Measurement

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run

TYPES = ("instance", "abstract")  # of parameters
UNPARSED = ("empty", "unfinished", "define", "symbol", "twice", "undefined", "binary")
LONGEST = 2048  # tokens of a whole row, as the papers generate
PAPER_CELLS = {
    MED.op_max: ("law", "15", "20", "21", "22", "23", "reask20"),
    HARD.op_max: ("law", "21", "28", "29", "30", "31", "32", "reask28"),
}


@dataclass(frozen=True)
class Settings:
    """Flags of the entry point."""

    cells: tuple[str, ...] = option((), "law, numbers of operations, reask20; all: the usual ones")
    count: int = option(512, "problems of each cell")
    seed: int = option(0, "of the problems, and of the beams' draws")
    temperature: float = option(0.0, "of drawn solutions; 0: the likeliest token")
    width: int = option(1, "beams, drawn as the papers' beam-sample; 1: none")
    length: int = option(
        0, "tokens of a whole row; 0: as far as the model reads, at most 2048", least=0
    )
    batch: int = option(128, "problems at once")


@dataclass(frozen=True)
class Outcome:
    """What a model made of the problems of a cell.

    Attributes:
        problems, verdicts: side by side.  written: the ids of each answer.
    """

    problems: tuple[Problem, ...]
    verdicts: tuple[Verdict, ...]
    written: tuple[tuple[int, ...], ...]

    def figures(self) -> dict[str, Any]:
        """Returns the numbers: shares with their binomial standard error, means, mistakes."""
        n, right = len(self.verdicts), [v for v in self.verdicts if v.correct]
        wrong = [v for v in self.verdicts if not v.correct]
        share = len(right) / n
        kinds = Counter(v.error.kind for v in wrong if v.error)
        return {
            "n": n,
            "right": share,
            "error": math.sqrt(share * (1 - share) / n),
            "parsed": 1 - sum(kinds[kind] for kind in UNPARSED) / n,
            "mistakes": dict(kinds.most_common()),
            "first_wrong": dict(Counter(TYPES[v.wrong[0]] for v in wrong if v.wrong)),
            "retries_right": _mean([v.retries for v in right]),
            "retries_wrong": _mean([v.retries for v in wrong]),
            "unnecessary_op": _mean([v.unnecessary_op for v in right]),
            "unnecessary_params": _mean([v.unnecessary_params for v in right]),
        }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def usual_cells(world: IgsmWorld) -> tuple[str, ...]:
    """Returns the papers' cells of iGSM-med and -hard; of others all operations and two more."""
    most = world.spec.op_max
    inside = [str(op) for op in range(1, most + 3)]
    return PAPER_CELLS.get(most, ("law", *inside, f"reask{most + 1}"))


def problems_of(world: IgsmWorld, cell: str, seed: int, count: int, longest: int) -> list[Problem]:
    """Returns test problems of a cell whose whole text has at most `longest` tokens.

    Raises:
        InputError: no such cell, or its problems are (nearly) all longer.
    """
    reask = cell.startswith("reask")
    number = cell.removeprefix("reask")
    if cell != "law" and not (number.isdigit() and int(number) > 0):
        raise InputError(f"cell '{cell}': expected law, a number of operations, or reask20")
    op = 0 if cell == "law" else int(number)
    spec, found = world.held_out(op, reask), []
    for start in range(0, 20 * count, count):
        more = sample(spec, stream_key(seed, "reasoning", cell), start, count)
        found += [p for p in more if world.size(p) <= longest]
        if len(found) >= count:
            return found[:count]
    raise InputError(f"cell '{cell}': its problems have more than {longest} tokens")


def solve(world: IgsmWorld, sampler: Sampler, problems: Sequence[Problem], seed: int) -> Outcome:
    """Returns what a model answers to problems, judged."""
    prompts = Ragged.from_sequences([world.prompt(p) for p in problems])
    written = [tuple(row.tolist()) for row in sampler(prompts, seed).continuations]
    verdicts = [world.judge(p, ids) for p, ids in zip(problems, written, strict=True)]
    return Outcome(tuple(problems), tuple(verdicts), tuple(written))


def solver(
    run: Run,
    *,
    temperature: float = 0.0,
    width: int = 1,
    length: int = 0,
    batch: int = 128,
    stop: int = -1,
) -> Sampler:
    """Returns what writes solutions with a run's model: token by token, or with beams.

    Args:
        temperature: 0 for the likeliest token; of beams 1 if it is 0.
        width: beams, drawn (beam-sample); 1 for none.
        length: tokens of a whole row; 0 for twice the longest of training, if the model reads them.
        stop: the id that ends what is written; -1 for the end of an example.
    """
    world, model = as_igsm(run.world), readable(run.model, length)
    longest = longest_of(run)
    ends = world.vocabulary.eos if stop < 0 else stop
    room: dict[str, int] = {"max_length": min(model.max_length, length or 2 * longest)}
    room |= {"batch": batch, "stop": ends}
    if width > 1:
        heat = temperature or 1.0
        return beam_sampler(model, run.params, width=width, sample=True, temperature=heat, **room)
    return transformer_sampler(model, run.params, temperature=temperature, **room)


def readable(model: TransformerConfig, length: int = 0) -> TransformerConfig:
    """Returns the model with rows as long as generation may need, where its positions allow."""
    if model.position == "learned":
        return model
    return dataclasses.replace(model, max_length=length or max(LONGEST, model.max_length))


def as_igsm(world: Any) -> IgsmWorld:
    """Returns the world itself if it is iGSM.

    Raises:
        InputError: it is another kind of world.
    """
    if isinstance(world, IgsmWorld):
        return world
    raise InputError(
        f"{type(world).__name__} has no problems to solve: this needs config.data.world = 'igsm'"
    )


def longest_of(run: Run) -> int:
    """Returns the most tokens of an example that a run's model was trained on."""
    return as_igsm(run.world).longest or run.config.pipeline.length


def measure(run: Run, settings: Settings) -> Measurement:
    """Returns accuracy, mistakes, retries and redundancy of a run's model in every cell.

    Raises:
        InputError: a world without problems, or a wrong setting.
    """
    world = as_igsm(run.world)
    longest = longest_of(run)
    sampler = solver(
        run,
        temperature=settings.temperature,
        width=settings.width,
        length=settings.length,
        batch=settings.batch,
    )
    rows: list[tuple[Cell, ...]] = []
    data: dict[str, Any] = {}
    for cell in settings.cells or usual_cells(world):
        problems = problems_of(world, cell, settings.seed, settings.count, longest)
        data[cell] = solve(world, sampler, problems, settings.seed).figures()
        rows.append(_row(cell, data[cell]))
    header = (
        "cell",
        "n",
        "right",
        "±",
        "parsed",
        "retries",
        "extra op",
        "extra params",
        "mistakes",
    )
    name = "reasoning" + (f"-t{settings.temperature:g}" if settings.temperature else "")
    name += f"-beams{settings.width}" if settings.width > 1 else ""
    return Measurement(name, header, tuple(rows), {"cells": data})


def _row(cell: str, found: dict[str, Any]) -> tuple[Cell, ...]:
    means = ("retries_right", "unnecessary_op", "unnecessary_params")
    written = [None if found[m] is None else f"{found[m]:.2f}" for m in means]
    common = ", ".join(f"{kind} {n}" for kind, n in list(found["mistakes"].items())[:3])
    shares = (found["right"], found["error"], found["parsed"])
    return (cell, found["n"], *shares, *written, common or None)
