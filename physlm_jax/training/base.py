"""The run that another one starts from: found, checked, and read into its place on the mesh.

A run with `base.run` begins with the parameters of a checkpoint of that run; with `lora` as well
they stay frozen and an adapter is trained beside them. Every checkpoint records which base it
belongs to, so that an adapter is never read beside other parameters than its own.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from physlm_jax.data import open_world
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.parallel.mesh import tree_shardings
from physlm_jax.training.checkpoint import FOLDER, Checkpoints, fingerprint
from physlm_jax.training.config import model_config
from physlm_jax.training.plan import Plan
from physlm_jax.training.population import member_config
from physlm_jax.training.step import abstract_base

# fields of a network's configuration that say how it runs, not what it computes
HOW = ("attention", "platform", "dtype", "unroll", "remat", "init_std", "embedding_std")


@dataclasses.dataclass(frozen=True)
class Base:
    """A checkpoint to start from.

    Attributes:
        workdir, step: where it is.  count: K of its population; 0: none.
        fingerprint: of all its parameters.
    """

    workdir: Path
    step: int
    count: int
    fingerprint: str

    @property
    def recorded(self) -> dict[str, Any]:
        """What checkpoints say of it."""
        return {"step": self.step, "fingerprint": self.fingerprint}


def check_name(config: ConfigDict) -> None:
    """Checks that a configuration's base is a folder, not a study's word for one.

    Raises:
        InputError: it is "@<argument>".
    """
    if config.base.run.startswith("@"):
        raise InputError(
            f"config.base.run '{config.base.run}' stands for a run of the study, which reproduce "
            "finds; here name its folder: --config.base.run=FOLDER"
        )


def find(config: ConfigDict, model: TransformerConfig, members: Sequence[int]) -> Base | None:
    """Returns the base that a configuration names; None if it names none.

    Args:
        model: of the run that starts from it.
        members: of the base's population, those that are asked for (-1: it is none).
    Raises:
        InputError: no such run, step or member; another network than the run's.
    """
    if not config.base.run:
        if config.lora:
            raise InputError("config.lora needs config.base.run, the run to train an adapter for")
        return None
    workdir = Path(config.base.run)
    if not (workdir / FOLDER).is_dir():
        raise InputError(f"config.base.run: {workdir} holds no run (no folder {workdir / FOLDER})")
    checkpoints = Checkpoints(workdir)
    try:
        steps = checkpoints.steps()
        step = config.base.step or (steps[-1] if steps else 0)
        if step not in steps:
            known = ", ".join(map(str, steps)) or "none"
            raise InputError(
                f"config.base: {workdir} has no checkpoint {step} (there are: {known})"
            )
        meta = checkpoints.meta(step)
    finally:
        checkpoints.close()
    theirs = ConfigDict(meta["config"])
    if theirs.get("lora"):
        raise InputError(
            f"config.base.run: {workdir} trained an adapter; a base needs parameters of its own"
        )
    _check_members(workdir, theirs.population, members)
    one = member_config(theirs, None if theirs.population == 1 else 0)
    _check_model(workdir, model_config(one, open_world(one.data)), model)
    count = theirs.population if theirs.population > 1 else 0
    return Base(workdir, step, count, fingerprint(meta))


def _check_members(workdir: Path, count: int, members: Sequence[int]) -> None:
    for member in members:
        if count == 1 and member > 0:
            raise InputError(f"config.base.member {member}: {workdir} is no population")
        if count > 1 and not 0 <= member < count:
            raise InputError(
                f"config.base.member {member}: {workdir} is a population of {count}; name one of "
                f"0..{count - 1} (or one each: config.members='base.member=0..{count - 1}')"
            )


def _check_model(workdir: Path, theirs: TransformerConfig, ours: TransformerConfig) -> None:
    how = HOW if ours.position == "learned" else (*HOW, "max_length")  # else no table of places
    for field in dataclasses.fields(TransformerConfig):
        a, b = getattr(theirs, field.name), getattr(ours, field.name)
        if field.name not in how and a != b:
            raise InputError(
                f"{workdir} is another network: model.{field.name} is {a!r} there and {b!r} here"
            )


def read(base: Base, plan: Plan) -> Params:
    """Returns the parameters of a base, laid out as the plan's program wants them.

    Raises:
        InputError: the checkpoint is damaged.
    """
    program = plan.program
    members = [max(m.base.member, 0) for m in plan.members]
    wanted = abstract_base(program)
    target = jax.tree.map(lambda x: x.sharding, wanted)
    lead = (base.count,) if base.count else ()
    shapes = transformer.abstract(program.model)
    whole = ("layers",) if lead else ()  # an axis that is not cut: members are picked from it
    layout = tree_shardings(program.mesh, transformer.axes(program.model), shapes, whole)
    stored = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype, sharding=s), shapes, layout
    )
    checkpoints = Checkpoints(base.workdir)
    try:
        params = checkpoints.restore(base.step, params=stored)["params"]
    finally:
        checkpoints.close()
    if not base.count:
        return params
    which = jnp.asarray(members if program.own_bases else members[0])
    return jax.jit(lambda tree: jax.tree.map(lambda x: x[which], tree), out_shardings=target)(
        params
    )
