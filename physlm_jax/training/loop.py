"""The training loop: dispatches update t, then reads the metrics of update t - 1.

Everything a run does is a function of its configuration: batch t depends on (config, t), the state
after t updates on the batches before. So a run killed at any moment and started again with the same
command gives the same rows of metrics and, on the same devices, the same bits.
"""

import contextlib
import functools
import logging
import math
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from physlm_jax.data import World, open_world
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.parallel.mesh import make_mesh, sharding
from physlm_jax.pipeline import device_batches, held_out, host_share, prefetch, stream
from physlm_jax.training.checkpoint import Checkpoints
from physlm_jax.training.config import (
    as_dict,
    claim_workdir,
    model_config,
    packing_config,
    validate,
)
from physlm_jax.training.optimizer import make_optimizer, schedule
from physlm_jax.training.records import JsonLines, Progress, peak_flops
from physlm_jax.training.step import (
    Batch,
    Params,
    State,
    create_state,
    init_state,
    make_eval_step,
    make_train_step,
    state_shardings,
)

LOG = logging.getLogger(__name__)


class Diverged(InputError):
    """The loss or a gradient stopped being finite."""


class _Stop:
    """Set by SIGTERM; looked at between updates. Only the main thread can listen."""

    def __init__(self) -> None:
        self.asked = False
        self.listens = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "_Stop":
        if self.listens:
            self.before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def __exit__(self, *_: Any) -> None:
        if self.listens:
            signal.signal(signal.SIGTERM, self.before)


class Training:
    """One run: its compiled functions and where it is; `train` drives it."""

    def __init__(self, config: ConfigDict, workdir: Path) -> None:
        validate(config)
        self.config, self.workdir = config, workdir
        self.world: World = open_world(config.data)
        self.model = model_config(config, self.world)
        self.packing = packing_config(config)
        self.mesh: Mesh = make_mesh(config.mesh)
        self.rows = sharding(self.mesh, "batch", "length")
        self._check_rows()
        rate = schedule(config.optimizer, config.steps)
        self.optimizer = make_optimizer(config.optimizer, config.steps)
        segmented = self.packing.mode == "best_fit"
        self.update = make_train_step(
            self.model,
            self.optimizer,
            rate,
            self.mesh,
            accumulation=config.accumulation,
            segmented=segmented,
        )
        self.eval_step = make_eval_step(self.model, self.mesh, segmented=segmented)
        self.held_out: list[Batch] = []

    def _check_rows(self) -> None:
        cut = self.mesh.shape["data"] * self.mesh.shape["fsdp"]
        rows = self.config.batch // self.config.accumulation
        if rows % cut:
            raise InputError(
                f"config.batch {self.config.batch} in {self.config.accumulation} micro-batch(es) "
                f"cannot be cut over {cut} devices; the nearest batch that can is "
                f"{max(round(rows / cut), 1) * cut * self.config.accumulation}"
            )
        self._stream(0)  # raises where rows_per_block does not divide a host's share

    def _stream(self, start: int) -> grain.MapDataset:
        """This process's rows of batches `start`, `start` + 1, ..."""
        c, share = self.config, host_share(self.rows, self.config.batch)
        return stream(
            self.world,
            self.packing,
            c.data_seed,
            c.batch,
            start=start,
            hosts=share.hosts,
            host=share.host,
        )

    def state(self, checkpoints: Checkpoints) -> State:
        """Returns the newest whole checkpoint's state, or a fresh one, laid out on the mesh."""
        layout = state_shardings(self.model, self.optimizer, self.mesh)
        key = jax.random.key(self.config.seed)
        shapes = jax.eval_shape(functools.partial(init_state, self.model, self.optimizer), key)
        wanted = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, layout
        )
        params = wanted.pop("params")
        read = checkpoints.restore_latest(params=params, training=wanted)
        if read is None:
            return create_state(self.model, self.optimizer, key, layout)
        LOG.info("resumed from step %d", int(read["training"]["step"]))
        return {"params": read["params"], **read["training"]}

    @contextlib.contextmanager
    def batches(self, start: int) -> Iterator[Iterator[Batch]]:
        """Opens the training stream at batch `start`."""
        ahead = prefetch(self._stream(start), threads=self.config.pipeline.threads)
        with contextlib.closing(device_batches(ahead, self.rows)) as batches:
            yield batches

    def evaluate(self, params: Params) -> float:
        """Returns nats per token on the held-out set, every row counted exactly once."""
        if not self.held_out:
            share = host_share(self.rows, self.config.batch)
            rows = held_out(
                self.world,
                self.packing,
                self.config.data_seed,
                self.config.eval.rows,
                self.config.batch,
                hosts=share.hosts,
                host=share.host,
            )
            self.held_out = list(device_batches(rows, self.rows))
        sums = [self.eval_step(params, batch) for batch in self.held_out]
        loss, tokens = np.sum(np.array(jax.device_get(sums), np.float64), axis=0)
        return float(loss / tokens)

    def flops(self) -> float:
        """Floating-point operations of one update."""
        length = self.config.pipeline.length
        each = transformer.train_flops_per_token(self.model, length)
        return each * length * self.config.batch


def train(config: ConfigDict, workdir: Path) -> State | None:
    """Trains (or goes on training) the run of this folder to exactly `config.steps` updates.

    Writes config.json, metrics.jsonl, timing.jsonl and checkpoints/. On SIGTERM it saves at the
    next step and returns None.

    Returns:
        The final state, or None when it was asked to stop early.
    Raises:
        InputError: bad settings, the folder of another run, a full disk.
        Diverged: the loss is not finite; the last good checkpoint is kept.
    """
    training = Training(config, workdir)
    claim_workdir(workdir, config)
    keep = config.checkpoint
    checkpoints = Checkpoints(workdir, keep.keep_last, keep.keep_every, writer=True)
    try:
        return _run(training, checkpoints)
    finally:
        checkpoints.close()


def _run(run: Training, checkpoints: Checkpoints) -> State | None:
    config, steps = run.config, run.config.steps
    state = run.state(checkpoints)
    start = int(state["step"])
    metrics = JsonLines(run.workdir / "metrics.jsonl", start)
    timing = JsonLines(run.workdir / "timing.jsonl", start)
    peak = peak_flops(jax.devices()[0])
    progress = Progress(
        config.name or config.data.world,
        steps,
        start,
        config.batch * config.pipeline.length,
        run.flops(),
        peak and peak * jax.device_count(),
    )
    saved = start if start in checkpoints.steps() else -1

    def settle(step: int, values: dict[str, jax.Array]) -> None:
        row = {k: float(v) for k, v in jax.device_get(values).items()}
        if not all(math.isfinite(v) for v in row.values()):
            kept = checkpoints.steps()
            raise Diverged(
                f"update {step} is not finite (loss {row['loss']}, gradient norm "
                f"{row['gradient_norm']}); the last good checkpoint is "
                f"{f'step {kept[-1]}' if kept else 'none'}"
            )
        metrics.write({"step": step, **row})
        spent = progress.timing(step + 1)
        timing.write(spent)
        progress.show(spent, row["loss"])

    def measure(step: int) -> None:
        if step == steps or (config.eval.every and step % config.eval.every == 0):
            metrics.write({"step": step, "held_out_loss": run.evaluate(state["params"])})

    def save(step: int) -> None:
        nonlocal saved
        if saved != step:
            checkpoints.save(state, as_dict(config))
            saved = step

    try:
        with _Stop() as stop, run.batches(start) as batches:
            pending: tuple[int, dict[str, jax.Array]] | None = None
            for t in range(start, steps):
                measure(t)
                state, values = run.update(state, next(batches))
                if pending:
                    settle(*pending)
                pending = (t, values)
                due = config.checkpoint.every and (t + 1) % config.checkpoint.every == 0
                if due or stop.asked or t + 1 == steps:
                    settle(*pending)  # a checkpoint is written only after its metrics are sound
                    pending = None
                    save(t + 1)
                if stop.asked:
                    LOG.warning("asked to stop: saved step %d", t + 1)
                    checkpoints.wait()
                    return None
            measure(steps)
            save(steps)
            checkpoints.wait()
            return state
    finally:
        metrics.close()
        timing.close()
