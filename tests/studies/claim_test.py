"""The claim type: verdicts by rule, JSON there and back, damage noticed, provenance anonymous."""

import dataclasses
import json
import socket
import subprocess

import numpy as np
import pytest

from physlm_jax import errors, studies
from physlm_jax.studies import claim as claims
from physlm_jax.studies import exhibits, plain
from physlm_jax.studies.statistics import Estimate


def make_claim(**changes):
    fields = {
        "id": "accuracy",
        "paper": "A paper",
        "statement": "It learns.",
        "source": "Table 1",
        "paper_value": "99.8 %",
        "metric": "valid strings",
        "rule": lambda m: claims.decide(m["cut0"].low > 50, m["cut0"].value > 95),
        "rule_text": "low end above 50 and value above 95",
        "scales": ("laptop", "gpu"),
        "runs": lambda scale: (f"cfg3b/4,{scale}",),
        "measure": lambda runs, scale: exhibits.Measurement(()),
    }
    return claims.Claim(**{**fields, **changes})


def figure(value, low=None):
    return exhibits.Figure("cut0", value, low=value if low is None else low)


EXHIBITS = (
    exhibits.Curve(
        "Loss",
        (exhibits.Series("a", y=np.array([1.0, 0.5]), x=[0, np.int64(10)], low=[0.9, 0.4]),),
        "tokens",
        "nats/token",
        x_log=True,
        levels=(exhibits.Level("floor", 0.38),),
    ),
    exhibits.Bars("Accuracy", ("NT2", "NT3"), (exhibits.Series("probe", (99.0, None)),), "%"),
    exhibits.Table(
        "All", ("name", "n", "x", "ok"), [["a", 1, 2.5, True], ["b", None, -1.0, False]]
    ),
    exhibits.Tree(
        "One string",
        ("1", "2", "3"),
        (exhibits.Node("7", 0, 0, 3, True, "root"), exhibits.Node("8", 1, 0, 2, False)),
        ("NT1", "NT2"),
    ),
    exhibits.Text("Samples", (exhibits.Sample("1 2 3", True, "valid"), exhibits.Sample("<b>"))),
)


def make_outcome(shown=EXHIBITS):
    figures = (exhibits.Figure("cut0", 98.5, 97.1, 99.2, n=500, seeds=2, paper=99.8, unit="%"),)
    provenance = claims.Provenance(
        {"cfg3b/4,laptop": {"lr": 0.003, "layers": [1, 2]}}, (0, 1), "abc", "1 x GPU",
        "2026-01-01T00:00:00Z", {"jax": "0.10.2"}, "python -m x", 12.5,
    )  # fmt: skip
    measurement = exhibits.Measurement(figures, shown)
    return claims.judge(make_claim(), "cfg", "laptop", measurement, provenance)


@pytest.mark.parametrize(
    ("value", "low", "verdict"),
    [(99, 98, "reproduced"), (90, 80, "partly"), (40, 30, "not reproduced"),
     (float("nan"), float("nan"), "not reproduced")],
)  # fmt: skip
def test_the_rule_alone_decides(value, low, verdict):
    measurement = exhibits.Measurement((figure(value, low),))
    provenance = make_outcome().provenance
    assert claims.judge(make_claim(), "cfg", "gpu", measurement, provenance).verdict == verdict


def test_a_rule_cannot_invent_a_verdict_or_say_not_run():
    for word in ("Reproduced", "not run"):
        with pytest.raises(ValueError, match="verdict"):
            claim = make_claim(rule=lambda m, word=word: word)
            claims.judge(claim, "cfg", "gpu", exhibits.Measurement(()), make_outcome().provenance)


def test_a_rule_that_finds_no_figure_does_not_pass():
    assert claims.decide(True, False) == "partly"
    with pytest.raises(ValueError, match="without conditions"):
        claims.decide()


def test_an_outcome_survives_json_text_unchanged():
    outcome = make_outcome()
    text = json.dumps(outcome.to_json(), allow_nan=False)
    assert claims.Outcome.from_json(json.loads(text)) == outcome


def test_a_claim_that_was_not_run_survives_json_with_its_reason():
    outcome = claims.not_run(make_claim(), "cfg", "gpu", "not run at this scale")
    assert (outcome.verdict, outcome.measurement) == ("not run", None)
    assert claims.Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


def test_what_is_not_finite_is_valid_json_and_comes_back():
    curve = exhibits.Curve("c", (exhibits.Series("s", (float("inf"), None), (0.0, 1.0)),), "x", "y")
    figures = (exhibits.Figure("cut0", float("nan"), low=float("-inf")),)
    text = json.dumps(plain.encode(exhibits.Measurement(figures, (curve,))), allow_nan=False)
    back = plain.decode(exhibits.Measurement, json.loads(text), "m")
    assert np.isnan(back["cut0"].value) and back["cut0"].low == float("-inf")
    assert back.exhibits == (curve,)


def damaged(path, value):
    data = json.loads(json.dumps(make_outcome().to_json()))
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["version"], 9, "version 1, got physlm_jax.outcome 9"),
        (["verdict"], "reproducd", "did you mean 'reproduced'"),
        (["statement"], None, "outcome: missing or unexpected field: statement"),
        (["surplus"], 1, "outcome: missing or unexpected field: surplus"),
        (["measurement", "figures", 0, "value"], "x", r"outcome.measurement.figures\[0\].value"),
        (["measurement", "figures", 0, "n"], True, r"figures\[0\].n: 'True' is not"),
        (["measurement", "figures", 0, "role"], "hero", r"figures\[0\]: role 'hero'"),
        (["measurement", "exhibits", 0, "kind"], "pie", r"exhibits\[0\]"),
        (["measurement", "exhibits", 0, "series", 0, "x"], [1], "x has 1 values"),
        (["measurement", "exhibits", 3, "nodes", 0, "stop"], 4, "outside the tree"),
        (["measurement"], {}, "outcome.measurement: missing"),
        (["provenance", "seeds"], 3, "outcome.provenance.seeds"),
    ],
)
def test_damage_is_named_in_one_line(path, value, message):
    with pytest.raises(errors.InputError, match=message) as caught:
        claims.Outcome.from_json(damaged(path, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "x", {}, {"schema": "other", "version": 1}])
def test_other_json_is_refused(data):
    with pytest.raises(errors.InputError, match="expected schema"):
        claims.Outcome.from_json(data)


def test_every_kind_of_exhibit_is_in_the_union():
    assert {type(e) for e in EXHIBITS} == set(exhibits.Exhibit.__args__)


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", ".hidden", "a b"])
def test_ids_that_are_no_file_names_are_refused(name):
    with pytest.raises(ValueError, match="claim id"):
        make_claim(id=name)


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="groups"):
        exhibits.Bars("b", ("a", "b"), (exhibits.Series("s", (1.0,)),), "%")
    with pytest.raises(ValueError, match="columns"):
        exhibits.Table("t", ("a",), (("x", "y"),))


def test_the_headline_is_the_first_figure_of_ours():
    control = dataclasses.replace(figure(1.0), label="random", role="control")
    measurement = exhibits.Measurement((control, figure(2.0), figure(3.0)))
    assert measurement.headline.value == 2.0
    assert exhibits.Measurement((control,)).headline is None


def test_a_figure_of_a_share_in_per_cent():
    made = exhibits.Figure.of("cut0", Estimate(0.5, 0.25, 0.75, 40), 100, unit="%", seeds=3)
    assert made == exhibits.Figure("cut0", 50.0, 25.0, 75.0, n=40, seeds=3, unit="%")


def test_provenance_says_what_ran_without_saying_where(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "bobs-machine")
    config = {"folder": "/home/bob/runs/a", "data": ("~/x/y.json", 3), "lr": 1e-3, "none": None}
    command = "python -m physlm_jax.reproduce --out=/home/bob/r.html --at=bobs-machine.lan:123"
    made = claims.collect({"cfg3b/4,laptop": config}, [np.int64(3)], 1.26, command)
    text = json.dumps(plain.encode(made))
    assert "bob" not in text and "home" not in text
    assert made.configs["cfg3b/4,laptop"]["lr"] == 1e-3
    assert made.command == "python -m physlm_jax.reproduce --out=.../r.html --at=HOST:123"
    assert made.seeds == (3,) and made.seconds == 1.3
    assert made.device.startswith("1 x ") or " x " in made.device
    assert set(made.versions) == {"python", "physlm_jax", "jax", "jaxlib", "flax", "numpy"}
    assert plain.decode(claims.Provenance, json.loads(text), "p") == made


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.CalledProcessError(128, "git")])
def test_without_git_the_commit_is_unknown(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(subprocess, "check_output", fail)
    assert claims.collect({}, [], 0, "x").commit == "unknown"


def test_commit_is_marked_when_files_differ(monkeypatch):
    answers = {
        "ls-files": "__init__.py",
        "status": " M physlm_jax/errors.py",
        "rev-parse": "0123ab",
    }
    monkeypatch.setattr(subprocess, "check_output", lambda command, **_: answers[command[4]] + "\n")
    assert claims.collect({}, [], 0, "x").commit == "0123ab-dirty"
    answers["status"] = ""
    assert claims.collect({}, [], 0, "x").commit == "0123ab"


def test_an_unknown_study_is_named_with_those_known():
    with pytest.raises(errors.InputError, match="unknown study 'nope'"):
        studies.claims("nope")


def test_every_study_lists_claims_with_distinct_ids():
    for name in studies.names():
        listed = studies.claims(name)
        assert listed and all(isinstance(c, claims.Claim) for c in listed)
        assert len({c.id for c in listed}) == len(listed)
