"""Waiting, from outside, for a moment in the life of a run: by its files and by the clock."""

import random
import time

from trial import EVALUATIONS, SAVES, STEPS, Bench, Trial, metrics, updates

NAMES = ("step", "write", "compile", "evaluation", "start")


def await_moment(name: str, bench: Bench, layout: str, trial: Trial, choose: random.Random) -> str:
    """Returns, at a random point of that part of the run, where it is; "" if it has ended."""
    claimed, first = bench.seconds(layout)
    where = {
        "start": lambda: _start(trial, choose.uniform(0, claimed)),
        "compile": lambda: _compile(trial, choose.uniform(0, first - claimed)),
        "step": lambda: _step(trial, choose.randrange(1, STEPS - 1)),
        "write": lambda: _write(trial, choose.choice(SAVES), choose.uniform(0, 0.03)),
        "evaluation": lambda: _evaluation(
            trial, choose.choice(EVALUATIONS[1:-1]), choose.uniform(0, 0.02)
        ),
    }[name]()
    return "" if trial.ended() else where


def _start(trial: Trial, seconds: float) -> str:
    trial.until(lambda: time.monotonic() - trial.begun >= seconds)
    return f"{seconds:.2f} s after the start"


def _compile(trial: Trial, seconds: float) -> str:
    trial.until(lambda: (trial.workdir / "config.json").exists())
    end = time.monotonic() + seconds
    trial.until(lambda: time.monotonic() >= end or bool(metrics(trial.workdir)))
    return f"before the first update ({seconds:.2f} s after the folder was claimed)"


def _step(trial: Trial, step: int) -> str:
    trial.until(lambda: updates(trial.workdir) >= step)
    return f"after update {updates(trial.workdir)} of {STEPS}"


def _write(trial: Trial, step: int, seconds: float) -> str:
    """A checkpoint is being written as long as its folder has a temporary name."""
    partial = f"{step}.*tmp*"
    trial.until(lambda: any((trial.workdir / "checkpoints").glob(partial)))
    time.sleep(seconds)
    still = any((trial.workdir / "checkpoints").glob(partial))
    return f"{'in' if still else 'just after'} the write of checkpoint {step}"


def _evaluation(trial: Trial, step: int, seconds: float) -> str:
    """Once the row of the update before is there, evaluation begins."""
    trial.until(lambda: updates(trial.workdir) >= step)
    time.sleep(seconds)
    rows = metrics(trial.workdir)
    done = any(row["step"] >= step for row in rows)
    return f"{'just after' if done else 'in'} the evaluation before update {step}"
