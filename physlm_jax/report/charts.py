"""Curves and bars as inline SVG that follows the page's light or dark colours.

Matplotlib draws with stand-in colours, each of which is replaced by a CSS variable of the page.
Text stays text, in the page's font; legends are HTML beside the drawing, where they can wrap. The
same exhibit gives the same bytes: no date, and ids hashed with a fixed salt.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from physlm_jax.report.numbers import compact
from physlm_jax.studies.exhibits import Bars, Curve, Level, Numbers, Series

SLOTS = 8  # colours for our own series; see style.css
_STAND_INS = {
    **{f"#0000{0x10 + i:02x}": f"s{i}" for i in range(SLOTS)},
    **{f"#00000{i + 1}": name for i, name in enumerate(["ink", "muted", "grid", "paper", "card"])},
}
_COLOURS = {name: stand_in for stand_in, name in _STAND_INS.items()}
_DASHES = {"ours": "-", "baseline": "--", "control": "-.", "truth": ":", "paper": "--"}
_ALPHA = {"baseline": 0.8, "control": 0.4}  # of bars; style.css has the same for legends
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a '$' in a name is a '$'
    "font.family": "DejaVu Sans",  # ships with matplotlib, and wide: real fonts fit its layout
    "font.size": 12,
    "axes.edgecolor": _COLOURS["muted"],
    "axes.labelcolor": _COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "grid.color": _COLOURS["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": _COLOURS["muted"],
    "ytick.color": _COLOURS["muted"],
    "text.color": _COLOURS["ink"],
    "ytick.major.size": 0,
    "xtick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}
WIDTH, HEIGHT = 480, 300  # CSS pixels at full size


def slots(series: Sequence[Series]) -> list[str]:
    """Returns each series' colour variable: s0, s1, ... for ours, fixed ones for other roles."""
    fixed = {"truth": "ink", "paper": "paper", "baseline": "muted", "control": "muted"}
    ours = iter(range(len(series)))
    return [fixed.get(s.role) or f"s{next(ours) % SLOTS}" for s in series]


def curve(exhibit: Curve) -> Markup:
    """Returns the drawing of a `Curve`."""

    def draw(axes: Axes) -> None:
        for series, slot in zip(exhibit.series, slots(exhibit.series), strict=True):
            _line(axes, series, _COLOURS[slot])
        axes.set_xlabel(exhibit.x_name)
        axes.set_ylabel(exhibit.y_name)
        points = _points(exhibit)
        # Logarithms of nothing cannot be drawn; then the axes stay as they are.
        _scale_axis(axes.set_xscale, axes.xaxis, exhibit.x_log and bool(points))
        if not exhibit.x_log and all(x.is_integer() for x, _ in points):
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))  # layers, rounds
        _scale_axis(axes.set_yscale, axes.yaxis, exhibit.y_log and bool(points))
        _levels(axes, exhibit.levels)

    return _svg(exhibit.title, WIDTH, draw)


def _points(exhibit: Curve) -> list[tuple[float, float]]:
    """The points that can be drawn: finite, and positive along a logarithmic axis."""
    least_x, least_y = (0.0 if log else -math.inf for log in (exhibit.x_log, exhibit.y_log))
    pairs = [p for s in exhibit.series for p in zip(_floats(s.x), _floats(s.y), strict=False)]
    return [(x, y) for x, y in pairs if x > least_x and y > least_y]


def _line(axes: Axes, series: Series, colour: str) -> None:
    x, y = _floats(series.x), _floats(series.y)
    (line,) = axes.plot(x, y, _DASHES[series.role], color=colour, linewidth=1.9, markersize=4)
    if len(x) <= 15:
        line.set_marker("o")
    if series.low and series.high:
        low, high = _floats(series.low), _floats(series.high)
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    if series.paper:
        _paper_marks(axes, x, _floats(series.paper))


def bars(exhibit: Bars) -> Markup:
    """Returns the drawing of `Bars`; wide where there are many."""
    count = len(exhibit.groups) * max(1, len(exhibit.series))

    def draw(axes: Axes) -> None:
        for i, slot in enumerate(slots(exhibit.series)):
            _bar_series(axes, exhibit, i, _COLOURS[slot], numbered=count <= 16)
        axes.set_xticks(range(len(exhibit.groups)), exhibit.groups)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel(exhibit.y_name)
        axes.yaxis.set_major_formatter(_formatter)
        axes.margins(y=0.12)
        _levels(axes, exhibit.levels)

    names = sum(len(group) + 2 for group in exhibit.groups)
    return _svg(exhibit.title, max(WIDTH, 90 + 15 * count, 70 + 7 * names), draw)


def _bar_series(axes: Axes, exhibit: Bars, i: int, colour: str, numbered: bool) -> None:
    series, width = exhibit.series[i], 0.8 / len(exhibit.series)
    x = [g + (i - (len(exhibit.series) - 1) / 2) * width for g in range(len(exhibit.groups))]
    y = _floats(series.y)
    axes.bar(x, y, width * 0.88, color=colour, alpha=_ALPHA.get(series.role, 1), linewidth=0)
    tops = [max((v for v in vs if math.isfinite(v)), default=0.0) for vs in _columns(series)]
    if series.low and series.high:
        axes.vlines(x, _floats(series.low), _floats(series.high), _COLOURS["ink"], linewidth=1.2)
    if series.paper:
        _paper_marks(axes, x, _floats(series.paper))
    lift = (0, 6 if series.paper else 3)  # points; over the paper's mark
    for at, value, top in zip(x, y, tops, strict=True):
        if numbered and math.isfinite(value):
            axes.annotate(
                compact(float(f"{value:.3g}")),
                xy=(at, top),
                xytext=lift,
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=10.5,
            )


def _columns(series: Series) -> list[tuple[float, ...]]:
    """What stands at each group: the bar, the end of its interval, the paper's mark."""
    rows = [_floats(values) for values in (series.y, series.high, series.paper) if values]
    return list(zip(*rows, strict=True))


def _paper_marks(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    face, edge = _COLOURS["card"], _COLOURS["paper"]
    axes.plot(x, y, "D", markersize=5.5, mfc=face, mec=edge, mew=1.6, zorder=5, clip_on=False)


def _levels(axes: Axes, levels: Sequence[Level]) -> None:
    for level in levels:
        if math.isfinite(level.y):
            axes.axhline(level.y, color=_COLOURS["ink"], linewidth=1, linestyle=(0, (2, 2)))


def _floats(values: Numbers) -> list[float]:
    """The values with what is missing or infinite as NaN, which is drawn as nothing."""
    return [float(v) if v is not None and math.isfinite(v) else math.nan for v in values]


_formatter = FuncFormatter(lambda value, _: compact(float(f"{value:.10g}")))


def _scale_axis(set_scale: Callable[..., None], axis: Any, is_log: bool) -> None:
    if is_log:
        set_scale("log", nonpositive="mask")
        axis.set_major_locator(LogLocator(numticks=7))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(_formatter)


def _svg(title: str, width: float, draw: Callable[[Axes], None]) -> Markup:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own settings must not change the page
        matplotlib.rcParams.update({**_SETTINGS, "svg.hashsalt": title})
        canvas = Canvas(figsize=(width / 72, HEIGHT / 72), layout="constrained")
        canvas.patch.set_visible(False)
        axes = canvas.add_subplot()
        axes.patch.set_visible(False)
        draw(axes)
        buffer = io.StringIO()
        FigureCanvasSVG(canvas).print_svg(buffer, metadata={"Date": None})
    return _inline(buffer.getvalue(), title, width)


def _inline(text: str, title: str, width: float) -> Markup:
    """The drawing alone: no prolog, no metadata, no style for all of the page, no group ids."""
    body = text[text.index(">", text.index("<svg ")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
    body = re.sub(r'style="[^"]*"', _recolour, body)
    body = re.sub(r">\s+<", "><", body)
    wide = " wide" if width > WIDTH else ""
    head = f'<svg class="chart{wide}" role="img" aria-label="{escape(title)}"'
    size = f'viewBox="0 0 {width:g} {HEIGHT}" style="--width: {width:g}px">'
    return Markup(f"{head} {size}{body}")


def _recolour(style: re.Match[str]) -> str:
    text = re.sub(r"#0000[0-9a-f]{2}", lambda m: f"var(--{_STAND_INS[m[0]]})", style[0])
    return re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", text)  # in font or in font-family
