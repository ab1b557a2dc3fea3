"""A fit report for people: one page for one report, a Markdown table for a folder of them."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from physlm_jax.errors import InputError
from physlm_jax.parallel.chips import GIB
from physlm_jax.parallel.roofline import Roofline
from physlm_jax.training.fit import Memory, Report, Traffic

COLUMNS = (
    "config",
    "slice",
    "mesh",
    "rows/chip",
    "state GiB",
    "temporary GiB",
    "total GiB",
    "of",
    "network GiB (on paper)",
    "bound ms",
    "by",
    "MFU <=",
    "tokens/s/chip <=",
    "verdict",
)


def page(report: Report) -> str:
    """Returns the report as text."""
    head = (
        f"{report.name}: {_members(report)}{report.parameters / 1e6:,.1f} M parameters "
        f"on {report.topology} ({report.chips} chips, {report.mesh})\n"
        f"batch {report.batch} x {report.length} tokens, {report.rows_per_chip:g} rows per chip"
        + (f", {report.accumulation} micro-batches" if report.accumulation > 1 else "")
    )
    parts = [head]
    if report.memory:
        parts.append(_memory(report.memory))
    if report.roofline:
        parts += [_work(report), _collectives(report.traffic), _speed(report, report.roofline)]
    parts += [f"note: {note}" for note in report.notes]
    return "\n\n".join([*parts, verdict(report)])


def _members(report: Report) -> str:
    return f"{report.members} members of " if report.members > 1 else ""


def verdict(report: Report) -> str:
    """Returns the last line."""
    if report.fits:
        return "fits"
    return f"does not fit: {report.reason}" + (f"; {report.advice}" if report.advice else "")


def _memory(m: Memory) -> str:
    rest = m.total - m.params - m.optimizer - m.temporary
    rows = (
        ("parameters", m.params),
        ("optimizer", m.optimizer),
        ("activations and other temporaries", m.temporary),
        ("padding, batch, code", rest),
        ("in all", m.total),
        ("of the chip's", m.limit),
    )
    return "memory per chip\n" + "\n".join(f"  {name:<36}{v / GIB:9.3f} GiB" for name, v in rows)


def _work(report: Report) -> str:
    return (
        "work per chip and step\n"
        f"  matrix products    {report.flops / 1e12:10.3f} TFLOP "
        f"(the model's own {report.model_flops / 1e12:.3f})\n"
        f"  memory traffic     {report.hbm / GIB:10.3f} GiB\n"
        f"  network traffic    {report.wire / GIB:10.3f} GiB"
        + (f" (on paper {report.paper_wire / GIB:.3f})" if report.paper_wire else "")
    )


def _collectives(traffic: Sequence[Traffic]) -> str:
    title = ("collective", "of", "in", "over", "times", "largest MiB", "received MiB")
    rows = [
        (
            t.kind,
            t.dtype,
            t.part,
            f"{t.axes or 'none'} ({t.group})",
            f"{t.times:,}",
            f"{t.largest / 2**20:,.3f}",
            f"{t.bytes / 2**20:,.3f}",
        )
        for t in traffic
    ]
    widths = [max(len(r[i]) for r in (title, *rows)) for i in range(len(title))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in (title, *rows)]
    return "\n".join(f"  {line}".rstrip() for line in lines)


def _speed(report: Report, bound: Roofline) -> str:
    return (
        "time per step at least (each resource at its peak, all overlapped)\n"
        f"  compute {bound.compute * 1e3:.2f} ms, memory {bound.memory * 1e3:.2f} ms, "
        f"network {bound.network * 1e3:.2f} ms: bound by {bound.bound}\n"
        f"  so at most {report.tokens_per_second:,.0f} tokens/s "
        f"({report.tokens_per_second / report.chips:,.0f} a chip), MFU {report.mfu:.1%}"
    )


def table(reports: Sequence[Report]) -> str:
    """Returns one Markdown row per report."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *(_row(r) for r in reports)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row(r: Report) -> tuple[str, ...]:
    m, bound = r.memory, r.roofline
    return (
        r.name,
        r.topology,
        r.mesh,
        f"{r.rows_per_chip:g} x {r.length}"
        + (f" / {r.accumulation}" if r.accumulation > 1 else ""),
        f"{(m.params + m.optimizer) / GIB:.2f}" if m else "",
        f"{m.temporary / GIB:.2f}" if m else "",
        f"{m.total / GIB:.2f}" if m else "",
        f"{m.limit / GIB:.2f}" if m else "",
        f"{r.wire / GIB:.2f} ({r.paper_wire / GIB:.2f})" if bound else "",
        f"{bound.step * 1e3:.0f}" if bound else "",
        bound.bound if bound else "",
        f"{r.mfu:.0%}" if bound else "",
        f"{r.tokens_per_second / r.chips:,.0f}" if bound else "",
        "fits" if r.fits else "does not fit",
    )


def as_json(report: Report, provenance: dict[str, Any]) -> str:
    """Returns the report and what it was made with as JSON text."""
    return json.dumps({**dataclasses.asdict(report), "provenance": provenance}, indent=1) + "\n"


def read(folder: Path) -> list[Report]:
    """Returns the reports that a folder holds as JSON, by size of model, chips and name.

    Raises:
        InputError: there is none, or a file is not a report.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(f"no fit reports (*.json) in {folder}")
    reports = [_report(path) for path in files]
    return sorted(reports, key=lambda r: (r.parameters, r.name, r.topology.split(":")[0], r.chips))


def _report(path: Path) -> Report:
    try:
        d = json.loads(path.read_text())
        d.pop("provenance")
        d["memory"] = d["memory"] and Memory(**d["memory"])
        d["roofline"] = d["roofline"] and Roofline(**d["roofline"])
        d["traffic"] = tuple(Traffic(**t) for t in d["traffic"])
        return Report(**{**d, "notes": tuple(d["notes"])})
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a fit report: {error}") from None
