"""Capacity: how many bits of knowledge a model has stored, and how many per parameter.

From the losses of names and values (`scoring`) follow the bits (`data.bios.capacity`). They are
divided by the parameters without the embedding's rows of tokens that never occur in training. A
model may be quantised first; its parameters are as many as before. Source: arXiv 2404.05405,
sections 2, 3 and 6; section 6 of knowledge.md.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from physlm_jax.data.bios.capacity import Bits
from physlm_jax.data.hashing import stream_key
from physlm_jax.errors import InputError
from physlm_jax.models import quantisation, transformer
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.probes.fitting import option
from physlm_jax.probes.knowledge.scoring import Scorer, Scores, scores, transformer_scorer
from physlm_jax.probes.knowledge.subject import Asked, Subject
from physlm_jax.probes.knowledge.subjects import asked
from physlm_jax.probes.measurement import Cell, Measurement

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run

CALIBRATION = 1000  # texts that GPTQ sees


@dataclass(frozen=True)
class Settings:
    """Flags of the entry point."""

    people: int = option(
        10_000, "people of each group who are read, at least 1000; 0: all", least=0
    )
    draws: int = option(
        4, "texts of each; of fixed ones at most as many as there are, 0: all", least=0
    )
    strict: bool = option(True, "read employers only where they come before the company city")
    params: int = option(0, "parameters to divide by; 0: those whose tokens occur", least=0)
    bits: int = option(0, "quantise to so many bits, 2 to 8; 0: do not", least=0)
    method: str = option("nearest", "of quantisation: " + " or ".join(quantisation.METHODS))
    group: int = option(
        0, "inputs that share a scale of quantisation; 0: all of an output", least=0
    )
    seed: int = option(0, "of who is read, and of fresh wordings")


@dataclass(frozen=True)
class Stored:
    """What a model has stored of a group.

    Attributes:
        scores: its losses.  bits: what follows from them.  error: standard error of bits.ratio.
    """

    scores: Scores
    bits: Bits
    error: float


def parameters(model: TransformerConfig, used: int, given: int = 0) -> int:
    """Returns P: parameters without the rows of ids that never occur in training.

    A tied table has one row of an id, an untied one two; all experts count.

    Args:
        used: V_used, ids that occur.  given: P of one's own, to be checked; 0: none.
    Raises:
        InputError: more used ids than ids; rows of others are among the given parameters.
    Source:
        arXiv 2404.05405, section 3; section 6.4 of knowledge.md.
    """
    if not 0 < used <= model.vocab_size:
        raise InputError(f"capacity: {used} used ids, of a vocabulary of {model.vocab_size}")
    every = transformer.parameter_count(model)
    unused = (model.vocab_size - used) * model.width * (1 if model.tied else 2)
    if given < 0 or (unused and given >= every):
        raise InputError(
            f"capacity: {given} parameters: rows of tokens that never occur do not count; the "
            f"model has {every}, but {used} of its {model.vocab_size} ids occur: {every - unused}"
        )
    return given or every - unused


def stored(score: Scorer, subject: Subject, params: int, settings: Settings) -> Stored:
    """Returns what a model has stored of a group.

    Args:
        score: the model, see `scoring.Scorer`.  params: P, see `parameters`.
    Raises:
        InputError: see `scoring.scores`.
    """
    found = scores(
        score, subject, members=settings.people, draws=settings.draws, seed=settings.seed
    )
    bits = subject.bits(found.nats, found.head_nats, params)
    error = subject.n * found.error["total"] / math.log(2) / params
    return Stored(found, bits, error)


def calibration(subjects: Asked, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns texts of the first group, int32[N, T], and which tokens count, float32[N, T].

    Raises:
        InputError: texts longer than `length`, which the model reads.
    """
    subject = subjects.subjects[0]
    who = np.random.default_rng(stream_key(seed, "calibration")).integers(0, subject.n, CALIBRATION)
    texts = subject.texts(who, 0)
    longest = int(texts.lengths.max())
    if longest > length:
        raise InputError(f"texts of {longest} tokens: the model reads {length}")
    inside = np.arange(longest) < texts.lengths[:, None]
    rows = np.zeros(inside.shape, np.int32)
    rows[inside] = texts.tokens
    return rows, inside.astype(np.float32)


def quantised(model: TransformerConfig, params: Params, subjects: Asked, s: Settings) -> Params:
    """Returns the parameters, rounded as the settings say.

    Raises:
        InputError: see `quantisation.quantise`.
    """
    if not s.bits:
        if (s.method, s.group) != ("nearest", 0):
            raise InputError("capacity: method and group are settings of quantisation: give bits")
        return params
    more: dict[str, Any] = {}
    if s.method == "gptq":
        rows, weights = calibration(subjects, model.max_length, s.seed)
        more = {"calibration": rows, "weights": weights}
    return quantisation.quantise(model, params, s.bits, s.method, s.group, **more)


def measure(run: Run, settings: Settings) -> Measurement:
    """Returns losses, bits and bits per parameter of every group of a run's world.

    Raises:
        InputError: a world without names and values; a run that trained an adapter; settings.
    """
    if run.config.get("lora"):
        raise InputError("capacity: bits per parameter are of whole models, not of adapters")
    subjects = asked(run.world, settings.strict, stream_key(settings.seed, "capacity"))
    count = parameters(run.model, subjects.used, settings.params)
    params = quantised(run.model, run.params, subjects, settings)
    score = transformer_scorer(run.model, params)
    rows: list[tuple[Cell, ...]] = []
    data: dict[str, Any] = {
        "parameters": count,
        "used": subjects.used,
        "vocabulary": run.model.vocab_size,
        "settings": dataclasses.asdict(settings),
        "groups": [],
    }
    for subject in subjects.subjects:
        found = stored(score, subject, count, settings)
        rows += table(subject, found, count)
        data["groups"].append(as_data(subject, found))
    header = ("group", "part", "nats", "bits", "of", "whole", "first")
    name = "capacity" + (f"-int{settings.bits}-{settings.method}" if settings.bits else "")
    name += f"-group{settings.group}" if settings.group else ""
    return Measurement(name, header, tuple(rows), data)


def people_known(subject: Subject, found: Scores) -> float:
    """Returns the "number of people": the sum over all of the mean accuracy of their values."""
    return subject.n * sum(found.right[part] for part in subject.known) / len(subject.known)


def as_data(subject: Subject, found: Stored) -> dict[str, Any]:
    """Returns all figures of a group as plain values; losses in nats."""
    values = sum(found.scores.nats[part] for part in subject.counted[1:])
    return {
        "group": subject.label,
        "people": subject.n,
        "p1": found.scores.nats["name"],
        "p2": values,
        "bits": found.bits._asdict(),
        "error": found.error,
        "people_known": people_known(subject, found.scores),
        "scores": dataclasses.asdict(found.scores),
    }


def table(subject: Subject, found: Stored, params: int) -> list[tuple[Cell, ...]]:
    """Returns rows for a person: bits of each part per person, of one person, per parameter."""
    label, s, rows = subject.label, found.scores, list[tuple[Cell, ...]]()
    ceilings = subject.ceilings()
    for part in subject.parts:
        if part not in s.nats:
            continue
        ceiling = ceilings.get(part)
        nats = s.nats[part] - (math.log(subject.n) if part == "name" else 0)
        bits = None if ceiling is None else f"{ceiling - nats / math.log(2):.2f}"
        of = None if ceiling is None else f"{ceiling:.2f}"
        rows.append(
            (label, part, f"{s.nats[part]:.3f}", bits, of, s.right[part], s.head_right[part])
        )
    share = people_known(subject, s) / subject.n
    each = (f"{found.bits.total / subject.n:.2f}", f"{found.bits.max_total / subject.n:.2f}")
    rows.append((label, f"one of {subject.n:,}", None, *each, share, None))
    ratio = (f"{found.bits.ratio:.3f}", f"{found.bits.max_ratio:.3f}")
    rows.append((label, f"one of {params:,} parameters", None, *ratio, None, None))
    return rows
