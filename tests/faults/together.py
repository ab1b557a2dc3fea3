"""Faults of a run that is two processes."""

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import damage
from alone import AGAIN, ATTEMPTS, BEFORE, NEWEST, copied
from moments import await_moment
from trial import Bench, Trial, complete, ending, updates
from verdict import Broken, Verdict, expect, finish, finish_elsewhere, one_line

HEARTBEAT = 10  # seconds, see Bench.environ


def strike(
    bench: Bench, workdir: Path, fault: Any, choose: random.Random, number: int
) -> tuple[Trial, int, str]:
    """Sends a signal to one of two processes; returns their supervisor, ended, which and where."""
    for _ in range(ATTEMPTS):
        shutil.rmtree(workdir, ignore_errors=True)
        victim = choose.randrange(2)
        trial = bench.start("pair", workdir)
        with ending(trial):
            trial.until(lambda t=trial: _there(t, 0) and _there(t, 1))
            where = await_moment(fault.moment, bench, "pair", trial, choose)
            if where and _there(trial, victim):
                os.kill(trial.member(victim), number)
                trial.wait()
                return trial, victim, f"process {victim} {where}"
    raise Broken(f"{ATTEMPTS} times too late for {fault.moment}")


def _there(trial: Trial, number: int) -> bool:
    try:
        return bool(trial.member(number))
    except ProcessLookupError:
        return False


def resume(bench: Bench, workdir: Path, fault: Any, note: str) -> Verdict:
    """Goes on as two processes, as one, or on four devices, in turn."""
    layout = ("pair", "one", "four")[fault.round % 3]
    if layout == "pair":
        return finish(bench, workdir, "pair", note)
    return finish_elsewhere(bench, workdir, layout, "pair", note)


def kill_one(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """kill -9 of one of two processes under their launcher."""
    trial, victim, where = strike(bench, workdir, fault, choose, signal.SIGKILL)
    code = trial.process.returncode
    expect(code == AGAIN, f"killed {where}: exit code {code}", trial)
    killed = f"process {victim} of 2 was killed (signal 9, SIGKILL)"
    one_line(trial, killed, "run the same command again")
    return resume(bench, workdir, fault, f"killed {where}")


def stop_one(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """SIGTERM to one of two: both save the same step and leave together."""
    trial, _, where = strike(bench, workdir, fault, choose, signal.SIGTERM)
    code, done, saved = (
        trial.process.returncode,
        updates(workdir),
        max(complete(workdir), default=0),
    )
    expect(code in (AGAIN, 0), f"stopped {where}: exit code {code}", trial)
    if trial.errors():  # before they listened
        one_line(trial, "was killed (signal 15, SIGTERM)")
        expect(done == 0, "ended in the midst of training", trial)
    else:
        expect(saved == done, f"{done} updates done, {saved} saved", trial)
    return resume(bench, workdir, fault, f"stopped {where} (exit code {code})")


def damage_one(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """A damaged file of a checkpoint that two processes read, each its own part."""
    copied(bench, workdir, "pair")
    folder = workdir / "checkpoints" / str(NEWEST)
    listed = damage.files(folder)
    if fault.round % 2 == 0:  # what process 1 wrote
        listed = [path for path in listed if "process_1" in str(path.relative_to(folder))]
    path = choose.choice(listed)
    way = list(damage.WAYS)[fault.round % 3]
    note = f"{path.relative_to(workdir / 'checkpoints')} {damage.WAYS[way](path, choose)}"
    return finish(bench, workdir, "pair", note, known=BEFORE)


def lose_one(bench: Bench, workdir: Path, fault: Any, choose: random.Random) -> Verdict:
    """kill -9 of one of two that no launcher watches: the other one ends by itself."""
    for _ in range(ATTEMPTS):
        shutil.rmtree(workdir, ignore_errors=True)
        victim = choose.randrange(2)
        trials = bench.start_apart(workdir)
        with ending(*trials):
            where = await_moment(fault.moment, bench, "pair", trials[0], choose)
            if not where or trials[victim].ended():
                continue
            trials[victim].kill()
            since = time.monotonic()
            other = trials[1 - victim]
            code = other.wait(HEARTBEAT + 40)
            seconds = time.monotonic() - since
            expect(code != 0, f"process {victim} lost {where}: exit code {code}", other)
            note = f"process {victim} lost {where}; the other ended {seconds:.0f} s later ({code})"
            return resume(bench, workdir, fault, note)
    raise Broken(f"{ATTEMPTS} times too late for {fault.moment}")
