"""What a probe of the entry point returns, and how it reaches the disk.

A module of this package whose probe can be run by `python -m physlm_jax.probe --probe=<module>` has
- `Settings`, a frozen dataclass with defaults. Each field is a flag, see `fitting.option`;
- `measure(run, settings) -> Measurement`, with `run` as of `training.checkpoint.load_run`. It reads
  `run.config`, `run.model`, `run.params`, `run.world`; for the flag --control, `run.params` are
  those of an untrained model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Cell = str | int | float | None


@dataclass(frozen=True)
class Measurement:
    """A probe's outcome.

    Attributes:
        name: of its file, `probes/<name>.json` in the run's folder; tells the settings apart that
            a reader would keep side by side.
        header, rows: a small table for a person; floats are shares, shown as per cent.
        data: everything, as plain values.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    data: dict[str, Any]

    def table(self) -> str:
        """Returns the table as aligned text."""
        written = [self.header, *([_written(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[j]) for row in written) for j in range(len(self.header))]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in written
        )


def _written(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{100 * cell:.1f} %" if isinstance(cell, float) else str(cell)


def joined(values: Sequence[object]) -> str:
    """Returns values as a part of a file name, e.g. "1+2+3"."""
    return "+".join(str(v) for v in values)
