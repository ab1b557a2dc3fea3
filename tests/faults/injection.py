"""Faults, drawn from a seed, and what a run makes of them.

A fault is a pure description; `inject` carries it out on a run of seconds: from outside where that
can be (signals at observed moments, damage to files, limits of the system), else by a script that
spoils the data. Then the same command is started again until it has finished, and what is there is
compared with what an undisturbed run leaves: the same bits, and no step lost beyond the last
checkpoint.
"""

import dataclasses
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import alone
import together
from moments import NAMES as MOMENTS
from trial import Bench
from verdict import Verdict

Injector = Callable[[Bench, Path, "Fault", random.Random], Verdict]
KINDS: dict[str, Injector] = {
    "kill": alone.kill,
    "stop": alone.stop,
    "file truncated": alone.truncate_file,
    "file removed": alone.remove_file,
    "bit flipped": alone.flip_bit,
    "disk full": alone.fill_disk,
    "NaN in the data": alone.nan,
    "NaN in a population": alone.nan_in_population,
    "data worker killed": alone.kill_worker,
    "data thread raises": alone.thread_raises,
    "config.json cut": alone.cut_config,
    "metrics.jsonl cut": alone.cut_metrics,
    "compile cache damaged": alone.damage_cache,
    "one of two killed": together.kill_one,
    "one of two stopped": together.stop_one,
    "damage read by two": together.damage_one,
    "one of two lost": together.lose_one,
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        seed: of what is random about it.  kind: one of `KINDS`.
        moment: when in the life of a run, for those that have a moment.
        round: how often its kind has been drawn before.
    """

    seed: int
    kind: str
    moment: str
    round: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of it.

    Attributes:
        survived: the run, started again, finished; every expectation held.
        steps_lost: beyond the last checkpoint that was whole.
        bitwise: the same bits as undisturbed; None: other devices, compared within a tolerance.
        faults: how many were injected (one, but for damage to every file in turn).
        note: where it struck and what followed, or what went wrong.
    """

    fault: Fault
    survived: bool
    steps_lost: int
    bitwise: bool | None
    faults: int
    seconds: float
    note: str


def draw(seed: int) -> Fault:
    """Returns the fault of a seed: the kinds in turn, each at every moment in turn."""
    kinds = list(KINDS)
    turn = seed // len(kinds)
    return Fault(seed, kinds[seed % len(kinds)], MOMENTS[turn % len(MOMENTS)], turn)


def inject(fault: Fault, bench: Bench) -> Outcome:
    """Carries out a fault in a folder of its own; whatever happens comes back as an outcome."""
    began = time.monotonic()
    workdir = bench.folder / f"seed-{fault.seed}" / "run"
    choose = random.Random(fault.seed)
    try:
        found = KINDS[fault.kind](bench, workdir, fault, choose)
        survived = found.lost == 0 and found.bitwise is not False
    except Exception as error:
        note = f"{type(error).__name__}: {' '.join(str(error).split())[:1000]}"
        found, survived = Verdict(0, False, note), False
    shutil.rmtree(workdir.parent, ignore_errors=True)
    seconds = round(time.monotonic() - began, 1)
    return Outcome(fault, survived, found.lost, found.bitwise, found.faults, seconds, found.note)
