"""Runs what a launcher would start, as worker processes of this machine that cannot stay behind.

Every process started here carries a mark in its environment; `reap` kills those that are left, also
where they have gone into sessions of their own.
"""

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = "PHYSLM_TEST_MARK"
SECONDS = 150  # a process that hangs is killed after this

# A run of seconds: 512 strings, 2 x 16, two devices; one process or two train it alike.
RUN = (
    "--config=configs/cfg.py:cfg3b/13,laptop",
    "--config.steps=6",
    "--config.optimizer.warmup=2",
    "--config.batch=4",
    "--config.pipeline.length=16",
    "--config.pipeline.rows_per_block=2",
    "--config.model.layers=2",
    "--config.model.width=16",
    "--config.model.heads=2",
    "--config.eval.every=3",
    "--config.eval.rows=6",
    "--config.checkpoint.every=2",
    "--config.mesh.data=-1",
)


class Workers:
    """Starts processes with the mark of one test."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "PHYSLM_"))},
            MARK: self.mark,
            "VENV": sys.prefix,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": "--xla_backend_optimization_level=0",  # most of the time is compiling
        }

    def run(self, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in the checkout to its end."""
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**self.environ, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def together(
        self, command: Sequence[str], each: Sequence[dict[str, str]], cwd: Path = ROOT
    ) -> list[str]:
        """Runs a command per set of variables; returns what they wrote; all must end well."""
        running = [
            subprocess.Popen(
                command,
                cwd=cwd,
                env={**self.environ, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for variables in each
        ]
        said = [process.communicate(timeout=SECONDS)[0] for process in running]
        assert [process.returncode for process in running] == [0] * len(each), "\n".join(said)
        return said

    def reap(self) -> list[str]:
        """Kills what still carries the mark; returns the command lines."""
        left = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # ended meanwhile, or not ours
                if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    os.kill(int(entry.name), signal.SIGKILL)
                    left.append(line)
        return left


@contextlib.contextmanager
def marked() -> Iterator[Workers]:
    """Yields a `Workers`; whatever it started is gone afterwards."""
    workers = Workers()
    try:
        yield workers
    finally:
        workers.reap()


def free_port() -> str:
    """Returns a port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def metrics(workdir: Path) -> list[dict[str, float]]:
    """Returns the rows of a run's metrics."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def words(line: str) -> list[str]:
    """Returns a line of a dry run as the shell would split it."""
    return shlex.split(line)
