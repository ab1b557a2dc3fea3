"""Trains the grid that sweep() of a configuration file names; finished cells are never run again.

python -m physlm_jax.sweep --config=configs/cfg.py:cfg3b/14,laptop --workdir=runs/grid
python -m physlm_jax.sweep ... --where=list            only shows the groups
python -m physlm_jax.sweep ... --where=slurm           one job array, an element per group
python -m physlm_jax.sweep ... --where=gke --dry_run   one JobSet per group
python -m physlm_jax.sweep ... --group=3               trains group 3 here

Cells that are one program are trained together as a population; the others are groups of their own,
each a run in <workdir>/<group>. <workdir>/sweep.json says which cell is which member of which.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from physlm_jax import cli
from physlm_jax.errors import InputError
from physlm_jax.training.sweep import Group

CONFIG = flags.DEFINE_string(
    "config", None, "Configuration file and its arguments, which the cells override.", required=True
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the sweep.", required=True)
SET = flags.DEFINE_multi_string("set", [], "key=value: an override of every cell; repeat it.")
WHERE = flags.DEFINE_enum(
    "where",
    "local",
    ["local", "slurm", "gke", "list"],
    "Who runs the groups: processes here, SLURM, Kubernetes; or nobody, they are listed.",
)
GROUP = flags.DEFINE_integer(
    "group", None, "Train this group, here; default in a SLURM array: the element's number."
)
TOGETHER = flags.DEFINE_integer("together", 16, "Members of one population, at most.")
JOBS = flags.DEFINE_integer(
    "jobs", 1, "local: how many groups at a time, each with its share of the cores."
)
LAUNCH = flags.DEFINE_string(
    "launch_flags",
    "",
    "slurm, gke: flags for sbatch or jobset.py, e.g. '--nodes=2 --time=4:00:00'.",
)
DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the commands instead of running them.")
flags.DEFINE_alias("dry-run", "dry_run")
cli.define_job_flags()


def main(argv: list[str]) -> int:
    """Plans the sweep, then trains, submits or lists it."""
    del argv
    from physlm_jax.training import sweep

    folder = Path(WORKDIR.value)
    number = GROUP.value
    if number is None and "SLURM_ARRAY_TASK_ID" in os.environ:
        number = int(os.environ["SLURM_ARRAY_TASK_ID"])
    if number is not None:
        return train_group(sweep.read_index(CONFIG.value, folder), number)
    cells = [{**_common(), **cell} for cell in sweep.cells_of(CONFIG.value)]
    groups = sweep.plan_sweep(CONFIG.value, cells, folder, TOGETHER.value)
    todo = [i for i, group in enumerate(groups) if not _is_finished(group)]
    print(_table(groups, todo), flush=True)
    if WHERE.value == "list":
        return 0
    if not DRY_RUN.value:
        sweep.write_index(CONFIG.value, folder, groups)
    if WHERE.value == "local":
        return _run_here(todo)
    return _submit(todo)


def train_group(groups: Sequence[Group], number: int) -> int:
    """Trains one group of a planned sweep in this process; the exit code is `train`'s."""
    from physlm_jax.training.loop import train
    from physlm_jax.training.sweep import overridden

    if not 0 <= number < len(groups):
        raise InputError(
            f"--group={number}: {WORKDIR.value} has {len(groups)} groups"
            + ("" if groups else "; plan them first, by the same command without --group")
        )
    group = groups[number]
    config = overridden(CONFIG.value, group.overrides)
    finished = train(config, Path(WORKDIR.value) / group.name)
    return flags.FLAGS.stop_code if finished is None else 0


def _common() -> dict[str, object]:
    """The overrides of --set, with the types that the keys have."""
    from physlm_jax.training import config as configs

    known = configs.flat(configs.as_dict(configs.load(CONFIG.value)))
    found: dict[str, object] = {}
    for text in SET.value:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set={text}: expected key=value")
        found[key] = _as(known.get(key, ""), value, text)
    return found


def _as(like: Any, value: str, text: str) -> Any:
    """A value written as text, of the type of another one; lists have commas."""
    kind = type(like)
    truths = {"true": True, "1": True, "false": False, "0": False}
    try:
        if isinstance(like, bool):
            return truths[value.lower()]
        if isinstance(like, list | tuple):
            return kind(_as(like[0] if like else "", item, text) for item in value.split(","))
        return kind(value)
    except (KeyError, ValueError):
        raise InputError(f"--set={text}: it needs a value of type {kind.__name__}") from None


def _is_finished(group: Group) -> bool:
    from physlm_jax.training.sweep import overridden

    steps = overridden(CONFIG.value, group.overrides).steps
    return group.is_finished(Path(WORKDIR.value), steps)


def _table(groups: Sequence[Group], todo: Sequence[int]) -> str:
    """A line per group: its name, cells, whether it is finished, what it overrides."""
    lines = []
    for i, group in enumerate(groups):
        state = "to train" if i in todo else "finished"
        told = " ".join(f"{key}={value}" for key, value in group.overrides.items())
        cells = f"{len(group.cells)} cell{'s' * (len(group.cells) > 1)}"
        lines.append(f"{group.name}  {cells:>8}  {state}  {told}")
    return "\n".join(lines)


def _command(number: int | None) -> list[str]:
    """What trains a group: the flags of `python -m physlm_jax.sweep`."""
    chosen = [] if number is None else [f"--group={number}"]
    return [f"--config={CONFIG.value}", f"--workdir={WORKDIR.value}", *chosen]


def _run_here(todo: Sequence[int]) -> int:
    """Trains groups as processes of this machine, so many at a time; 1 if any failed.

    Each has its share of the cores. SIGTERM is handed on: they save, and the same command goes on.
    """
    from physlm_jax.studies.tasks import shares_of_cores

    if JOBS.value < 1:
        raise InputError(f"--jobs={JOBS.value}: expected at least 1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(flags.FLAGS.stop_code))
    python = [sys.executable, "-m"]
    commands = {i: [*python, "physlm_jax.sweep", *_command(i)] for i in todo}
    if DRY_RUN.value:
        print("\n".join(shlex.join(command) for command in commands.values()))
        return 0
    waiting, free = list(todo), shares_of_cores(JOBS.value)
    running: dict[int, tuple[subprocess.Popen[bytes], list[int]]] = {}
    failed: list[int] = []
    try:
        while waiting or running:
            while waiting and free:
                number, share = waiting.pop(0), free.pop()
                process = subprocess.Popen(commands[number])
                running[number] = process, share
                if share:  # before XLA starts in it and makes as many threads as it has cores
                    os.sched_setaffinity(process.pid, share)
            for number, (process, share) in list(running.items()):
                if process.poll() is not None:
                    del running[number]
                    free.append(share)
                    failed += [number] * bool(process.returncode)
            time.sleep(0.1)
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.wait()
    if failed:
        print(f"error: groups {failed} failed; the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


def _submit(todo: Sequence[int]) -> int:
    """Hands groups to the cluster's scheduler: a SLURM array, or a JobSet each."""
    launch = Path(__file__).parents[1] / "launch"
    extra = shlex.split(LAUNCH.value)
    if WHERE.value == "slurm":
        array = f"--array={','.join(map(str, todo))}"
        commands = [
            ["sbatch", array, *extra, str(launch / "slurm.sbatch"), "sweep", *_command(None)]
        ]
    else:
        name = Path(WORKDIR.value).name
        make = [sys.executable, str(launch / "gke" / "jobset.py")]
        commands = [
            [*make, *extra, f"--name={name}-{i}", "run", "sweep", *_command(i)] for i in todo
        ]
    for command in commands if todo else []:
        if DRY_RUN.value:
            print(shlex.join(command))
            continue
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError:
            raise InputError(f"--where={WHERE.value}: there is no {command[0]} here") from None
        except subprocess.CalledProcessError as error:
            raise InputError(f"{command[0]} ended with exit code {error.returncode}") from None
    return 0


if __name__ == "__main__":
    cli.run(main)
