"""The fault suite: one fault per seed, a table, and the outcomes as JSON.

    launch/local.sh faults [--seeds=100] [--first=0] [--kind=kill] [--out=results/faults.json]

Exit code 1 if a run did not survive its fault, lost a step beyond the last checkpoint or ended with
other bits than undisturbed.
"""

import argparse
import dataclasses
import datetime
import json
import logging
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import absl.logging
import jax
from injection import KINDS, Outcome, draw, inject
from trial import ROOT, Bench

from physlm_jax.files import write_text

PACKAGES = ("jax", "jaxlib", "flax", "orbax-checkpoint", "grain", "numpy")


def flags() -> argparse.Namespace:
    """Returns the command line."""
    parser = argparse.ArgumentParser(prog="local.sh faults", description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=100, help="how many faults are drawn")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kind", choices=[*KINDS], help="only faults of this kind")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "faults.json")
    return parser.parse_args()


def table(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Returns the rows of the table, its head first and the sum of all kinds last."""
    rows = [["fault", "seeds", "injected", "survived", "steps lost", "same bits", "other devices"]]
    for kind in [*KINDS, ""]:
        found = [o for o in outcomes if kind in ("", o.fault.kind)]
        if not found:
            continue
        checked = [o for o in found if o.bitwise is not None]
        rows.append(
            [
                kind or "all",
                str(len(found)),
                str(sum(o.faults for o in found)),
                str(sum(o.faults for o in found if o.survived)),
                str(sum(o.steps_lost for o in found)),
                f"{sum(bool(o.bitwise) for o in checked)} of {len(checked)}",
                str(len(found) - len(checked)),
            ]
        )
    return rows


def text(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def record(outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """Returns what results/faults.json holds."""
    checked = [o for o in outcomes if o.bitwise is not None]
    return {
        "seeds": len(outcomes),
        "faults": sum(o.faults for o in outcomes),
        "survived": sum(o.faults for o in outcomes if o.survived),
        "steps_lost_beyond_the_last_checkpoint": sum(o.steps_lost for o in outcomes),
        "bitwise_checks": len(checked),
        "bitwise_checks_passed": sum(bool(o.bitwise) for o in checked),
        "resumed_on_other_devices_within_1e-4": len(outcomes) - len(checked),
        "table": table(outcomes),
        "provenance": {
            "command": shlex.join(["./launch/local.sh", "faults", *sys.argv[1:]]),
            "commit": commit(),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds),
            "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
            "python": platform.python_version(),
            "packages": {name: version(name) for name in PACKAGES},
        },
        "outcomes": [{**dataclasses.asdict(o.fault), **_plain(o)} for o in outcomes],
    }


def _plain(outcome: Outcome) -> dict[str, Any]:
    fields = dataclasses.asdict(outcome)
    del fields["fault"]
    return fields


def commit() -> str:
    """The commit of the code that ran; "-dirty" if package, tests or launchers differ."""

    def git(*command: str) -> str:
        done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    dirty = git("status", "--porcelain", "--", "physlm_jax", "tests", "launch", "configs")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if dirty else "")


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> int:
    """Runs the suite."""
    chosen = flags()
    jax.config.update("jax_platforms", "cpu")  # this process only reads checkpoints
    absl.logging.set_verbosity(absl.logging.FATAL)
    logging.getLogger("physlm_jax").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    began, outcomes = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="physlm-faults-") as folder:
        bench = Bench(Path(folder))
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            fault = draw(seed)
            if chosen.kind not in (None, fault.kind):
                continue
            found = inject(fault, bench)
            outcomes.append(found)
            verdict = "survived" if found.survived else "FAILED"
            print(
                f"{seed:4d} {fault.kind}: {verdict}; {found.note}".replace(folder, ""), flush=True
            )
    print("\n" + text(table(outcomes)))
    write_text(chosen.out, json.dumps(record(outcomes, time.monotonic() - began), indent=1) + "\n")
    print(f"\nwritten: {chosen.out}")
    return 0 if all(o.survived for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
