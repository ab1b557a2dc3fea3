"""Faults of a run that is one process."""

import contextlib
import dataclasses
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage
from moments import await_moment
from reading import check_reading
from trial import (
    SAVES,
    STEPS,
    Bench,
    Trial,
    arrays,
    children,
    complete,
    ending,
    metrics,
    same_arrays,
    same_bits,
    updates,
)
from verdict import Broken, Verdict, expect, finish, one_line

AGAIN, REFUSED = 75, 2
NEWEST, BEFORE = SAVES[-1], SAVES[-2]
ATTEMPTS = 5  # a run of seconds may be over before the fault is there


def strike(
    bench: Bench, workdir: Path, moment: str, choose: random.Random, number: int
) -> tuple[Trial, str]:
    """Starts a run and sends it a signal at a moment; returns it, ended, and where that was.

    Where it was over before, it is tried again from the same files.
    """
    before = workdir.with_name("before")
    if workdir.exists():
        shutil.copytree(workdir, before)
    for _ in range(ATTEMPTS):
        trial = bench.start("one", workdir)
        with ending(trial):
            where = await_moment(moment, bench, "one", trial, choose)
            if where:
                os.kill(trial.process.pid, number)
                trial.wait()
                shutil.rmtree(before, ignore_errors=True)
                return trial, where
        shutil.rmtree(workdir)
        if before.exists():
            shutil.copytree(before, workdir)
    raise Broken(f"{ATTEMPTS} times too late for {moment}")


def kill(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """kill -9, at any moment; also again and again, before the first steps of a resumed run."""
    notes = []
    for moment in (fault.moment, *("compile", "start")[: fault.round % 3]):
        trial, where = strike(bench, workdir, moment, choose, signal.SIGKILL)
        expect(trial.process.returncode == -signal.SIGKILL, "it was not killed", trial)
        notes.append(where)
    found = finish(bench, workdir, note=f"killed {', then '.join(notes)}")
    return dataclasses.replace(found, faults=len(notes))


def stop(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """SIGTERM, at any moment: it saves and leaves; before it listens the signal ends it."""
    trial, where = strike(bench, workdir, fault.moment, choose, signal.SIGTERM)
    code, done, saved = (
        trial.process.returncode,
        updates(workdir),
        max(complete(workdir), default=0),
    )
    expect(code in (AGAIN, 0, -signal.SIGTERM), f"stopped {where}: exit code {code}", trial)
    expect(not trial.errors() and "Traceback" not in trial.said(), "an error", trial)
    expect(code == -signal.SIGTERM or saved == done, f"{done} updates done, {saved} saved", trial)
    expect(code != -signal.SIGTERM or done == 0, f"ended in midst of training {where}", trial)
    return finish(bench, workdir, note=f"stopped {where} (exit code {code})")


def copied(bench: Bench, workdir: Path, layout: str = "one") -> None:
    """Makes the folder a copy of the undisturbed run's."""
    shutil.copytree(bench.reference(layout), workdir)


def _damage(bench: Bench, workdir: Path, choose: random.Random, way: str) -> Verdict:
    """Damages every file of the newest checkpoint in turn and reads it; trains with one of them.

    Reading either refuses the checkpoint or gives the bits that were written.
    """
    copied(bench, workdir)
    listed = damage.files(workdir / "checkpoints" / str(NEWEST))
    refused = 0
    for path in listed:
        before = path.read_bytes()
        done = damage.WAYS[way](path, choose)
        caught, wrong = check_reading(bench.reference("one"), workdir, NEWEST)
        expect(not wrong, f"{path.relative_to(workdir)} {done}: {wrong}")
        refused += caught
        path.write_bytes(before)
    path = choose.choice(listed)
    note = f"each of {len(listed)} files: {refused} times refused, else harmless; then "
    note += f"{path.relative_to(workdir / 'checkpoints')} {damage.WAYS[way](path, choose)}"
    found = finish(bench, workdir, note=note, known=BEFORE)
    return dataclasses.replace(found, faults=len(listed) + 1)


def truncate_file(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """A file of the newest checkpoint ends early."""
    return _damage(bench, workdir, choose, "truncate")


def remove_file(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """A file of the newest checkpoint is gone."""
    return _damage(bench, workdir, choose, "remove")


def flip_bit(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """A bit of the newest checkpoint is flipped."""
    return _damage(bench, workdir, choose, "flip")


def fill_disk(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """The disk fills up at a random step: a small file system, or a limit on the size of files.

    The limit stands in where this process may not mount one.
    """
    save = choose.choice(SAVES[1:])
    at = choose.randrange(save - 3, save - 1)
    if fault.round % 2 == 0:
        return _mounted(bench, workdir, choose, at) or _limited(bench, workdir, choose, at)
    return _limited(bench, workdir, choose, at)


def _limited(bench: Bench, workdir: Path, choose: random.Random, at: int) -> Verdict:
    limit = choose.randrange(300, 8000)

    def fill(trial: Trial) -> None:
        resource.prlimit(trial.process.pid, resource.RLIMIT_FSIZE, (limit, limit))

    note = f"files limited to {limit} bytes (RLIMIT_FSIZE)"
    return _filled(bench, workdir, at, fill, note, lambda: None)


def _mounted(bench: Bench, workdir: Path, choose: random.Random, at: int) -> Verdict | None:
    disk = workdir.parent / "disk"
    disk.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    filler, left = disk / "filler", choose.randrange(0, 96) * 1024

    def fill(trial: Trial) -> None:
        free = os.statvfs(disk)
        with contextlib.suppress(OSError):  # the run was faster: then it is full to the last byte
            filler.write_bytes(bytes(max(free.f_bavail * free.f_bsize - left, 0)))

    try:
        note = f"{left // 1024} KiB left on a small file system"
        return _filled(bench, disk / "run", at, fill, note, filler.unlink)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _filled(
    bench: Bench,
    workdir: Path,
    at: int,
    fill: Callable[[Trial], None],
    note: str,
    free: Callable[[], Any],
) -> Verdict:
    trial = bench.start("one", workdir)
    with ending(trial):
        trial.until(lambda: updates(workdir) >= at)
        expect(not trial.ended(), "too late to fill the disk", trial)
        fill(trial)
        code = trial.wait()
    note += f" at update {updates(workdir)}, exit code {code}"
    expect(code in (0, REFUSED), note, trial)
    if code:
        one_line(trial, "no space left on the disk", "last complete checkpoint is")
    free()
    return finish(bench, workdir, note=note)


def nan(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """A NaN in one batch: the run stops, keeps what was good, goes on with whole data."""
    batch = choose.randrange(0, STEPS)
    trial = bench.start("one", workdir, sick={"fault": "nan", "batch": batch, "seed": 0})
    with ending(trial):
        code = trial.wait()
    expect(code == REFUSED, f"exit code {code}", trial)
    good = max([s for s in SAVES if s <= batch], default=0)
    last = f"step {good}" if good else "none"
    one_line(trial, f"update {batch} is not finite", f"last good checkpoint is {last}")
    expect(max(complete(workdir), default=0) == good, "another checkpoint was kept", trial)
    return finish(bench, workdir, note=f"NaN in batch {batch}", known=good)


def nan_in_population(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """A NaN in the data of one member of a population: it is lost, the other is not touched."""
    batch, seed = choose.randrange(0, STEPS), choose.randrange(2)
    reference = bench.reference("population")
    sick = {"fault": "nan", "batch": batch, "seed": seed}
    trial = bench.start("population", workdir, sick=sick)
    with ending(trial):
        code = trial.wait()
    expect(code == 0, f"exit code {code}", trial)
    said = f"member {seed} (seed={seed}) is not finite at update {batch}; the others go on"
    expect(trial.said().count(said) == 1, "it does not say so once", trial)
    other = 1 - seed
    rows = zip(metrics(workdir), metrics(reference), strict=True)
    right = all(
        a.keys() == b.keys()
        and all(a[k] == b[k] if k == "step" else a[k][other] == b[k][other] for k in a)
        and ("loss" not in a or (a["loss"][seed] is None) == (a["step"] >= batch))
        for a, b in rows
    )
    mine, theirs = arrays(workdir, reference), arrays(reference, reference)
    right &= all(
        mine[k].tobytes() == theirs[k].tobytes()
        if mine[k].ndim == 0
        else mine[k][other].tobytes() == theirs[k][other].tobytes()
        for k in mine
    )
    return Verdict(0, right, f"NaN in batch {batch} of member {seed}; the other one has its bits")


def kill_worker(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """kill -9 of the process that makes batches, or of the one that reads them."""
    trial = bench.start("one", workdir, flags=["--config.pipeline.workers=1"])
    with ending(trial):
        step = choose.randrange(0, 5)
        trial.until(lambda: updates(workdir) >= step and bool(_workers(trial)))
        expect(not trial.ended(), "too late for the data worker", trial)
        at, worker = updates(workdir), _workers(trial)[0]
        if fault.round % 2:
            trial.kill()
            expect(_gone(worker), "the data worker outlives its trainer", trial)
            return finish(bench, workdir, note=f"trainer with a data worker killed at update {at}")
        os.kill(worker, signal.SIGKILL)
        code = trial.wait()
    expect(code in (0, AGAIN), f"exit code {code}", trial)
    if code:
        one_line(trial, "data worker")
    return finish(bench, workdir, note=f"data worker killed at update {at}, exit code {code}")


def _gone(pid: int, patience: float = 10.0) -> bool:
    """True once a process has ended (or is a corpse that nobody buries)."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def _workers(trial: Trial) -> list[int]:
    def command(pid: int) -> bytes:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""

    return [pid for pid in children(trial.process.pid) if b"spawn_main" in command(pid)]


def thread_raises(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """A world that raises in a thread of the pipeline: a mistake of a program, shown as such."""
    batch = choose.randrange(0, STEPS)
    trial = bench.start("one", workdir, sick={"fault": "raise", "batch": batch, "seed": 0})
    with ending(trial):
        code = trial.wait()
    expect(code == 1, f"exit code {code}", trial)
    expect(f"RuntimeError: the world fails at batch {batch}" in trial.said(), "not said", trial)
    return finish(bench, workdir, note=f"raised at batch {batch}")


def _half_done(bench: Bench, workdir: Path) -> None:
    """A run that was killed after its last checkpoint but one."""
    copied(bench, workdir)
    shutil.rmtree(workdir / "checkpoints" / str(NEWEST))


def cut_config(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """config.json ends early, or is gone: the checkpoints know what it said."""
    _half_done(bench, workdir)
    way = ("truncate", "remove")[fault.round % 2]
    done = damage.WAYS[way](workdir / "config.json", choose)
    found = finish(bench, workdir, note=f"config.json {done}")
    whole = (bench.reference("one") / "config.json").read_bytes()
    expect((workdir / "config.json").read_bytes() == whole, "config.json was not mended")
    return found


def cut_metrics(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """metrics.jsonl ends early: rows of updates to come are written again, others said to miss."""
    _half_done(bench, workdir)
    path = workdir / "metrics.jsonl"
    note = f"metrics.jsonl {damage.truncate(path, choose)}"
    kept = path.read_bytes().count(b"\n")
    reference = bench.reference("one")
    lines = (reference / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    again = next(i for i, row in enumerate(metrics(reference)) if row["step"] >= BEFORE)
    trial = bench.start("one", workdir)
    with ending(trial):
        code = trial.wait()
    expect(code == 0, f"exit code {code}", trial)
    missing = max(again - kept, 0)
    expect((missing > 0) == ("metrics.jsonl lacks" in trial.said()), "it does not say so", trial)
    right = path.read_bytes() == b"".join(lines[: min(kept, again)] + lines[again:])
    right &= same_arrays(workdir, reference)
    return Verdict(BEFORE - trial.resumed(), right, f"{note}; {missing} rows missing, and said so")


def damage_cache(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """Every compiled program of the cache is damaged: they are compiled anew, and kept again."""
    cache = workdir.parent / "cache"
    listed = []
    for folder in (workdir.with_name("first"), workdir):
        trial = bench.start("one", folder, JAX_COMPILATION_CACHE_DIR=str(cache))
        with ending(trial):
            code = trial.wait()
        expect(code == 0, f"exit code {code}", trial)
        if not listed:
            listed = damage.files(cache)
            for path in listed:
                damage.WAYS[choose.choice(("truncate", "flip"))](path, choose)
            damaged = {path: path.read_bytes() for path in listed}
    expect("Error reading" not in trial.said() and "damaged" in trial.said(), "not said", trial)
    left = [path.name for path in listed if path.read_bytes() == damaged[path]]
    expect(not left, f"still damaged: {left}", trial)
    right = same_bits(workdir, bench.reference("one"))
    return Verdict(0, right, f"{len(listed)} files of the cache damaged", faults=len(listed))
