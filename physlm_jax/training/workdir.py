"""The folder of a run: whose it is.

`config.json` says which configuration a folder belongs to, so that no run writes into another's. If
it is lost or damaged, the newest whole checkpoint knows what it said.
"""

import json
import logging
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from physlm_jax.errors import InputError
from physlm_jax.files import PARTIAL, write_text
from physlm_jax.parallel.mesh import meet
from physlm_jax.training.checkpoint import FOLDER, Checkpoints, Damaged
from physlm_jax.training.config import as_dict, difference

NAME = "config.json"
LOG = logging.getLogger(__name__)


def claim_workdir(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder this run's, or checks that it already is.

    Several processes all check before the first of them writes.

    Raises:
        InputError: the folder belongs to another configuration; names the first difference.
    """
    path = workdir / NAME
    mine = as_dict(config)
    theirs, written = _recorded(workdir)
    if theirs is not None:
        wrong = difference(theirs, mine)
        if wrong:
            key, there, here = wrong
            raise InputError(
                f"{workdir} belongs to another config: {key} is {there!r} there and {here!r} here; "
                "choose another --workdir"
            )
    elif workdir.is_dir() and not path.exists() and _holds_something(workdir):
        raise InputError(f"{workdir} is not empty and holds no run; choose another --workdir")
    meet("the run's folder is checked")
    if not written and jax.process_index() == 0:
        write_text(path, json.dumps(mine, indent=1) + "\n")
    meet("the run's folder is claimed")


def _holds_something(workdir: Path) -> bool:
    """True if there is more than a write of config.json that a kill cut short."""
    cut = set(workdir.glob(PARTIAL.format(name=NAME, process="*")))
    return any(path not in cut for path in workdir.iterdir())


def _recorded(workdir: Path) -> tuple[dict[str, Any] | None, bool]:
    """The configuration of the folder, None if it is unknown, and whether config.json holds it."""
    path = workdir / NAME
    if path.exists():
        try:
            read = json.loads(path.read_bytes())
        except ValueError:
            read = None
        if isinstance(read, dict):
            return read, True
    kept = _checkpointed(workdir) if (workdir / FOLDER).is_dir() else None
    if kept is not None or path.exists():
        LOG.warning(
            "%s is %s; %s",
            path,
            "damaged" if path.exists() else "missing",
            "the newest checkpoint knows what it said" if kept else "there is no checkpoint yet",
        )
    return kept, False


def _checkpointed(workdir: Path) -> dict[str, Any] | None:
    """The configuration in the newest checkpoint whose `meta` is whole."""
    checkpoints = Checkpoints(workdir)
    try:
        for step in reversed(checkpoints.steps()):
            try:
                return checkpoints.meta(step)["config"]
            except Damaged:
                continue
        return None
    finally:
        checkpoints.close()
