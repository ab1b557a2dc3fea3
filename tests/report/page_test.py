"""The ledger and the page: round trips, damage, escaping, and what a reader must find."""

import dataclasses
import json
import re

import pytest

from physlm_jax.errors import InputError
from physlm_jax.files import write_text
from physlm_jax.report import ledger, numbers, page
from physlm_jax.report.summary import summary_lines
from physlm_jax.studies import claim as claims
from physlm_jax.studies.claim import Claim, Outcome, Provenance
from physlm_jax.studies.exhibits import (
    Bars,
    Curve,
    Figure,
    Level,
    Measurement,
    Node,
    Sample,
    Series,
    Table,
    Text,
    Tree,
)

EVIL = "<script>alert('&\"')</script>"


def measurement(text: str) -> Measurement:
    """Every kind of exhibit, with `text` in every place that holds one."""
    series = Series(text, (1.0, 2.0), (0.0, 1.0), low=(0.5, 1.5), high=(1.5, 2.5))
    return Measurement(
        (
            Figure(text, 96.9, 96.0, 97.5, n=2000, paper=99.8, unit=text),
            Figure(text + "2", 11.0, role="baseline"),
        ),
        (
            Curve(text, (series,), text, text, levels=(Level(text, 1.0),), note=text),
            Bars(text, (text, "b"), (dataclasses.replace(series, x=()),), text, note=text),
            Table(text, (text,), ((text,), (None,)), text),
            Tree(text, (text, "2"), (Node(text, 0, 0, 2, True, text),), (text,), text),
            Text(text, (Sample(text, False, text),), text),
        ),
    )


def provenance(text: str) -> Provenance:
    return Provenance(
        {text: {"k": text}}, (0,), text, text, "2026-01-02T03:04:05Z", {"jax": text}, text, 61.0
    )


def outcome(text: str = "words", verdict: str = "reproduced", **changes) -> Outcome:
    values = {
        "study": "s",
        "scale": "laptop",
        "id": "c",
        "paper": text,
        "statement": text,
        "source": text,
        "paper_value": text,
        "metric": text,
        "rule_text": text,
        "verdict": verdict,
        "measurement": measurement(text),
        "provenance": provenance(text),
    }
    return Outcome(**{**values, **changes})


def not_run(**changes) -> Outcome:
    return outcome(
        verdict="not run", reason="no accelerator", measurement=None, provenance=None, **changes
    )


def test_what_is_written_is_read(tmp_path):
    path = ledger.write(tmp_path, outcome())
    assert path == tmp_path / "s/laptop/c.json"
    assert ledger.read(tmp_path) == [outcome()]
    assert [p.name for p in path.parent.iterdir()] == ["c.json"]


def test_order_is_study_scale_claim(tmp_path):
    for study, scale, name in [("b", "paper", "x"), ("a", "gpu", "y"), ("a", "laptop", "z")]:
        ledger.write(tmp_path, outcome(study=study, scale=scale, id=name))
    found = [(o.study, o.scale) for o in ledger.read(tmp_path)]
    assert found == [("a", "laptop"), ("a", "gpu"), ("b", "paper")]
    assert [o.scale for o in ledger.read(tmp_path, study="a", scale="gpu")] == ["gpu"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t[:-40], "not a ledger file"),
        (lambda t: "[]", "expected schema"),
        (lambda t: t.replace('"verdict": "reproduced"', '"verdict": "good"'), "good"),
        (lambda t: t.replace('"id": "c"', '"id": "d"'), "belongs at"),
        (lambda t: t.replace('"value": 96.9', '"value": "96.9"'), "value"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path, damage, message):
    path = ledger.write(tmp_path, outcome())
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match=message) as caught:
        ledger.read(tmp_path)
    assert "c.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_claims_of_one_paper_stand_together_under_its_name():
    found = [outcome(id=i, paper=paper) for i, paper in (("a", "P1"), ("b", "P2"), ("c", "P1"))]
    html = page.render(found)
    assert [(name, [o.id for o in group]) for name, group in page.by_paper(found)] == [
        ("P1", ["a", "c"]),
        ("P2", ["b"]),
    ]
    places = [html.index(text) for text in (">P1<", 'id="s-laptop-a"', 'id="s-laptop-c"', ">P2<")]
    assert places == sorted(places)


def test_claims_without_a_file_appear_as_not_run():
    claim = Claim(
        "other",
        "p",
        "s",
        "t",
        "1",
        "m",
        lambda m: claims.REPRODUCED,
        "r",
        ("gpu",),
        lambda scale: (),
        lambda runs, scale: measurement("x"),
    )
    completed = ledger.complete([outcome()], "s", "laptop", [claim])
    assert [(o.id, o.verdict) for o in completed] == [
        ("other", "not run"),
        ("c", "reproduced"),
    ]
    assert "offered at: gpu" in completed[0].reason


def test_all_text_is_escaped():
    html = page.render([outcome(EVIL), not_run(id="d")])
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 20


def test_the_page_is_self_contained_and_says_what_matters():
    html = page.render([outcome(), not_run(id="d")])
    assert not re.search(r"(src|href)=\"(?!#)", html)
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", html)
    for word in ("reproduced", "not run", "no accelerator", "96.9", "99.8", "2026-01-02"):
        assert word in html
    assert html.count("<svg") >= 3
    assert "prefers-color-scheme" in html
    assert html == page.render([outcome(), not_run(id="d")])  # the same bytes each time


def test_lines_for_the_terminal():
    head, line, missing = summary_lines([outcome("w"), not_run(id="d")])
    assert head.split()[0] == "claim"
    assert line.startswith("s/laptop/c") and line.endswith("reproduced") and "96.9" in line
    assert missing.endswith("not run (no accelerator)")


@pytest.mark.parametrize(
    ("figure", "places"),
    [
        (Figure("", 96.85, 95.99, 97.53), 1),
        (Figure("", 0.0028, 0.0026, 0.0030), 5),
        (Figure("", 50.0, 49.15, 50.85), 1),
        (Figure("", 50.0, 49.79, 50.21), 2),
        (Figure("", 0.5, 0.5, 0.5), 4),
        (Figure("", 0.0), 0),
        (Figure("", 13.255, 13.18, 13.33), 2),
        (Figure("", 13.0), 2),
        (Figure("", 1234.5), 0),
    ],
)
def test_as_many_digits_as_the_interval_warrants(figure, places):
    assert numbers.decimals(figure) == places


def test_the_ledger_of_this_repository_is_sound():
    from pathlib import Path

    results = Path(__file__).parents[2] / "results"
    for found in ledger.read(results):
        data = json.loads(ledger.path(results, found.study, found.scale, found.id).read_text())
        assert data["provenance"]["commit"] not in ("", "unknown")


def test_columns_for_the_paper_appear_only_where_it_gives_a_figure():
    with_paper = measurement("w")
    figures = tuple(dataclasses.replace(f, paper=None) for f in with_paper.figures)
    without = dataclasses.replace(with_paper, figures=figures)
    assert 'data-head="Difference"' in page.render([outcome()])
    assert 'data-head="Difference"' not in page.render([outcome(measurement=without)])
