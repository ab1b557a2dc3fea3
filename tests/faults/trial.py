"""The run that faults are tried on: its command, its processes, and what it should end as.

One configuration of seconds, on four layouts of devices. What an undisturbed run leaves behind is
the reference; every disturbed one must end as it did, bit by bit where the devices are the same.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from physlm_jax.parallel.supervisor import free_port

ROOT = Path(__file__).parents[2]
SICK = Path(__file__).with_name("sick.py")
PATIENCE = 120.0  # seconds; a process that takes longer hangs
STEPS, SAVES, EVALUATIONS = 18, (5, 10, 15, 18), (0, 6, 12, 18)
BATCH = 4
FLAGS = (
    "--config=configs/cfg.py:cfg3b/13,laptop",
    f"--config.steps={STEPS}",
    f"--config.batch={BATCH}",
    "--config.optimizer.warmup=2",
    "--config.pipeline.length=16",
    "--config.pipeline.rows_per_block=2",
    "--config.model.layers=1",
    "--config.model.width=16",
    "--config.model.heads=2",
    "--config.eval.every=6",
    "--config.eval.rows=64",
    "--config.checkpoint.every=5",
    "--stop_code=75",
)
# "pair" cuts the parameters over two processes, so that each reads and writes files of its own
LAYOUTS = {
    "one": (),
    "four": (),
    "pair": ("--config.mesh.data=1", "--config.mesh.fsdp=-1"),
    "population": ("--config.population=2",),
}


@dataclass(frozen=True)
class Bench:
    """Where trials are made.

    Attributes:
        folder: of our own; the references are kept in it.
        compiled: the compile cache; default inside the folder.
    """

    folder: Path
    compiled: Path | None = None

    def environ(self, **variables: str) -> dict[str, str]:
        """The environment of a run: ours, without another job's variables.

        Programs are compiled quickly rather than well; the bits are the same every time.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PHYSLM_", "SLURM_"))}
        return {
            **kept,
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(self.compiled or self.folder / "cache"),
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
            "PYTHONPATH": str(ROOT),
            "PHYSLM_HEARTBEAT": "10",
            **variables,
        }

    def start(
        self,
        layout: str,
        workdir: Path,
        flags: Sequence[str] = (),
        sick: dict[str, object] | None = None,
        **variables: str,
    ) -> "Trial":
        """Starts the run in a folder; what it says goes to a file beside the folder.

        Args:
            sick: what is wrong with its data, see sick.py.
        """
        module = ["-m", "physlm_jax.train"]
        if sick is not None:
            module = [str(SICK), json.dumps(sick)]
        elif layout == "pair":
            module = ["-m", "physlm_jax.parallel.supervisor", "--processes=2", "train"]
        environ = self.environ(**variables)
        if layout == "four":
            environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=4"
        return _start([*module, *_flags(layout, workdir), *flags], environ, workdir)

    def start_apart(self, workdir: Path) -> list["Trial"]:
        """Starts two processes that nobody watches, as a cluster without a launcher would."""
        coordinator = f"127.0.0.1:{free_port()}"
        return [
            _start(
                ["-m", "physlm_jax.train", *_flags("pair", workdir)],
                self.environ(
                    PHYSLM_COORDINATOR=coordinator, PHYSLM_PROCESSES="2", PHYSLM_PROCESS=str(i)
                ),
                workdir,
                name=f".{i}.log",
            )
            for i in range(2)
        ]

    def reference(self, layout: str) -> Path:
        """The folder of the undisturbed run, made once per layout."""
        workdir = self.folder / "references" / layout
        if not workdir.with_suffix(".seconds").exists():
            # twice: the first one compiles, the second one's times are those of the trials; of two
            # processes the second one always compiles, jax lets only the first one use the cache
            first = [] if layout == "pair" else [workdir.with_name(f"{layout}.first")]
            for folder in (*first, workdir):
                trial = self.start(layout, folder)
                seconds = [trial.until(lambda f=folder: (f / "config.json").exists())]
                seconds.append(trial.until(lambda f=folder: bool(metrics(f))))
                assert trial.wait() == 0, trial.said()
            workdir.with_suffix(".seconds").write_text(json.dumps(seconds))
        return workdir

    def seconds(self, layout: str) -> tuple[float, float]:
        """Undisturbed, from the start until the folder is claimed and until the first metrics."""
        claimed, first = json.loads(self.reference(layout).with_suffix(".seconds").read_text())
        return claimed, first


def _flags(layout: str, workdir: Path) -> list[str]:
    return [*FLAGS, *LAYOUTS[layout], f"--workdir={workdir}"]


def _start(
    arguments: list[str], environ: dict[str, str], workdir: Path, name: str = ".log"
) -> "Trial":
    workdir.parent.mkdir(parents=True, exist_ok=True)
    log = workdir.with_name(workdir.name + name)
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Trial(process, workdir, log)


@dataclass
class Trial:
    """A started run."""

    process: "subprocess.Popen[bytes]"
    workdir: Path
    log: Path
    begun: float = field(default_factory=time.monotonic)

    def said(self) -> str:
        """What it wrote to standard output and error."""
        return self.log.read_text(errors="replace")

    def ended(self) -> bool:
        """True once it is gone."""
        return self.process.poll() is not None

    def until(self, seen: Callable[[], bool], pause: float = 0.0005) -> float:
        """Waits until something is seen or the run has ended; returns the seconds since its start.

        Raises:
            Hung: neither happened.
        """
        while not seen() and not self.ended():
            if time.monotonic() - self.begun > PATIENCE:
                self.kill()
                raise Hung(f"waited in vain: {self.said()[-800:]}")
            time.sleep(pause)
        return time.monotonic() - self.begun

    def wait(self, patience: float = PATIENCE) -> int:
        """Waits for its end; returns the exit code.

        Raises:
            Hung: it did not end; it is killed.
        """
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Hung(f"no end after {patience:.0f} s: {self.said()[-800:]}") from None

    def kill(self) -> None:
        """Kills it; several processes die with their supervisor."""
        if not self.ended():
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def member(self, number: int) -> int:
        """The id of process `number` under the supervisor."""
        for pid in children(self.process.pid):
            with contextlib.suppress(OSError):
                environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if f"PHYSLM_PROCESS={number}".encode() in environ:
                    return pid
        raise ProcessLookupError(f"process {number} is gone")

    def resumed(self) -> int:
        """The step it says it went on from; 0: a fresh start."""
        found = re.search(r"resumed from step (\d+)", self.said())
        return int(found[1]) if found else 0

    def errors(self) -> list[str]:
        """The lines that begin as this project's errors do."""
        return re.findall(r"^error.*$", self.said(), re.MULTILINE)


class Hung(Exception):
    """A process that should have ended did not."""


def children(pid: int) -> list[int]:
    """Returns the ids of a process's children, the oldest first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[1]) == pid:
                found.append((int(after_name[19]), int(entry.name)))
    return [child for _, child in sorted(found)]


@contextlib.contextmanager
def ending(*trials: Trial) -> Iterator[None]:
    """Kills what still runs at the end of the block."""
    try:
        yield
    finally:
        for trial in trials:
            trial.kill()


def complete(workdir: Path) -> list[int]:
    """Returns the steps of the checkpoints that are in place, ascending."""
    names = [path.name for path in (workdir / "checkpoints").glob("*")]
    return sorted(int(name) for name in names if name.isdecimal())


def metrics(workdir: Path) -> list[dict[str, float]]:
    """Returns the rows that are whole; none where there is no file yet."""
    try:
        lines = (workdir / "metrics.jsonl").read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def updates(workdir: Path) -> int:
    """Returns how many updates have a row."""
    return sum("loss" in row for row in metrics(workdir))


def arrays(workdir: Path, like: Path, step: int = STEPS) -> dict[str, np.ndarray]:
    """Returns every array of a checkpoint, read by Orbax alone.

    Args:
        like: an undamaged run, which knows how the arrays are nested.
    """
    found = {}
    with ocp.PyTreeCheckpointer() as reader:
        for item in ("params", "training"):
            place = Path("checkpoints", str(step), item)
            tree = reader.metadata((like / place).absolute()).item_metadata.tree
            plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            asked = ocp.args.PyTreeRestore(item=tree, restore_args=plain)
            read = reader.restore((workdir / place).absolute(), args=asked)
            for path, leaf in jax.tree_util.tree_leaves_with_path(read):
                found[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return found


def same_arrays(workdir: Path, reference: Path) -> bool:
    """True if two finished runs hold the same parameters and optimizer, bit by bit."""
    mine, theirs = arrays(workdir, reference), arrays(reference, reference)
    return mine.keys() == theirs.keys() and all(
        mine[k].tobytes() == theirs[k].tobytes() and mine[k].dtype == theirs[k].dtype for k in mine
    )


def same_bits(workdir: Path, reference: Path) -> bool:
    """The same arrays, and the same bytes in metrics.jsonl."""
    rows = [(folder / "metrics.jsonl").read_bytes() for folder in (workdir, reference)]
    return rows[0] == rows[1] and same_arrays(workdir, reference)


def close(a: Path, b: Path, tolerance: float = 1e-4) -> bool:
    """True if two finished runs saw the same data: the same rows, numbers within `tolerance`."""
    mine, theirs = metrics(a), metrics(b)
    return len(mine) == len(theirs) and all(
        x.keys() == y.keys()
        and x["step"] == y["step"]
        and all(np.isclose(x[k], y[k], rtol=tolerance, atol=1e-6) for k in x)
        for x, y in zip(mine, theirs, strict=True)
    )
