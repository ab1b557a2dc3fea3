"""The training loop: dispatches update t, then reads the metrics of update t - 1.

Everything a run does is a function of its configuration: batch t depends on (config, t), the state
after t updates on the batches before. So a run killed at any moment and started again with the same
command gives the same rows of metrics and, on the same devices, the same bits.
"""

import contextlib
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
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from physlm_jax.errors import InputError
from physlm_jax.pipeline import (
    device_batches,
    held_out,
    host_share,
    prefetch,
    stack_rows,
    stacked,
    stream,
)
from physlm_jax.training import base
from physlm_jax.training.checkpoint import Checkpoints
from physlm_jax.training.config import as_dict
from physlm_jax.training.plan import make_plan
from physlm_jax.training.population import differences
from physlm_jax.training.records import JsonLines, Progress, peak_flops
from physlm_jax.training.step import (
    State,
    abstract_state,
    create_state,
    evaluated,
    make_eval_step,
    make_train_step,
)
from physlm_jax.training.workdir import claim_workdir, held

LOG = logging.getLogger(__name__)


class Diverged(InputError):
    """The loss or a gradient stopped being finite."""


STOPS = (signal.SIGTERM, signal.SIGINT)


class _Stop:
    """Whether to stop: SIGTERM or Ctrl-C to this process, or SIGTERM to any of several.

    A second Ctrl-C does not wait. Several processes must stop after the same update; the
    distributed runtime hears of the signal and names the step. Alone, only the main thread can
    listen; a signal that is ignored (Ctrl-C by what a shell started in the background) stays so.
    """

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[int, Any] = {}
        self.listens = (
            threading.current_thread() is threading.main_thread() and jax.process_count() == 1
        )

    def __enter__(self) -> "_Stop":
        if self.listens:
            for number in (s for s in STOPS if signal.getsignal(s) is not signal.SIG_IGN):
                self.before[number] = signal.getsignal(number)
                signal.signal(number, self._ask)
        return self

    def _ask(self, *_: Any) -> None:
        self.asked = True
        if signal.SIGINT in self.before:
            signal.signal(signal.SIGINT, self.before[signal.SIGINT])

    def after(self, done: int) -> bool:
        """True if the run should stop now that `done` updates have been dispatched."""
        if jax.process_count() > 1:
            self.asked = multihost_utils.reached_preemption_sync_point(done)
        return self.asked

    def __exit__(self, *_: Any) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


class Training:
    """One run: its compiled functions and where it is; `train` drives it."""

    def __init__(self, config: ConfigDict, workdir: Path) -> None:
        self.config, self.workdir = config, workdir
        base.check_name(config)
        self.plan = make_plan(config)
        self.program = self.plan.program
        sources = [m.base.member for m in self.plan.members]
        self.base = base.find(config, self.program.model, sources)
        members = 0 if self.program.shared_rows else self.program.members
        self.share = host_share(self.program.rows, config.batch, members)
        self._stream(0)  # raises where rows_per_block does not divide a host's share
        self.update = make_train_step(self.program)
        self.eval_step = make_eval_step(self.program)
        self.held_out: list[dict[str, jax.Array]] = []

    def _sources(self) -> tuple[list[int], list[int]]:
        """Members whose rows this process makes, and which of those each of its members reads."""
        ours = list(self.share.members) or [0]
        keys = [(self.plan.members[m].data_seed, self.plan.members[m].data.to_json()) for m in ours]
        different = list(dict.fromkeys(keys))
        first = [ours[keys.index(key)] for key in different]
        return first, [different.index(key) for key in keys]

    def _stream(self, start: int) -> grain.MapDataset:
        """This process's rows of batches `start`, `start` + 1, ..."""
        first, order = self._sources()
        streams = [
            stream(
                self.plan.worlds[m],
                self.plan.packing,
                self.plan.members[m].data_seed,
                self.config.batch,
                start=start,
                hosts=self.share.hosts,
                host=self.share.host,
            )
            for m in first
        ]
        return stacked(streams, order) if self.share.members else streams[0]

    def state(self, checkpoints: Checkpoints) -> State:
        """Returns the newest whole checkpoint's state, or a fresh one, laid out on the mesh."""
        wanted = abstract_state(self.program)
        wanted.pop("base", None)
        params = wanted.pop("params")
        read = checkpoints.restore_latest(params=params, training=wanted)
        if read is None:
            start = base.read(self.base, self.plan) if self.base else None
            return create_state(self.program, self.plan.numbers, self.plan.seeds, start)
        LOG.info("resumed from step %d", int(read["training"]["step"]))
        state = {"params": read["params"], **read["training"]}
        if self.base and self.program.adapter:
            state["base"] = base.read(self.base, self.plan)
        return state

    @contextlib.contextmanager
    def batches(self, start: int) -> Iterator[Iterator[dict[str, jax.Array]]]:
        """Opens the training stream at batch `start`."""
        how = self.config.pipeline
        ahead = prefetch(self._stream(start), threads=how.threads, workers=how.workers)
        with contextlib.closing(device_batches(ahead, self.program.rows)) as batches:
            yield batches

    def evaluate(self, state: State) -> np.ndarray:
        """Returns nats per token on the held-out set, every row counted exactly once.

        A scalar; for a population float64[K], each member on its own held-out set.
        """
        if not self.held_out:
            self.held_out = list(device_batches(self._held_out(), self.program.rows))
        sums = [self.eval_step(evaluated(state), batch) for batch in self.held_out]
        loss, tokens = np.sum(np.array(jax.device_get(sums), np.float64), axis=0)
        return loss / tokens

    def _held_out(self) -> list[dict[str, np.ndarray]]:
        first, order = self._sources()
        sets = [
            held_out(
                self.plan.worlds[m],
                self.plan.packing,
                self.plan.members[m].data_seed,
                self.config.eval.rows,
                self.config.batch,
                hosts=self.share.hosts,
                host=self.share.host,
            )
            for m in first
        ]
        if not self.share.members:
            return sets[0]
        return [stack_rows(batches, order) for batches in zip(*sets, strict=True)]


class _Recorder:
    """Writes what the updates gave, and watches that it is finite; only process 0 writes."""

    def __init__(self, run: Training, start: int) -> None:
        config, self.members = run.config, run.program.members
        self.config = config
        writes = jax.process_index() == 0
        self.metrics = JsonLines(run.workdir / "metrics.jsonl" if writes else None, start, "loss")
        self.timing = JsonLines(run.workdir / "timing.jsonl" if writes else None, start)
        peak = peak_flops(jax.devices()[0])
        self.progress = Progress(
            config.name or config.data.world,
            config.steps,
            start,
            config.batch * config.pipeline.length * len(run.plan.members),
            run.plan.flops(),
            peak and peak * jax.device_count(),
            silent=not writes,
        )
        self.lost: set[int] = set()

    def write(self, step: int, values: dict[str, Any], checkpoints: Checkpoints) -> None:
        """Writes the metrics of one update.

        Raises:
            Diverged: not finite, for a population in every member.
        """
        arrays = {name: np.asarray(value) for name, value in jax.device_get(values).items()}
        finite = np.all([np.isfinite(a) for a in arrays.values()], axis=0)
        self._check(step, arrays, finite, checkpoints)
        self.metrics.write({"step": step, **{name: plain(a) for name, a in arrays.items()}})
        spent = self.progress.timing(step + 1)
        self.timing.write(spent)
        self.progress.show(spent, float(arrays["loss"][finite].mean()))

    def _check(
        self, step: int, arrays: dict[str, np.ndarray], finite: np.ndarray, checkpoints: Checkpoints
    ) -> None:
        for member in np.flatnonzero(~finite) if finite.any() else ():
            if int(member) not in self.lost:
                self.lost.add(int(member))
                LOG.warning(
                    "member %d (%s) is not finite at update %d; the others go on",
                    member,
                    differences(self.config, int(member)),
                    step,
                )
        if not finite.any():
            kept = checkpoints.steps()
            raise Diverged(
                f"update {step} is not finite (loss {plain(arrays['loss'])}, gradient norm "
                f"{plain(arrays['gradient_norm'])}); the last good checkpoint is "
                f"{f'step {kept[-1]}' if kept else 'none'}"
            )

    def close(self) -> None:
        """Closes the files."""
        self.metrics.close()
        self.timing.close()


def plain(values: np.ndarray) -> Any:
    """Returns numbers as JSON holds them: floats, or a list of them; None where not finite."""
    if values.ndim:
        return [plain(value) for value in values]
    return float(values) if math.isfinite(values) else None


def train(config: ConfigDict, workdir: Path) -> State | None:
    """Trains (or goes on training) the run of this folder to exactly `config.steps` updates.

    Writes config.json, metrics.jsonl, timing.jsonl and checkpoints/. On SIGTERM or Ctrl-C it saves
    at the next step and returns None. Where there are several processes all of them call this,
    with the same arguments and a folder that all can read; each feeds its own rows.

    Returns:
        The final state, or None when it was asked to stop early.
    Raises:
        InputError: bad settings, the folder of another run or trainer, a full disk.
        Diverged: the loss is not finite; the last good checkpoint is kept.
    """
    training = Training(config, workdir)
    keep = config.checkpoint
    record = training.base.recorded if training.base else None
    with held(workdir):
        claim_workdir(workdir, config)
        checkpoints = Checkpoints(
            workdir, keep.keep_last, keep.keep_every, writer=True, base=record
        )
        try:
            return _run(training, checkpoints)
        finally:
            checkpoints.close()


def _run(run: Training, checkpoints: Checkpoints) -> State | None:
    config, steps = run.config, run.config.steps
    state = run.state(checkpoints)
    start = int(state["step"])
    records = _Recorder(run, start)
    saved = start if start in checkpoints.steps() else -1
    pending: tuple[int, dict[str, jax.Array]] | None = None

    def write_pending() -> None:
        nonlocal pending
        if pending:
            records.write(*pending, checkpoints)
        pending = None

    def measure(step: int) -> None:
        if step == steps or (config.eval.every and step % config.eval.every == 0):
            write_pending()  # rows come in one order, stopped and resumed here or not
            loss = plain(run.evaluate(state))
            records.metrics.write({"step": step, "held_out_loss": loss})

    def save(step: int) -> None:
        nonlocal saved
        if saved != step:
            records.metrics.secure()
            checkpoints.save(state, as_dict(config))
            saved = step

    try:
        with _Stop() as stop, run.batches(start) as batches:
            for t in range(start, steps):
                measure(t)
                state, values = run.update(state, next(batches))
                write_pending()
                pending = (t, values)
                due = config.checkpoint.every and (t + 1) % config.checkpoint.every == 0
                asked = stop.after(t + 1)
                if due or asked or t + 1 == steps:
                    write_pending()  # a checkpoint is written only after its metrics are sound
                    save(t + 1)
                if asked:
                    LOG.warning("asked to stop: saved step %d", t + 1)
                    checkpoints.wait()
                    return None
            measure(steps)
            save(steps)
            checkpoints.wait()
            return state
    finally:
        records.close()
