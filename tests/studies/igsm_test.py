"""Claims of iGSM: their rules on invented figures, their runs, the whole in small."""

from types import SimpleNamespace

import pytest
from small import outcomes, shrink

from physlm_jax.data import open_world
from physlm_jax.errors import InputError
from physlm_jax.models import lora
from physlm_jax.studies import igsm, igsm_measures, igsm_probed
from physlm_jax.studies.claim import NOT_REPRODUCED, PARTLY, REPRODUCED, Outcome
from physlm_jax.studies.exhibits import Figure, Measurement
from physlm_jax.training import config as configs
from physlm_jax.training.plan import make_plan

CLAIMS = {claim.id: claim for claim in igsm.CLAIMS}


def measured(run="mini", papers=None, **values):
    """op=.. and other labels of one run; `papers` the paper's figure of each."""
    names = {k.replace("op", "op=") if k[2:].isdigit() else k: v for k, v in values.items()}
    return tuple(
        Figure(f"{run}, {name}", value, paper=(papers or {}).get(name), unit="%")
        for name, value in names.items()
    )


def parsed(value):
    return (Figure("mini, law, parsed", value, unit="%", role="baseline"),)


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        (measured(op1=91, op2=60, op3=30) + parsed(96), REPRODUCED),
        (measured(op1=89, op2=60, op3=30) + parsed(96), PARTLY),
        (measured(op1=91, op2=60, op3=61) + parsed(96), PARTLY),
        (measured(op1=10, op2=60, op3=61) + parsed(50), NOT_REPRODUCED),
        (measured(op1=99, op2=98, op3=95, op4=93, op5=91, op6=50, op7=40) + parsed(99), REPRODUCED),
        (measured(op1=99, op2=98, op3=95, op4=93, op5=80, op6=50, op7=40) + parsed(99), PARTLY),
        (measured("med", {"op=15": 99, "op=20": 92}, op15=96, op20=89) + parsed(99), REPRODUCED),
        (measured("med", {"op=15": 99, "op=20": 92}, op15=96, op20=80) + parsed(99), PARTLY),
    ],
)
def test_rule_of_accuracy(figures, verdict):
    assert CLAIMS["accuracy"].rule(Measurement(figures)) == verdict


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        (measured(op4=30, op5=2, op3=60), REPRODUCED),
        (measured(op4=29, op5=2, op3=60), NOT_REPRODUCED),
        (measured("med", {"op=15": 99, "op=20": 92}, op15=96, op20=89), REPRODUCED),
    ],
)
def test_rule_of_more_operations(figures, verdict):
    assert CLAIMS["more-operations"].rule(Measurement(figures)) == verdict


def test_rule_of_shortest_solutions():
    rule = CLAIMS["shortest-solutions"].rule
    low = [Figure("mini, op=1, unnecessary_op", 0.05), Figure("mini, reask4, unnecessary_op", 3)]
    assert rule(Measurement(tuple(low))) == REPRODUCED
    assert rule(Measurement((*low, Figure("mini, op=2, unnecessary_op", 0.06)))) == PARTLY


@pytest.mark.parametrize(
    ("own", "other", "most", "verdict"),
    [
        ((80, 78, 82), (60, 58, 62), 70, REPRODUCED),
        ((80, 78, 82), (60, 58, 79), 70, NOT_REPRODUCED),  # the intervals meet
        ((80, 78, 82), (71, 70, 72), 60, NOT_REPRODUCED),  # nine points
        ((80, 78, 82), (60, 58, 62), 71, NOT_REPRODUCED),
    ],
)
def test_rule_of_variables(own, other, most, verdict):
    stem = "mini, nece/-1/law"
    figures = (
        Figure(f"{stem}, right", *own),
        Figure(f"{stem}, untrained", *other, role="control"),
        Figure(f"{stem}, majority", most, role="control"),
    )
    assert CLAIMS["variables"].rule(Measurement(figures)) == verdict


@pytest.mark.parametrize(
    ("means", "verdict"),
    [((0, 0.1, 0.5), REPRODUCED), ((0, 0.5, 0.1), PARTLY), ((0.1, 0.2, 0.3), PARTLY)],
)
def test_rule_of_retry_counts(means, verdict):
    labels = ("mini", "mini retry=.2", "mini retry=.5")
    figures = tuple(
        Figure(f"{label}, law, taken back", mean) for label, mean in zip(labels, means, strict=True)
    )
    assert CLAIMS["retry-counts"].rule(Measurement(figures)) == verdict


def test_rules_that_compare_runs():
    rising = [measured(f"mini retry={r}", op5=70 + 40 * r, op6=50 + 60 * r) for r in (0.1, 0.5)]
    assert CLAIMS["retry-data"].rule(Measurement(sum(rising, ()))) == REPRODUCED
    assert CLAIMS["retry-data"].rule(Measurement(sum(rising[::-1], ()))) == NOT_REPRODUCED
    deep = measured("mini model=8-6", op1=100, op5=80)
    shallow = measured("mini model=2-12", op1=100, op5=70)
    assert CLAIMS["depth"].rule(Measurement(deep + shallow)) == REPRODUCED
    solved = measured("mini model=2-12", op1=100, op5=100)
    assert CLAIMS["depth"].rule(Measurement(deep + solved)) == NOT_REPRODUCED
    unsolved = measured("mini model=8-6", op1=0), measured("mini model=2-12", op1=0)
    assert CLAIMS["depth"].rule(Measurement(sum(unsolved, ()))) == PARTLY
    tuned = [
        measured("mini", op5=70),
        measured("mini retry=.2 tune=4", op5=60),
        measured("mini retry=.2 tune=full", op5=80),
    ]
    assert CLAIMS["finetuning"].rule(Measurement(sum(tuned, ()))) == REPRODUCED
    faked = [
        measured("mini", op5=70),
        measured("mini retry=.1 kind=retry_weak", op5=80),
        measured("mini retry=.1 kind=retry_miss", op5=85),
    ]
    assert CLAIMS["fake-mistakes"].rule(Measurement(sum(faked, ()))) == PARTLY
    order = {"none": 70, "probe 10": 72, "perfect 10": 80, "perfect 50": 79}
    figures = tuple(Figure(f"mini, op=5, regret {how}", v) for how, v in order.items())
    assert CLAIMS["regret"].rule(Measurement(figures)) == PARTLY
    said = (Figure("mini, op=5, can_next said false", 60),)
    assert CLAIMS["mistakes-believed"].rule(Measurement(said)) == REPRODUCED


def test_the_papers_tables():
    tables = igsm_measures.reported()
    cells = {"med": 7, "hard": 8}
    for section in ("accuracy", "regret", "retry_rates", "retry_counts", "fake"):
        for row, families in tables[section].items():
            assert set(families) == {f"{w}_{o}" for w in cells for o in ("pq", "qp")}, row
            assert all(len(v) == cells[f.split("_")[0]] for f, v in families.items()), row
    assert tables["accuracy"]["beam1"]["med_pq"][-2] == 76.8
    assert tables["fake"]["weak .1"]["med_pq"][5] == 90.1


@pytest.mark.parametrize("scale", ["laptop", "gpu", "paper"])
def test_every_run_of_every_scale_has_a_valid_config(scale):
    arguments = {a for c in igsm.CLAIMS if scale in c.scales for a in c.runs(scale)}
    for argument in sorted(arguments)[:: 1 if scale != "paper" else 7]:
        config = configs.load(f"configs/igsm.py:{argument}")
        config.mesh.data = 1
        if config.lora:
            lora.parse(config.lora)
            assert config.base.run.startswith("@") and "retry" not in config.base.run
            configs.load(f"configs/igsm.py:{config.base.run[1:]}")
            continue
        config.base.run = ""
        make_plan(config)


def test_mistakes_in_an_argument():
    for argument, message in [
        ("minni,laptop", r"did you mean 'mini'"),
        ("med,laptop", r"'laptop'.*gpu"),
        ("mini,laptop,retri=.2", r"did you mean 'retry'"),
        ("mini,laptop,retry=much", r"retry must be a rate"),
        ("mini,gpu,model=12", r"model must be layers-heads"),
        ("mini,gpu,tune=some", r"tune must be full or a rank"),
        ("mini,gpu,time=3", r"time must be 1 or 2"),
    ]:
        with pytest.raises(InputError, match=message):
            configs.load(f"configs/igsm.py:{argument}")


@pytest.mark.parametrize("claim", ["mistakes-believed", "regret"])
@pytest.mark.parametrize(("scale", "temperature"), [("gpu", 0.6), ("paper", 0.0)])
def test_probed_solutions_are_drawn_as_those_that_are_counted(
    monkeypatch, claim, scale, temperature
):
    class Asked(Exception):
        pass

    def ask(run, settings):
        raise Asked(settings.temperature)

    monkeypatch.setattr(igsm_probed.mistakes_probe, "measure", ask)
    monkeypatch.setattr(igsm_probed.regret_probe, "measure", ask)
    run = SimpleNamespace(world=open_world({"world": "igsm", "spec": "mini-gpu"}))
    with pytest.raises(Asked, match=str(temperature)):
        CLAIMS[claim].measure({"mini,gpu": (run,)}, scale)


def test_the_study_in_small(tmp_path, monkeypatch):
    shrink(monkeypatch, "igsm", pipeline__length=160, data__longest=160)
    monkeypatch.setitem(igsm_measures.COUNT, "laptop", 8)
    tiny = {"steps": 2, "batch": 4, "fresh": 2, "count": 8}
    monkeypatch.setitem(igsm_probed.PROBE, "laptop", tiny)
    offered = [claim.id for claim in igsm.CLAIMS if "laptop" in claim.scales]
    found = outcomes("igsm", tmp_path, offered)
    for outcome in found.values():
        assert Outcome.from_json(outcome.to_json()) == outcome
    assert list(found) == offered and {"accuracy", "more-operations", "variables"} <= {*offered}
    accuracy = found["accuracy"].measurement
    assert accuracy.figures[0].label == "mini, law" and accuracy.figures[0].n == 16
    assert accuracy.exhibits[0].rows[0][1].endswith("(n=16)")
    beyond = [f.label for f in found["more-operations"].measurement.figures]
    assert beyond == ["mini, op=4", "mini, op=5", "mini, op=3"]
    labels = [f.label for f in found["variables"].measurement.figures]
    assert "mini, can_next/-1/law, untrained" in labels
