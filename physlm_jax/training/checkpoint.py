"""Checkpoints that can be trusted: written by Orbax, asynchronous and atomic, checked on reading.

A checkpoint holds three items: `params`, `training` (optimizer, step, key) and `meta` (the
configuration; shape, dtype and fingerprint of every leaf). Orbax restores a flipped bit or another
dtype without a word, so what is read is compared with `meta`; on a mismatch the checkpoint is set
aside, that is said, and the one before it is used.
"""

import dataclasses
import functools
import hashlib
import json
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from physlm_jax.data import World, open_world
from physlm_jax.errors import InputError
from physlm_jax.models import lora, transformer
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.parallel.mesh import all_agree, meet, sharding
from physlm_jax.training.config import model_config
from physlm_jax.training.population import member_config

FOLDER = "checkpoints"
LOG = logging.getLogger(__name__)


def leaf_fingerprint(x: jax.Array) -> jax.Array:
    """uint32: the sum over 32-bit words w_i of w_i * (2 i + 1), modulo 2**32.

    i is the row-major index, so the value is the same on any mesh. The multipliers are odd, so
    changing any single word changes the sum. Types narrower than 32 bits are widened bit by bit.
    """
    width = x.dtype.itemsize
    if x.dtype == jnp.bool_:
        words = x.astype(jnp.uint32)
    elif width < 4:
        words = jax.lax.bitcast_convert_type(x, f"uint{8 * width}").astype(jnp.uint32)
    else:
        words = jax.lax.bitcast_convert_type(x, jnp.uint32)
    index = jnp.zeros(words.shape, jnp.uint32)
    for axis in range(words.ndim):
        stride = math.prod(words.shape[axis + 1 :]) % 2**32
        index += jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis) * np.uint32(stride)
    return jnp.sum(words * (2 * index + 1), dtype=jnp.uint32)


@functools.cache
def _fingerprints(whole: jax.sharding.Sharding | None) -> Callable[[list[jax.Array]], jax.Array]:
    return jax.jit(
        lambda leaves: jnp.stack([leaf_fingerprint(leaf) for leaf in leaves]), out_shardings=whole
    )


def describe(tree: Any) -> dict[str, list[Any]]:
    """Returns {path: [shape, dtype, fingerprint]} of every leaf; waits for the arrays."""
    paths, leaves = zip(*jax.tree_util.tree_leaves_with_path(tree), strict=True)
    layout = getattr(leaves[0], "sharding", None)
    mesh = layout.mesh if isinstance(layout, NamedSharding) else None
    whole = sharding(mesh) if isinstance(mesh, Mesh) else None
    values = np.asarray(_fingerprints(whole)(list(leaves)))
    return {
        jax.tree_util.keystr(path): [list(leaf.shape), str(leaf.dtype), int(value)]
        for path, leaf, value in zip(paths, leaves, values, strict=True)
    }


def _differences(found: dict[str, list[Any]], expected: dict[str, list[Any]]) -> str:
    """Returns the first leaf that is not as recorded, in words; "" if all are."""
    for path in sorted({*found, *expected}):
        if found.get(path) != expected.get(path):
            return f"{path}: recorded {expected.get(path)}, read {found.get(path)}"
    return ""


def _digest(meta: dict[str, Any]) -> str:
    """SHA-256 of the `meta` item itself: nothing else watches over the configuration in it."""
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def fingerprint(meta: dict[str, Any]) -> str:
    """Returns a SHA-256 of what a checkpoint's meta records of all its parameters."""
    return hashlib.sha256(json.dumps(meta["params"], sort_keys=True).encode()).hexdigest()


def _base_text(base: dict[str, Any] | None) -> str:
    return f"step {base['step']}, {base['fingerprint'][:8]}" if base else "none"


class Damaged(InputError):
    """A checkpoint that cannot be read, or does not hold what was written."""


class Checkpoints:
    """The checkpoints of one run, under `workdir/checkpoints`. Close it in a `finally`.

    Args:
        workdir: the run's folder.
        keep_last: how many of the newest to keep.
        keep_every: also keep every step divisible by this; 0: none.
        writer: this process is the run's trainer; it clears away writes that a kill cut short.
        base: what is recorded of the run that this one starts from; what is read must have it too.
    """

    def __init__(
        self,
        workdir: Path,
        keep_last: int = 1,
        keep_every: int = 0,
        *,
        writer: bool = False,
        base: dict[str, Any] | None = None,
    ) -> None:
        self.base = base
        _silence_stragglers()
        self.folder = workdir.absolute() / FOLDER
        self.manager = ocp.CheckpointManager(
            self.folder,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep_last,
                keep_period=keep_every or None,
                create=writer,
                cleanup_tmp_directories=writer,
            ),
            item_names=("params", "training", "meta"),
        )
        self.reader = _reader()

    def steps(self) -> list[int]:
        """Returns the steps with a complete checkpoint, ascending."""
        return sorted(self.manager.all_steps())

    def save(self, state: dict[str, Any], config: dict[str, Any]) -> None:
        """Starts writing the state; returns when it is safe to change it.

        Raises:
            InputError: an earlier write ended because the disk is full.
        """
        step = int(state["step"])
        training = {key: value for key, value in state.items() if key not in ("params", "base")}
        meta: dict[str, Any] = {
            "config": config,
            "params": describe(state["params"]),
            "training": describe(training),
        }
        if self.base:
            meta["base"] = self.base
        meta["digest"] = _digest(meta)
        with _disk_errors(self):
            self.manager.save(
                step,
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave(state["params"]),
                    training=ocp.args.StandardSave(training),
                    meta=ocp.args.JsonSave(meta),
                ),
            )

    def meta(self, step: int) -> dict[str, Any]:
        """Returns the `meta` item of a step.

        Raises:
            Damaged: it cannot be read, or is not what was written.
        """
        args = ocp.args.Composite(meta=ocp.args.JsonRestore())
        meta = self._read(step, args).meta
        if not isinstance(meta, dict) or meta.pop("digest", None) != _digest(meta):
            raise Damaged(f"checkpoint {step} is damaged: its meta is not what was written")
        return meta

    def _read(self, step: int, args: Any) -> Any:
        """Orbax's restore; whatever a broken file makes it raise on any process is `Damaged`."""
        broken: Exception | None = None
        try:
            read = self.reader.restore(self.folder / str(step), args=args)
        except Exception as error:
            broken = error
        if all_agree(broken is None):
            return read
        said = str(broken or "another process failed").strip().splitlines()[:1]
        first = said[0][:300] if said else type(broken).__name__
        raise Damaged(f"checkpoint {step} cannot be read: {first}") from broken

    def restore(self, step: int, **wanted: Any) -> dict[str, Any]:
        """Returns the named items (params, training) of one step, checked against its `meta`.

        Args:
            wanted: item name -> pytree of jax.ShapeDtypeStruct, with shardings where they matter.
        Raises:
            Damaged: unreadable, or not what was recorded when it was written.
            InputError: it belongs to another base.
        """
        meta = self.meta(step)
        if self.base and meta.get("base") != self.base:
            raise InputError(
                f"checkpoint {step} of {self.folder.parent} started from other parameters "
                f"({_base_text(meta.get('base'))}) than config.base has now "
                f"({_base_text(self.base)}); set config.base.step, or choose another --workdir"
            )
        args = {name: ocp.args.StandardRestore(tree) for name, tree in wanted.items()}
        read = self._read(step, ocp.args.Composite(**args))
        for name in wanted:
            wrong = _differences(describe(read[name]), meta[name])
            if wrong:
                raise Damaged(f"checkpoint {step} is damaged: {name}{wrong}")
        return {name: read[name] for name in wanted}

    def restore_latest(self, **wanted: Any) -> dict[str, Any] | None:
        """Returns the newest checkpoint that is whole; None if there is none.

        A damaged one is renamed to `damaged-<step>`, so that it is never read again and its step
        can be written anew; what was done is logged.
        """
        for step in reversed(self.steps()):
            try:
                return self.restore(step, **wanted)
            except Damaged as error:
                left = [s for s in self.steps() if s < step]
                LOG.warning("%s; using %s", error, f"step {left[-1]}" if left else "a fresh start")
                self.set_aside(step)
        return None

    def set_aside(self, step: int) -> None:
        """Renames the folder of a damaged checkpoint out of the manager's sight."""
        if jax.process_index() == 0:
            target = self.folder / f"damaged-{step}"
            while target.exists():
                target = target.with_name(target.name + "x")
            (self.folder / str(step)).rename(target)
        meet("a damaged checkpoint is set aside")
        self.manager.reload()

    def wait(self) -> None:
        """Waits until the last write is complete."""
        with _disk_errors(self):
            self.manager.wait_until_finished()

    def close(self) -> None:
        """Waits for writes under way and frees the manager's threads."""
        with _disk_errors(self):
            self.manager.close()
        self.reader.close()


def _reader() -> ocp.Checkpointer:
    """Reads as if this process were alone.

    Orbax's own restore ends in a barrier, at which a process that could read its files would wait
    for one that could not. Nothing else in a read needs the others.
    """
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me})
    options = ocp.CompositeOptions(multiprocessing_options=alone)
    handler = ocp.CompositeCheckpointHandler(composite_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


@functools.cache
def _silence_stragglers() -> None:
    """Keeps the terminal clear after a read or write that failed, which we tell of ourselves.

    Orbax moves arrays side by side and gives up at the first error. What becomes of the others is
    complained of later, array by array, by asyncio's logger and as errors that nobody can catch.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    before = sys.unraisablehook

    def hook(raised: Any) -> None:
        code = getattr(raised.object, "cr_code", None)  # of a coroutine
        of_orbax = code is not None and "orbax" in code.co_filename
        if not of_orbax and str(raised.exc_value) != "Event loop is closed":
            before(raised)

    sys.unraisablehook = hook


class _disk_errors:
    """Turns 'no space left on device', however deep, into one line for the user."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        cause = error
        while cause is not None:
            text = str(cause)
            if any(
                s in text for s in ("No space left", "ENOSPC", "quota exceeded", "File too large")
            ):
                steps = self.checkpoints.steps()
                last = f"step {steps[-1]}" if steps else "none"
                raise InputError(
                    f"no space left on the disk for {self.checkpoints.folder}; the last complete "
                    f"checkpoint is {last}; free space and run the same command again"
                ) from error
            cause = cause.__cause__ or cause.__context__


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A trained (or half-trained) run, opened for reading; two of one checkpoint are equal.

    Attributes:
        workdir: its folder.  config: its full configuration.  model: the network's, with the
            attention back end of wherever it is read.
        params: parameters at `step` updates, on the devices of this process.
        world: the world it was trained on.  member: which one of a population, None: no population.
    """

    workdir: Path
    config: ConfigDict
    model: TransformerConfig
    params: Params
    step: int
    world: World
    member: int | None = None

    @property
    def key(self) -> tuple[str, int, int | None]:
        """What tells it from other runs."""
        return str(self.workdir), self.step, self.member

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def checkpoint_steps(workdir: str | Path) -> list[int]:
    """Returns the updates after which a run has a checkpoint, in order."""
    checkpoints = Checkpoints(Path(workdir))
    try:
        return checkpoints.steps()
    finally:
        checkpoints.close()


def load_run(workdir: str | Path, step: int | None = None, member: int | None = None) -> Run:
    """Opens the checkpoint of a run for decoding and probing; nothing is changed on disk.

    Args:
        step: number of updates; default the newest whole checkpoint.
        member: of a population; the run is then that member's as if trained alone.
    Raises:
        InputError: no such folder, step or member, or no whole checkpoint.
    """
    workdir = Path(workdir)
    if not (workdir / FOLDER).is_dir():
        raise InputError(f"{workdir} holds no run: there is no folder {workdir / FOLDER}")
    checkpoints = Checkpoints(workdir)
    try:
        steps = checkpoints.steps()
        if not steps:
            raise InputError(f"{workdir} holds no complete checkpoint yet")
        if step is not None and step not in steps:
            known = ", ".join(str(s) for s in steps)
            raise InputError(f"{workdir} has no checkpoint of step {step} (there are: {known})")
        for candidate in [step] if step is not None else list(reversed(steps)):
            try:
                return _open(checkpoints, workdir, candidate, member)
            except Damaged as error:
                if step is not None or candidate == steps[0]:
                    raise
                LOG.warning("%s; using the one before it", error)
        raise AssertionError("unreachable")
    finally:
        checkpoints.close()


def load_params(workdir: str | Path, step: int | None = None, member: int | None = None) -> Params:
    """Returns the parameters of a checkpoint on one device; see `load_run`."""
    return load_run(workdir, step, member).params


def _open(checkpoints: Checkpoints, workdir: Path, step: int, member: int | None) -> Run:
    meta = checkpoints.meta(step)
    whole = ConfigDict(meta["config"])
    config = member_config(whole, member)
    world = open_world(config.data)
    # the back end that the run asked for may not exist where it is read
    model = dataclasses.replace(model_config(config, world), attention="auto")
    lead = (whole.population,) if whole.population > 1 else ()
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    wanted = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype, sharding=device),
        _trained(config, model),
    )
    params = checkpoints.restore(step, params=wanted)["params"]
    if lead:
        params = jax.tree.map(lambda leaf: leaf[member], params)
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params)):
            raise InputError(f"member {member} of {workdir} is not finite at step {step}")
    if config.get("lora"):
        params = lora.attach(_frozen(workdir, config, meta["base"]), params)
    return Run(workdir, config, model, params, step, world, member)


def _trained(config: ConfigDict, model: TransformerConfig) -> Params:
    """Shapes of the parameters that a run trains and saves."""
    shapes = transformer.abstract(model)
    if not config.get("lora"):
        return shapes
    rules, key = lora.parse(config.lora), jax.random.key(0)
    return jax.eval_shape(lambda base: lora.init(model, rules, key, base), shapes)


def _frozen(workdir: Path, config: ConfigDict, recorded: dict[str, Any]) -> Params:
    """The parameters that an adapter was trained beside.

    Raises:
        InputError: the base is gone, or is not what it was.
    """
    run, member = Path(config.base.run), config.base.member
    checkpoints = Checkpoints(run)
    try:
        known = recorded["step"] in checkpoints.steps()
        now = fingerprint(checkpoints.meta(recorded["step"])) if known else ""
    finally:
        checkpoints.close()
    if now != recorded["fingerprint"]:
        raise InputError(
            f"{workdir} holds an adapter for step {recorded['step']} of {run}, "
            + ("which is another run now" if known else "which is not there any more")
        )
    return load_run(run, recorded["step"], member if member >= 0 else None).params
