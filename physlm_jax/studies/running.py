"""Runs claims: trains what is missing, reuses what is finished, measures, judges, keeps the ledger.

Nothing here knows a study: a claim names the configurations it needs and brings its measurement.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

from physlm_jax import studies
from physlm_jax.errors import InputError, unknown
from physlm_jax.models import transformer
from physlm_jax.studies import claim as claims
from physlm_jax.studies.claim import Claim, Outcome
from physlm_jax.training import config as configs
from physlm_jax.training.checkpoint import Checkpoints, Run, load_run
from physlm_jax.training.loop import train
from physlm_jax.training.plan import make_plan
from physlm_jax.training.workdir import claim_workdir

LOG = logging.getLogger(__name__)
TOGETHER = 100_000_000  # parameters of a population, all members together


class Stopped(Exception):
    """A run was asked to stop (SIGTERM) and has saved where it is."""


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


def finished(study: str, argument: str, seeds: Sequence[int], folder: Path) -> tuple[Run, ...]:
    """Returns the finished runs of a configuration, trained now where they are not there yet.

    What is missing is trained as one population where the models are small.

    Args:
        argument: of `configs/<study>.py`; runs live in folders of that name under `folder`.
        seeds: of the parameters and of the training data.
    Raises:
        InputError: a folder belongs to another configuration.
        Stopped: training was asked to stop; the same call goes on.
    """
    config = configs.load(f"configs/{study}.py:{argument}")
    name = "_".join(argument.replace("/", ".").replace("=", "-").split(","))
    places = folder / study
    missing = [seed for seed in seeds if _place(places, name, seed, config.steps) is None]
    for first, count in _groups(missing, _at_once(config)):
        config.seed = config.data_seed = first
        config.population = count
        which = f"seed-{first}" if count == 1 else f"seeds-{first}-{first + count - 1}"
        workdir = places / f"{name}_{which}"
        LOG.info("training %s, %s, in %s", argument, which.replace("-", " ", 1), workdir)
        if train(config, workdir) is None:
            raise Stopped(argument)
    runs = []
    for seed in seeds:
        place = _place(places, name, seed, config.steps)
        assert place is not None
        runs.append(_opened(*place, configs.load(f"configs/{study}.py:{argument}"), seed))
    return tuple(runs)


def _opened(workdir: Path, member: int | None, config: ConfigDict, seed: int) -> Run:
    """The run of a seed, once it is sure that its folder is of this configuration."""
    config.seed = config.data_seed = seed if member is None else seed - member
    if member is not None:
        config.population = _numbers(workdir)[1] - _numbers(workdir)[0] + 1
    claim_workdir(workdir, config)
    return load_run(workdir, config.steps, member)


def _at_once(config: ConfigDict) -> int:
    """How many runs of a configuration to train as one population."""
    return max(1, TOGETHER // transformer.parameter_count(make_plan(config).program.model))


def _groups(seeds: Sequence[int], most: int) -> list[tuple[int, int]]:
    """(first, how many) of seeds that follow one another, at most so many together."""
    groups: list[tuple[int, int]] = []
    for seed in seeds:
        first, count = groups[-1] if groups else (0, most)
        if count < most and seed == first + count:
            groups[-1] = first, count + 1
        else:
            groups.append((seed, 1))
    return groups


def _place(folder: Path, name: str, seed: int, steps: int) -> tuple[Path, int | None] | None:
    """The folder of a seed's finished run, and which member of it it is."""
    for workdir in sorted(folder.glob(f"{name}_seed*-*")):
        first, last = _numbers(workdir)
        if first <= seed <= last and _is_finished(workdir, steps):
            return workdir, None if first == last else seed - first
    return None


def _numbers(workdir: Path) -> tuple[int, int]:
    """First and last seed in the name of a folder."""
    numbers = [int(n) for n in workdir.name.rpartition("_")[2].split("-")[1:]]
    return numbers[0], numbers[-1]


def _is_finished(workdir: Path, steps: int) -> bool:
    if not (workdir / "checkpoints" / str(steps)).is_dir():
        return False
    checkpoints = Checkpoints(workdir)
    try:
        return steps in checkpoints.steps()
    finally:
        checkpoints.close()


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
) -> list[Outcome]:
    """Tests claims of a study at a scale, one after the other.

    Args:
        wanted: ids or tags of claims; none for all.
        seeds: how many runs of each configuration, seeds 0, 1, ...
        runs: folder in which runs are trained and found again.
        keep: called with each outcome as soon as there is one.
        command: what to type to repeat this, for the provenance.
    Returns:
        An outcome per claim; 'not run', with the reason, where the scale is not offered or needs
        an accelerator that is not there.
    """
    if seeds < 1:
        raise InputError(f"--seeds must be at least 1, got {seeds}")
    outcomes = []
    for claim in choose(study, wanted):
        if scale not in claim.scales:
            reason = f"not offered at this scale (only at: {', '.join(claim.scales)})"
            outcomes.append(claims.not_run(claim, study, scale, reason))
            continue
        if needs_accelerator(scale):
            reason = "not run at this scale: it needs an accelerator"
            outcomes.append(claims.not_run(claim, study, scale, reason))
            continue
        began = time.monotonic()
        trained = {
            argument: finished(study, argument, range(seeds), runs)
            for argument in claim.runs(scale)
        }
        LOG.info("measuring %s", claim.id)
        measured = claim.measure(trained, scale)
        provenance = claims.collect(
            {argument: each[0].config for argument, each in trained.items()},
            range(seeds),
            time.monotonic() - began,
            command,
        )
        outcomes.append(claims.judge(claim, study, scale, measured, provenance))
        keep(outcomes[-1])
    return outcomes
