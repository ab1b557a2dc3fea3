"""Drawings: exact geometry of the tree and the strips, charts of odd data, the same bytes."""

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest

from physlm_jax.report import charts, drawings, numbers, page
from physlm_jax.studies.exhibits import Bars, Curve, Figure, Level, Node, Series, Table, Tree

TREE = Tree(
    "t",
    ("1", "2", "3", "1", "2"),
    (
        Node("9", 0, 0, 5, True, "the root"),
        Node("7", 1, 0, 3, False),
        Node("8", 1, 3, 5),
    ),
    ("NT1", "NT2"),
)


def parsed(svg) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg))


def numbers_of(element, *names):
    return tuple(float(element.get(name)) for name in names)


def test_a_node_stands_in_the_middle_of_its_tokens_on_its_level():
    root = parsed(drawings.tree(TREE))
    leaves = [float(t.get("x")) for t in root.findall("g[@class='leaf']/text")]
    gaps = {b - a for a, b in itertools.pairwise(leaves)}
    assert len(leaves) == 5 and len(gaps) == 1
    groups = [g for g in root.findall("g") if g.get("class", "").startswith("node")]
    for node, group in zip(TREE.nodes, groups, strict=True):
        x, y, width, height = numbers_of(group.find("rect"), "x", "y", "width", "height")
        assert x + width / 2 == pytest.approx(sum(leaves[node.start : node.stop]) / (
            node.stop - node.start))  # fmt: skip
        row = float(root.findall("line[@class='row']")[node.level].get("y1"))
        assert y + height / 2 == row
    assert [g.get("class") for g in groups] == ["node right", "node wrong", "node open"]
    assert [g.find("title").text for g in groups] == [
        "9, tokens 1 to 5: the root",
        "7, tokens 1 to 3: wrong",
        "8, tokens 4 to 5: not tested",
    ]


def test_every_node_and_leaf_hangs_on_its_parent():
    edges = parsed(drawings.tree(TREE)).findall("path[@class='edge']")
    assert len(edges) == 2 + 5  # both nodes of the second row, and all tokens
    assert drawings.parent_of(TREE.nodes, 1, 0, 3).label == "9"
    assert drawings.parent_of(TREE.nodes, 2, 3, 4).label == "8"
    assert drawings.parent_of(TREE.nodes, 0, 0, 5) is None


def test_a_label_never_leaves_the_room_of_its_tokens():
    tree = Tree("t", ("1", "2"), (Node("a very long label", 0, 0, 1),), ("NT",))
    group = parsed(drawings.tree(tree)).find("g[@class='node open']")
    assert group.find("text").text.endswith("…") and len(group.find("text").text) <= 5
    assert "a very long label" in group.find("title").text
    assert float(group.find("rect").get("width")) < 36


def test_the_legend_of_a_tree_counts_its_verdicts():
    assert [words for _, _, words in page.legend(TREE)] == [
        "probe right: 1",
        "probe wrong: 1",
        "not tested: 1",
    ]


def test_strips_share_an_axis_per_unit_and_leave_controls_out():
    figures = [
        Figure("a", 50.0, 40.0, 60.0, paper=80.0, unit="%"),
        Figure("b", 80.0, unit="%"),
        Figure("c", 0.0, unit="%", role="control"),
        Figure("d", 1.0, unit="bits"),
        Figure("e", math.nan, unit="%"),
    ]
    a, b, *rest = drawings.strips(figures)
    left, right = 8, drawings.STRIP - 8  # where 40 and 80 lie
    x1, x2 = numbers_of(parsed(a).find("line[@class='range']"), "x1", "x2")
    assert (x1, x2) == pytest.approx((left, (left + right) / 2))
    assert float(parsed(a).find("circle").get("cx")) == pytest.approx(left + (right - left) / 4)
    assert parsed(a).find("path").get("d").startswith(f"M{right:.1f} ")
    assert float(parsed(b).find("circle").get("cx")) == pytest.approx(right)
    assert rest == ["", "", ""]


CURVE = Curve(
    "Loss $x^2$",
    (Series("a", (1.0, 0.5, 0.1), (10, 100, 1000)), Series("b", (1, 1, 1), (10, 100, 1000))),
    "tokens",
    "nats",
    x_log=True,
    y_log=True,
    levels=(Level("floor", 0.05),),
)


def test_the_same_exhibit_gives_the_same_bytes_whatever_the_users_settings():
    first = charts.curve(CURVE)
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "svg.fonttype": "path"}):
        assert charts.curve(CURVE) == first
    assert "20" + "26" not in first  # no date


def test_colours_are_the_pages_and_text_is_text():
    svg = charts.curve(CURVE)
    assert "#0000" not in svg and "DejaVu" not in svg
    assert "var(--s0)" in svg and "var(--s1)" in svg and "var(--sans)" in svg
    assert ">tokens</text>" in svg and ">100</text>" in svg
    assert not re.search(r"<style|<metadata|\bid=\"(figure|axes|patch)", svg)
    parsed(svg)


def test_a_dollar_or_a_backslash_in_a_name_is_no_formula():
    svg = charts.bars(Bars("t", (r"$\frac", "a_b"), (Series("s", (1, 2)),), r"$y$ \x"))
    assert r">$\frac</text>" in svg and r">$y$ \x</text>" in svg


@pytest.mark.parametrize(
    "y", [(), (math.nan, None, 1.0), (math.inf, 2.0, -1.0), (0.0, 0.0, 0.0), (None, None, None)]
)
@pytest.mark.parametrize("log", [False, True])
def test_odd_data_is_drawn_without_a_warning(y, log, recwarn):
    series = Series("s", y, tuple(range(len(y))), low=y, high=y, paper=y)
    parsed(charts.curve(Curve("c", (series,), "x", "y", x_log=log, y_log=log)))
    groups = tuple(f"g{i}" for i in range(len(y)))
    parsed(charts.bars(Bars("b", groups, (Series("s", y, low=y, high=y, paper=y),), "y")))
    assert not recwarn.list


def test_layers_are_counted_in_whole_numbers():
    svg = charts.curve(Curve("c", (Series("s", (1, 2, 3, 4), (0, 1, 2, 3)),), "layer", "y"))
    assert ">1</text>" in svg and ">0.5</text>" not in svg


def test_many_bars_are_drawn_wide():
    few = Bars("b", ("a", "b"), (Series("s", (1, 2)),), "y")
    many = Bars("b", tuple("abcdefgh"), (Series("s", (1,) * 8),) * 5, "y")
    assert "wide" not in charts.bars(few) and 'class="chart wide"' in charts.bars(many)


def test_colours_of_roles():
    series = [Series("x", (), role=r) for r in ("ours", "truth", "ours", "control")]
    assert charts.slots(series) == ["s0", "ink", "s1", "muted"]


def test_columns_of_numbers_are_set_to_the_right():
    table = Table("t", ("a", "b", "c", "d"), ((1, "x", True, None), (None, 2, False, 0.5)))
    assert page.sides(table) == ["r", "", "", "r"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(2_500_000, "2.5M"), (40_000, "40k"), (9999, "9999"), (0.004, "0.004"), (-3, "−3"),
     (1e-7, "1e−7"), (0, "0"), (3e9, "3G")],
)  # fmt: skip
def test_compact(value, text):
    assert numbers.compact(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(99.8, "99.8"), (0.00008, "0.00008"), (100.0, "100"), (12345, "12\u202f345"), (-1.5, "−1.5")],
)
def test_plain(value, text):
    assert numbers.plain(value) == text


def test_fixed():
    assert numbers.fixed(-0.04, 1) == "0.0"  # no minus before a zero
    assert numbers.fixed(0.3, 1, signed=True) == "+0.3"
    assert [numbers.fixed(v, 1) for v in (math.nan, math.inf)] == ["not a number", "∞"]


def test_what_we_compare_with_can_be_told_apart_in_legend_and_bars():
    roles = ("ours", "baseline", "control")
    exhibit = Bars("t", ("a",), tuple(Series(r, (1.0,), role=r) for r in roles), "y")
    assert [shape for _, shape, _ in page.legend(exhibit)] == [f"box {r}" for r in roles]
    svg = charts.bars(exhibit)
    assert "opacity: 0.8" in svg and "opacity: 0.4" in svg
