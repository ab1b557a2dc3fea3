"""Claims of reverse training: their rules on invented figures, their runs, the whole in small."""

import pytest
from small import outcomes, shrink

from physlm_jax.data import open_world
from physlm_jax.errors import InputError
from physlm_jax.studies import reversal
from physlm_jax.studies.claim import NOT_REPRODUCED, PARTLY, REPRODUCED, Outcome
from physlm_jax.studies.exhibits import Figure, Measurement
from physlm_jax.training import config as configs
from physlm_jax.training.plan import make_plan

CLAIMS = {claim.id: claim for claim in reversal.CLAIMS}
QUESTIONS = ("held-out backward", "seen backward", "forward")


def figures(**runs):
    """run -> its values, in the order of QUESTIONS or of the biographies' tasks."""
    found = []
    for label, values in runs.items():
        names = QUESTIONS if len(values) == 3 and values[0] is not None else ()
        found += [
            Figure(f"{label.replace('_', ' ')}, {name}", value)
            for name, value in zip(names, values, strict=True)
        ]
    return Measurement(tuple(found))


@pytest.mark.parametrize(
    ("claim", "measured", "verdict"),
    [
        ("curse", {"none": (2, 100, 99), "none_budget=data": (3, 80, 80)}, REPRODUCED),
        ("curse", {"none": (3, 100, 99), "none_budget=data": (2, 100, 99)}, PARTLY),
        ("curse", {"none": (50, 100, 90)}, NOT_REPRODUCED),
        ("word-reversal", {"word": (10, 100, 99)}, REPRODUCED),
        ("word-reversal", {"word": (11, 100, 99)}, PARTLY),
        ("entity-reversal", {"entity": (90, 100, 99)}, REPRODUCED),
        ("entity-reversal", {"entity": (95, 100, 98)}, PARTLY),  # forward facts were lost
        ("entity-reversal", {"entity": (89, 100, 98)}, NOT_REPRODUCED),
        ("random-segments", {"segment_k=5": (10, 99, 99), "segment_k=1": (2, 99, 99)}, REPRODUCED),
        ("random-segments", {"segment_k=5": (80, 99, 99), "segment_k=1": (3, 99, 99)}, PARTLY),
        (
            "entity-lengths",
            {"entity_length=1": (99, 99, 99), "entity_length=5": (70, 99, 99)},
            PARTLY,
        ),
    ],
)
def test_rules(claim, measured, verdict):
    assert CLAIMS[claim].rule(figures(**measured)) == verdict


@pytest.mark.parametrize(
    ("entity", "segment", "none", "verdict"),
    [
        (60, 30, 4, REPRODUCED),
        (59, 30, 4, PARTLY),
        (80, 29, 0, PARTLY),
        (80, 40, 5, PARTLY),
    ],
)
def test_rule_of_biographies(entity, segment, none, verdict):
    rows = {"entity": entity, "segment k=5": segment, "none": none, "word": 0}
    found = [Figure(f"{label}, all_to_full", value) for label, value in rows.items()]
    found += [Figure(f"{label}, bdate_to_full", 0) for label in rows]
    assert CLAIMS["biographies"].rule(Measurement(tuple(found))) == verdict


@pytest.mark.parametrize("scale", ["laptop", "gpu", "paper"])
def test_every_run_of_every_scale_has_a_valid_config(scale):
    for claim in reversal.CLAIMS:
        for argument in claim.runs(scale):
            config = configs.load(f"configs/reversal.py:{argument}")
            config.mesh.data = 1
            plan = make_plan(config)
            rows = open_world(config.data).examples(0, 0, 300)
            if config.pipeline.mode == "single":  # rows hold whole examples, but for rare draws
                assert (rows.lengths - 1 > plan.packing.length).mean() < 0.01, argument


def test_budgets_and_mistakes():
    load = lambda arg: configs.load(f"configs/reversal.py:{arg}")  # noqa: E731
    whole, half = load("symbolic,laptop,kind=none"), load("symbolic,laptop,kind=none,budget=data")
    assert half.steps * 2 == whole.steps
    for argument, message in [
        ("symbolc,laptop", r"did you mean 'symbolic'"),
        ("symbolic,labtop", r"did you mean 'laptop'"),
        ("symbolic,laptop,kid=word", r"did you mean 'kind'"),
        ("symbolic,laptop,k=many", r"k must be a number"),
        ("symbolic,laptop,budget=dat", r"did you mean 'data'"),
        ("facts,laptop", r"needs path="),
    ]:
        with pytest.raises(InputError, match=message):
            load(argument)


def test_the_study_in_small(tmp_path, monkeypatch):
    shrink(monkeypatch, "reversal")
    found = outcomes("reversal", tmp_path, ["random-segments", "biographies"])
    for outcome in found.values():
        assert Outcome.from_json(outcome.to_json()) == outcome
    labels = [f.label for f in found["random-segments"].measurement.figures]
    assert labels[:2] == ["segment k=5, held-out backward", "segment k=5, seen backward"]
    first = found["biographies"].measurement.figures[0]
    assert first.label == "entity, all_to_full" and first.seeds == 2 and first.n == 100
    assert len(found["biographies"].measurement.figures) == 12


def test_texts_of_a_user(tmp_path):
    (tmp_path / "pairs.csv").write_text(
        "child,parent,parent_type\nAda Brill,Cora Brill,mother\nCy Dorn,Ed Dorn,father\n"
    )
    config = configs.load(
        f"configs/reversal.py:celebrities,gpu,kind=entity,path={tmp_path}/pairs.csv"
    )
    config.mesh.data = 1
    assert make_plan(config).worlds[0].source.size == 3
