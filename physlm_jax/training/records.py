"""What a run writes while it trains: `metrics.jsonl`, `timing.jsonl` and a progress line.

`metrics.jsonl` holds what is determined by the configuration, so it is bitwise the same however
often the run was killed: on resume, rows at or after the restored step are dropped and written
again. What varies by nature (speed, utilisation, time left) goes to `timing.jsonl`.
"""

import json
import logging
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import jax

from physlm_jax.files import write_text
from physlm_jax.parallel.chips import chip_of

LOG = logging.getLogger(__name__)


def peak_flops(device: jax.Device) -> float | None:
    """Returns the device's peak bfloat16 FLOP/s; None where no data sheet tells (CPUs)."""
    chip = chip_of(device.device_kind)
    return chip.flops if chip else None


def read_rows(path: Path, member: int | None = None) -> list[dict[str, Any]]:
    """Returns the whole rows of a JSON-lines file; a cut or damaged line is left out.

    Args:
        member: of a population: its own values instead of the lists of all members'.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is not complete
    rows = [row for line in lines if (row := _parsed(line))]
    if member is None:
        return rows
    return [
        {key: v[member] if isinstance(v, list) else v for key, v in row.items()} for row in rows
    ]


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The row of a line, None if it is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "step" in row else None


class JsonLines:
    """Appends rows to a file, a line each.

    Args:
        path: the file; None: nothing is written, another process does.
        start: rows whose "step" is at or after this are removed first.
        field: what rows of updates hold, to tell whether all before `start` are there.
    """

    def __init__(self, path: Path | None, start: int, field: str = "") -> None:
        self.file: TextIO | None = None
        if path is None:
            return
        kept = [row for row in read_rows(path) if row["step"] < start]
        found = {row["step"] for row in kept if field in row}
        if field and len(found) < start:
            first = min(set(range(start)) - found)
            LOG.warning(
                "%s lacks the rows of %d of the %d updates before (the first: %d); training goes "
                "on, the rows stay missing",
                path,
                start - len(found),
                start,
                first,
            )
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self.file = path.open("a")

    def write(self, row: dict[str, Any]) -> None:
        """Appends one row and hands it to the operating system."""
        if self.file:
            self.file.write(json.dumps(row, allow_nan=False) + "\n")
            self.file.flush()

    def secure(self) -> None:
        """Waits until the disk has all rows, so that a checkpoint never outlives its rows."""
        if self.file:
            os.fsync(self.file.fileno())

    def close(self) -> None:
        """Closes the file."""
        if self.file:
            self.file.close()


def clock(seconds: float) -> str:
    """Returns a duration as m:ss or h:mm:ss."""
    s = round(seconds)
    return (
        f"{s // 3600}:{s // 60 % 60:02d}:{s % 60:02d}" if s >= 3600 else f"{s // 60}:{s % 60:02d}"
    )


class Progress:
    """Speed, utilisation and time left; a bar on a terminal, now and then a line elsewhere.

    Args:
        what: the run's name.  steps: total updates.  start: updates already done.
        tokens: tokens per update.  flops: floating-point operations per update.
        peak: FLOP/s of all devices together, or None.  silent: `show` shows nothing.
    """

    def __init__(
        self,
        what: str,
        steps: int,
        start: int,
        tokens: int,
        flops: float,
        peak: float | None,
        silent: bool = False,
    ) -> None:
        self.silent = silent
        self.what, self.steps, self.start = what, steps, start
        self.tokens, self.flops, self.peak = tokens, flops, peak
        alone = multiprocessing.parent_process() is None  # else bars would overwrite one another
        self.live = alone and sys.stderr.isatty()
        self.first: tuple[int, float] | None = None
        self.shown = 0.0

    def timing(self, done: int) -> dict[str, Any]:
        """Returns {step, seconds, tokens_per_second, mfu, eta_seconds} after `done` updates.

        The first update, which compiles, is left out of the speed.
        """
        now = time.monotonic()
        if self.first is None:
            self.first = (done, now)
        since, began = self.first
        each = (now - began) / max(done - since, 1)
        speed = self.tokens / each if done > since else 0.0
        used = self.flops / each / self.peak if self.peak and done > since else None
        return {
            "step": done,
            "seconds": round(now - began, 3),
            "tokens_per_second": round(speed, 1),
            "mfu": used and round(used, 4),
            "eta_seconds": round(each * (self.steps - done), 1),
        }

    def show(self, timing: dict[str, Any], loss: float) -> None:
        """Draws the bar on standard error, at most five times a second (every 10 s in a log)."""
        now, done = time.monotonic(), timing["step"]
        last = done == self.steps
        if self.silent or (not timing["tokens_per_second"] and not last):
            return
        if now - self.shown < (0.2 if self.live else 10) and not last:
            return
        self.shown = now
        filled = 24 * done // self.steps
        line = (
            f"{self.what} [{'#' * filled}{'.' * (24 - filled)}] {done}/{self.steps}  "
            f"loss {loss:.4f}  {timing['tokens_per_second']:,.0f} tokens/s  "
            f"left {clock(timing['eta_seconds'])}"
        )
        end = "\n" if last or not self.live else ""
        print(("\r\x1b[K" if self.live else "") + line, end=end, file=sys.stderr, flush=True)
