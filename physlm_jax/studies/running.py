"""Runs claims: trains what is missing, reuses what is finished, measures, judges, keeps the ledger.

Nothing here knows a study: a claim names the configurations it needs and brings its measurement.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from physlm_jax import studies
from physlm_jax.errors import InputError, unknown
from physlm_jax.studies import claim as claims
from physlm_jax.studies.claim import Claim, Outcome
from physlm_jax.training import config as configs
from physlm_jax.training.checkpoint import Checkpoints, Run, load_run
from physlm_jax.training.loop import train

LOG = logging.getLogger(__name__)


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


def finished(study: str, argument: str, seed: int, folder: Path) -> Run:
    """Returns the finished run of a configuration, trained now if it is not there yet.

    Args:
        argument: of `configs/<study>.py`; the run lives in a folder of that name under `folder`.
        seed: of the parameters and of the training data.
    Raises:
        InputError: the folder belongs to another configuration.
        Stopped: training was asked to stop; the same call goes on.
    """
    config = configs.load(f"configs/{study}.py:{argument}")
    config.seed = config.data_seed = seed
    name = "_".join(argument.replace("/", ".").replace("=", "-").split(","))
    workdir = folder / study / f"{name}_seed-{seed}"
    if not _is_finished(workdir, config.steps):
        LOG.info("training %s, seed %d, in %s", argument, seed, workdir)
        if train(config, workdir) is None:
            raise Stopped(argument)
    configs.claim_workdir(workdir, config)
    return load_run(workdir, config.steps)


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
            argument: tuple(finished(study, argument, seed, runs) for seed in range(seeds))
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
