"""python -m physlm_jax.report: the page and its lines, or one line and exit code 2."""

import subprocess
import sys

import pytest

from physlm_jax.report import ledger, page
from physlm_jax.report.summary import table_lines
from physlm_jax.studies.claim import Outcome, Provenance
from physlm_jax.studies.exhibits import (
    Curve,
    Figure,
    Measurement,
    Node,
    Sample,
    Series,
    Table,
    Text,
    Tree,
)


def outcome(i: int = 0, exhibits=()) -> Outcome:
    made = Provenance({"run": {"a": 1}}, (0,), "abc", "1 x CPU", "2026-01-02T03:04:05Z", {}, "x", 1)
    figures = (Figure("accuracy", 98.0, 97.0, 99.0, n=100, paper=99.8, unit="%"),)
    words = ("p", "It learns.", "Table 1", "99.8 %", "accuracy", "above 95")
    measurement = Measurement(figures, exhibits)
    return Outcome("old", "gpu", f"c{i}", *words, "reproduced", "", measurement, made)


def report(tmp_path, *flags):
    command = [sys.executable, "-m", "physlm_jax.report", *flags]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)


def test_the_page_of_a_ledger(tmp_path):
    ledger.write(tmp_path / "results", outcome())
    done = report(tmp_path, "--out=r.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "page: r.html"
    assert "old/gpu/c0" in done.stdout and "It learns." in (tmp_path / "r.html").read_text()


def test_a_damaged_ledger_is_one_line_and_no_page(tmp_path):
    ledger.write(tmp_path / "results", outcome()).write_text("{")
    done = report(tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "c0.json" in done.stderr and not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("place", ["", "old/laptop"])
def test_nothing_to_show_is_said(tmp_path, place):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    with pytest.raises(ledger.InputError, match="no outcome in"):
        ledger.whole(tmp_path)
    with pytest.raises(ledger.InputError, match="no folder of results"):
        ledger.whole(tmp_path / "nowhere")


def test_a_page_of_ten_rich_claims_is_below_a_megabyte():
    x = tuple(range(1, 201))
    curve = Curve(
        "c", tuple(Series(f"s{i}", tuple(i / v for v in x), x) for i in range(5)), "x", "y"
    )
    nodes = tuple(Node("12", 0, 3 * i, 3 * i + 3, True, "NT6 symbol 12") for i in range(100))
    tree = Tree("t", ("1",) * 300, nodes, ("NT6",))
    text = Text("t", tuple(Sample("1 2 3 " * 50, True) for _ in range(10)))
    html = page.render([outcome(i, (curve, curve, tree, text)) for i in range(10)])
    assert len(html.encode()) < 1_000_000


def test_tables_as_lines():
    table = Table("Solved", ("run", "op=1"), (("a", 99.5), ("long name", None)))
    lines = table_lines([outcome(0, (table,)), outcome(1, (table,))])
    assert lines == ["", "Solved", "run        op=1", "a          99.5", "long name  -"]
