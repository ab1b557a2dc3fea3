"""Reading a checkpoint that may be damaged, in this process."""

import functools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from physlm_jax.training.checkpoint import Checkpoints, Damaged, load_run
from physlm_jax.training.plan import make_plan
from physlm_jax.training.step import abstract_state


@functools.cache
def _wanted(config: str) -> dict[str, Any]:
    plan = make_plan(ConfigDict(json.loads(config)), jax.devices()[:1])
    return abstract_state(plan.program)


def restored(reference: Path, workdir: Path, step: int) -> dict[str, bytes]:
    """Returns the configuration and the bytes of every array of a checkpoint.

    Raises:
        Damaged: it is refused.
    """
    state = dict(_wanted((reference / "config.json").read_text()))
    params = state.pop("params")
    checkpoints = Checkpoints(workdir)
    try:
        read = checkpoints.restore(step, params=params, training=state)
        config = checkpoints.meta(step)["config"]
    finally:
        checkpoints.close()
    leaves = jax.tree_util.tree_leaves_with_path(read)
    found = {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}
    return {**found, "config": json.dumps(config, sort_keys=True).encode()}


@functools.cache
def _expected(reference: Path, step: int) -> dict[str, bytes]:
    return restored(reference, reference, step)


def check_reading(reference: Path, workdir: Path, step: int) -> tuple[bool, str]:
    """Returns whether the checkpoint is refused, and what is wrong with what is read, or "".

    Training would go on from it, or a probe would open it: both must give what was written, of this
    step or of an older one.
    """
    try:
        found, refused = restored(reference, workdir, step), False
    except Damaged:
        found, refused = {}, True
    whole = _expected(reference, step)
    if not refused and found != whole:
        different = [name for name in whole if found.get(name) != whole[name]]
        return refused, f"restored without a word but other than written: {different[:3]}"
    run = load_run(workdir)
    whole = _expected(reference, run.step)
    leaves = jax.tree_util.tree_leaves_with_path({"params": run.params})
    for path, leaf in leaves:
        if np.asarray(leaf).tobytes() != whole[jax.tree_util.keystr(path)]:
            return refused, f"opened without a word but other than written: {path}"
    opened = json.dumps(json.loads(run.config.to_json()), sort_keys=True).encode()
    return refused, "" if opened == whole["config"] else "opened with another configuration"
