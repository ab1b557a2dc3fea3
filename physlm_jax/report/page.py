"""One self-contained HTML page of outcomes: a pure function of the ledger.

No script, no request, no clock: the same outcomes give the same bytes. All text is escaped by
Jinja; drawings come as SVG whose text is escaped where it is made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from physlm_jax.files import write_text
from physlm_jax.report import charts, drawings, numbers
from physlm_jax.studies import claim as claims
from physlm_jax.studies import exhibits, plain
from physlm_jax.studies.claim import Outcome
from physlm_jax.studies.exhibits import Exhibit, Figure

GLYPHS = dict(zip(claims.VERDICTS, "●◐○–", strict=True))
SCALE_WORDS = {
    "laptop": "a few processor cores, minutes: shows the direction",
    "gpu": "one accelerator, about ten minutes a claim: shows the number",
    "paper": "the paper's own settings",
}


@dataclass(frozen=True)
class Row:
    """A row of a claim's table, as text; `strip` draws value, interval and the paper's figure."""

    figure: Figure
    paper: str
    value: str
    interval: str
    difference: str
    strip: Markup


def write(path: str | Path, outcomes: Sequence[Outcome]) -> Path:
    """Writes the page of the outcomes, whole or not at all; returns its path.

    Raises:
        InputError: the place cannot be written, or the disk is full.
    """
    write_text(Path(path), render(outcomes))
    return Path(path)


def render(outcomes: Sequence[Outcome]) -> str:
    """Returns the page as HTML; sections follow the order of the outcomes."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    helpers = [rows, legend, draw, kind, sides, duration, folded, anchor, headline]
    environment.globals.update({f.__name__: f for f in helpers})
    environment.globals.update(numbers=numbers, classes=drawings.CLASSES, glyphs=GLYPHS)
    folder = resources.files("physlm_jax.report")
    template = environment.from_string((folder / "page.html").read_text("utf-8"))
    return template.render(
        style=Markup((folder / "style.css").read_text("utf-8")),
        groups=[
            (s, by_paper([*g])) for s, g in groupby(outcomes, key=lambda o: (o.study, o.scale))
        ],
        counts=[(v, sum(o.verdict == v for o in outcomes)) for v in claims.VERDICTS],
        facts=facts(outcomes),
        scale_words=SCALE_WORDS,
    )


def by_paper(outcomes: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    """Returns the outcomes of each paper, papers in the order in which they come first."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.paper, []).append(outcome)
    return [*found.items()]


def facts(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """Returns when, at which commit and on what the outcomes were measured."""
    known = [o.provenance for o in outcomes if o.provenance]
    days = sorted({p.date[:10] for p in known})
    found = {
        "measured": " to ".join(days[:: max(1, len(days) - 1)]),
        "commit": _listed(p.commit for p in known),
        "device": _listed(p.device for p in known),
        "jax": _listed(p.versions.get("jax", "") for p in known),
    }
    return [(name, text) for name, text in found.items() if text]


def _listed(values: Iterable[str]) -> str:
    """The distinct values in order of appearance; of many, the first three and how many more."""
    distinct = list(dict.fromkeys(v for v in values if v))
    more = f" and {len(distinct) - 3} more" if len(distinct) > 3 else ""
    return ", ".join(distinct[:3]) + more


def rows(figures: Sequence[Figure]) -> list[Row]:
    """Returns the table of a claim's figures."""
    return [_row(f, s) for f, s in zip(figures, drawings.strips(figures), strict=True)]


def headline(outcome: Outcome) -> Row | None:
    """Returns the row that stands for a claim in the summary, if anything was measured."""
    figure = outcome.measurement.headline if outcome.measurement else None
    return _row(figure, Markup("")) if figure else None


def _row(figure: Figure, strip: Markup) -> Row:
    places = numbers.decimals(figure)
    paper, difference = "", ""
    if figure.paper is not None:
        paper = numbers.plain(figure.paper)
        difference = numbers.fixed(figure.value - figure.paper, places, signed=True)
    value = numbers.fixed(figure.value, places)
    return Row(figure, paper, value, numbers.interval(figure, places), difference, strip)


def kind(exhibit: Exhibit) -> str:
    """Returns the exhibit's kind, by which the template chooses how to show it."""
    return str(plain.encode(exhibit)["kind"])


def draw(exhibit: Any) -> Markup:
    """Returns the SVG of a curve, bars or a tree."""
    drawing: dict[str, Callable[[Any], Markup]]
    drawing = {"curve": charts.curve, "bars": charts.bars, "tree": drawings.tree}
    return drawing[kind(exhibit)](exhibit)


def legend(exhibit: Any) -> list[tuple[str, str, str]]:
    """Returns (colour, shape, words) for each thing that a drawing must explain."""
    if kind(exhibit) == "tree":
        return _tree_legend(exhibit)
    mark = "line" if kind(exhibit) == "curve" else "box"
    entries = [
        (slot, f"{mark} {series.role}", series.name)
        for slot, series in zip(charts.slots(exhibit.series), exhibit.series, strict=True)
    ]
    levels = [("ink", "level", f"{lv.name}: {numbers.compact(lv.y)}") for lv in exhibit.levels]
    paper = [("paper", "diamond", "paper")] if any(s.paper for s in exhibit.series) else []
    return [*entries, *levels, *paper]


def _tree_legend(exhibit: exhibits.Tree) -> list[tuple[str, str, str]]:
    words = {True: "probe right", False: "probe wrong", None: "not tested"}
    counts = {v: sum(node.right is v for node in exhibit.nodes) for v in words}
    return [("", f"node {drawings.CLASSES[v]}", f"{words[v]}: {n}") for v, n in counts.items() if n]


def sides(table: exhibits.Table) -> list[str]:
    """Returns a class per column: 'r', set to the right, where it holds numbers alone."""
    kinds = [{type(row[i]) for row in table.rows} for i in range(len(table.columns))]
    return ["r" if seen <= {int, float, type(None)} else "" for seen in kinds]


def duration(seconds: float) -> str:
    """Returns a wall time in the two units that matter: 45 s, 12 min 5 s, 3 h 20 min."""
    s = round(seconds)
    if s < 60:
        return f"{seconds:.3g} s"
    return f"{s // 60} min {s % 60} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60} min"


def folded(config: Any) -> str:
    """Returns a run's config as indented JSON."""
    return json.dumps(config, indent=2, ensure_ascii=False)


def anchor(outcome: Outcome) -> str:
    """Returns the id of a claim's section on the page."""
    return f"{outcome.study}-{outcome.scale}-{outcome.id}"
