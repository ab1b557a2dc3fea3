"""Tests claims: what they need is trained, then they are measured and judged.

Nothing here knows a study: a claim names the configurations it needs and brings its measurement.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax

from physlm_jax import studies
from physlm_jax.errors import InputError, unknown
from physlm_jax.studies import claim as claims
from physlm_jax.studies.claim import Claim, Outcome
from physlm_jax.studies.tasks import Task, perform
from physlm_jax.studies.trained import base_of, complete, finished, with_bases

LOG = logging.getLogger(__name__)


def choose(study: str, wanted: Sequence[str]) -> list[Claim]:
    """Returns the claims of a study with one of these ids or tags; all if none are named.

    Raises:
        InputError: no such study, or a name that is neither an id nor a tag of it.
    """
    known: tuple[Claim, ...] = studies.claims(study)
    names = {name for c in known for name in (c.id, *c.tags)}
    for name in wanted:
        if name not in names:
            raise unknown("claim", name, names, f"study '{study}'")
    return [c for c in known if not wanted or {c.id, *c.tags} & set(wanted)]


def needs_accelerator(scale: str) -> bool:
    """True if runs of this scale would take days on the devices of this machine."""
    return scale != "laptop" and jax.default_backend() == "cpu"


def reproduce(
    study: str,
    scale: str,
    wanted: Sequence[str],
    *,
    seeds: int,
    runs: Path,
    keep: Callable[[Outcome], object],
    command: str,
    jobs: int = 1,
    prepare: Callable[[], None] | None = None,
) -> list[Outcome]:
    """Tests claims of a study at a scale.

    Args:
        wanted: ids or tags of claims; none for all.
        seeds: how many runs of each configuration, seeds 0, 1, ...
        runs: folder in which runs are trained and found again.
        keep: called with each outcome as soon as there is one.
        command: what to type to repeat this, for the provenance.
        jobs: runs and claims at a time, each in a process of its own if several.
        prepare: called in each of these at its start.
    Returns:
        An outcome per claim; 'not run', with the reason, where the scale is not offered or needs
        an accelerator that is not there.
    """
    if seeds < 1:
        raise InputError(f"--seeds must be at least 1, got {seeds}")
    _check_jobs(jobs)
    chosen = choose(study, wanted)
    untested = {c.id: _untested(c, study, scale) for c in chosen}
    outcomes = {id_: outcome for id_, outcome in untested.items() if outcome}
    asked = [c for c in chosen if c.id not in outcomes]
    spent: dict[str, float] = {}  # seconds of training, told by the first claim that needs the run
    todo = list(_tasks(asked, study, scale, range(seeds), runs, command))
    for name, result in perform(todo, jobs, prepare):
        if name not in untested:
            spent[name] = result
            continue
        needed = next(task.after for task in todo if task.name == name)
        began = sum(spent.pop(argument, 0.0) for argument in needed)
        outcomes[name] = _took(result, began)
        keep(outcomes[name])
    return [outcomes[c.id] for c in chosen]


def _took(outcome: Outcome, before: float) -> Outcome:
    """The outcome with so many seconds of training before its measurement."""
    assert outcome.provenance is not None
    seconds = round(outcome.provenance.seconds + before, 1)
    return dataclasses.replace(
        outcome, provenance=dataclasses.replace(outcome.provenance, seconds=seconds)
    )


def _check_jobs(jobs: int) -> None:
    if jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {jobs}")
    if jobs > 1 and (jax.default_backend() != "cpu" or jax.process_count() > 1):
        raise InputError("--jobs is for the processors of one machine; here use --jobs=1")


def _untested(claim: Claim, study: str, scale: str) -> Outcome | None:
    """The outcome of a claim that is not tested, with the reason."""
    if scale not in claim.scales:
        reason = f"not offered at this scale (only at: {', '.join(claim.scales)})"
    elif needs_accelerator(scale):
        reason = "not run at this scale: it needs an accelerator"
    else:
        return None
    return claims.not_run(claim, study, scale, reason)


def _tasks(
    asked: Sequence[Claim],
    study: str,
    scale: str,
    seeds: range,
    runs: Path,
    command: str,
) -> Iterator[Task]:
    """For each claim what it needs trained, if no claim before it does, and then itself.

    Arguments and ids name the tasks: an argument has a comma, an id has none.
    """
    named: set[str] = set()
    for claim in asked:
        needed = tuple(with_bases(study, claim.runs(scale)))
        for argument in needed:
            if argument not in named:
                named.add(argument)
                call = functools.partial(_train, study, argument, seeds, runs)
                yield Task(argument, call, base_of(study, argument))
        test = functools.partial(_test, study, claim.id, scale, seeds, runs, command)
        yield Task(claim.id, test, needed)


def _train(study: str, argument: str, seeds: range, runs: Path) -> float:
    """Trains what is missing of a configuration; the seconds it took."""
    began = time.monotonic()
    complete(study, argument, seeds, runs)
    return time.monotonic() - began


def _test(study: str, id_: str, scale: str, seeds: range, runs: Path, command: str) -> Outcome:
    """Measures and judges one claim, whose runs are finished."""
    (claim,) = (c for c in choose(study, [id_]) if c.id == id_)
    began = time.monotonic()
    trained = {name: finished(study, name, seeds, runs) for name in claim.runs(scale)}
    LOG.info("measuring %s", claim.id)
    measured = claim.measure(trained, scale)
    configs_ = {argument: each[0].config for argument, each in trained.items()}
    provenance = claims.collect(configs_, seeds, time.monotonic() - began, command)
    return claims.judge(claim, study, scale, measured, provenance)
