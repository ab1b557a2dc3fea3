"""Small exact drawings written as SVG by hand: the parse tree, and the interval of a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from physlm_jax.studies.exhibits import Figure, Node, Tree

ROW, PILL, GUTTER, MARGIN = 50, 24, 64, 8  # pixels
CLASSES = {True: "right", False: "wrong", None: "open"}


def tree(exhibit: Tree) -> Markup:
    """Returns a parse tree: tokens on the bottom row, a row per level, coloured by the verdict."""
    pitch = 36 if len(exhibit.tokens) <= 20 else 30
    width = GUTTER + pitch * len(exhibit.tokens) + MARGIN
    height = MARGIN + ROW * len(exhibit.levels) + 30
    parts = [
        *_level_names(exhibit, width),
        *_edges(exhibit, pitch),
        *(_node(node, pitch) for node in exhibit.nodes),
        *(_leaf(exhibit, i, pitch) for i in range(len(exhibit.tokens))),
    ]
    head = Markup('<svg class="tree" role="img" aria-label="{}" width="{}" height="{}">')
    return head.format(exhibit.title, width, height) + Markup("").join(parts) + Markup("</svg>")


def _x(start: int, stop: int, pitch: int) -> float:
    return GUTTER + pitch * (start + stop) / 2


def _y(level: int) -> float:
    return MARGIN + ROW * level + PILL / 2


def _level_names(exhibit: Tree, width: int) -> list[Markup]:
    line = Markup(
        '<line class="row" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="level" x="0" y="{}">{}'
        "</text>"
    )
    rows = [(name, _y(i)) for i, name in enumerate(exhibit.levels)]
    return [line.format(GUTTER, width, y, y, y + 4, name) for name, y in rows]


def _edges(exhibit: Tree, pitch: int) -> list[Markup]:
    leaf_row = len(exhibit.levels)
    ends = [(n.level, n.start, n.stop) for n in exhibit.nodes]
    ends += [(leaf_row, i, i + 1) for i in range(len(exhibit.tokens))]
    path = Markup('<path class="edge" d="M{:g} {:g}C{:g} {:g} {:g} {:g} {:g} {:g}"/>')
    drawn = []
    for level, start, stop in ends:
        parent = parent_of(exhibit.nodes, level, start, stop)
        if parent is not None:
            x0, y0 = _x(parent.start, parent.stop, pitch), _y(parent.level) + PILL / 2
            x1, y1 = _x(start, stop, pitch), _y(level) - PILL / 2
            middle = (y0 + y1) / 2
            drawn.append(path.format(x0, y0, x0, middle, x1, middle, x1, y1))
    return drawn


def parent_of(nodes: Sequence[Node], level: int, start: int, stop: int) -> Node | None:
    """Returns the lowest node above `level` whose tokens include start..stop-1, if there is one."""
    above = [n for n in nodes if n.level < level and n.start <= start and stop <= n.stop]
    return max(above, key=lambda n: n.level, default=None)


def _node(node: Node, pitch: int) -> Markup:
    room = pitch * (node.stop - node.start) - 4
    width = min(room, max(30, 8 * len(node.label) + 14))
    label = (
        node.label if 8 * len(node.label) <= width else node.label[: max(1, width // 8 - 1)] + "…"
    )
    x, y = _x(node.start, node.stop, pitch), _y(node.level)
    corner = 2 if node.right is False else PILL / 2  # told by shape as well as by colour
    shape = Markup(
        '<g class="node {}"><title>{}</title><rect x="{:g}" y="{:g}" width="{:g}" height="{}"'
        ' rx="{:g}"/><text x="{:g}" y="{:g}">{}</text></g>'
    )
    box = (x - width / 2, y - PILL / 2, width, PILL, corner)
    return shape.format(CLASSES[node.right], _hover(node), *box, x, y + 4, label)


def _hover(node: Node) -> str:
    word = {True: "right", False: "wrong", None: "not tested"}[node.right]
    return f"{node.label}, tokens {node.start + 1} to {node.stop}: {node.hover or word}"


def _leaf(exhibit: Tree, i: int, pitch: int) -> Markup:
    leaf = Markup('<g class="leaf"><title>token {}</title><text x="{:g}" y="{:g}">{}</text></g>')
    return leaf.format(i + 1, _x(i, i + 1, pitch), _y(len(exhibit.levels)) + 1, exhibit.tokens[i])


STRIP, HALF = 132, 9  # a strip's width and half its height in pixels


def strips(figures: Sequence[Figure]) -> list[Markup]:
    """Returns a strip per figure: dot = value, line = interval, diamond = the paper's.

    Our figures of one unit share an axis, from the least to the greatest number among them; what
    they are compared with would squeeze them and gets '', as does a unit whose numbers all agree.
    """
    spans: dict[str, tuple[float, float]] = {}
    for figure in (f for f in figures if f.role == "ours"):
        low, high = spans.get(figure.unit, (math.inf, -math.inf))
        seen = _finite(figure)
        spans[figure.unit] = (min([low, *seen]), max([high, *seen]))
    return [_strip(f, *spans[f.unit]) if f.role == "ours" else Markup("") for f in figures]


def _finite(figure: Figure) -> list[float]:
    numbers = (figure.value, figure.low, figure.high, figure.paper)
    return [v for v in numbers if v is not None and math.isfinite(v)]


def _strip(figure: Figure, low: float, high: float) -> Markup:
    if not high > low or not math.isfinite(figure.value):
        return Markup("")

    def x(value: float) -> float:  # an infinite end of an interval stops at the axis's end
        return 8 + (STRIP - 16) * (min(max(value, low), high) - low) / (high - low)

    parts = [f'<line class="axis" x1="0" x2="{STRIP}" y1="{HALF}" y2="{HALF}"/>']
    if figure.low is not None and figure.high is not None:
        ends = f'x1="{x(figure.low):.1f}" x2="{x(figure.high):.1f}"'
        parts.append(f'<line class="range" {ends} y1="{HALF}" y2="{HALF}"/>')
    parts.append(f'<circle cx="{x(figure.value):.1f}" cy="{HALF}" r="4"/>')
    if figure.paper is not None and math.isfinite(figure.paper):
        at = x(figure.paper)
        parts.append(f'<path d="M{at:.1f} {HALF - 6}l6 6l-6 6l-6-6z"/>')
    size = f'width="{STRIP}" height="{2 * HALF}"'
    return Markup(f'<svg class="strip" aria-hidden="true" {size}>{"".join(parts)}</svg>')
