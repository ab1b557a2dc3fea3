"""The folder of a run: whose it is.

`config.json` says which configuration a folder belongs to, so that no run writes into another's. If
it is lost or damaged, the newest whole checkpoint knows what it said.
"""

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
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
PATIENCE = 10.0  # seconds to wait for another trainer to leave the folder
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


@contextlib.contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Keeps other trainers out of a run's folder for as long as this one is in it.

    The lock is the operating system's and ends with the process, however that ends; where the file
    system has none, nobody is kept out. Of several processes the first one holds it for all.

    Raises:
        InputError: another process trains there, or the folder cannot be made.
    """
    if jax.process_index():
        yield
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        folder = os.open(workdir, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"cannot write {workdir}: {error.strerror or error}") from None
    try:
        _lock(folder, workdir)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, workdir: Path) -> None:
    """Locks an open folder; waits a little for a trainer that is just ending."""
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patience:
                raise InputError(f"another process is training in {workdir}") from None
            time.sleep(0.2)
        except OSError:  # a file system without locks
            return None


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
