"""The rules of Part 1's claims on invented figures, and the tables that they compare with."""

import pytest

from physlm_jax import studies
from physlm_jax.data import cfg as language
from physlm_jax.studies import cfg, cfg_measures
from physlm_jax.studies import cfg_reported as reported
from physlm_jax.studies.claim import NOT_REPRODUCED, PARTLY, REPRODUCED
from physlm_jax.studies.exhibits import Figure, Measurement
from physlm_jax.training import config as configs

CLAIMS = {claim.id: claim for claim in cfg.CLAIMS}


def figures(*rows):
    """(label, value, role, paper, half-width) -> Measurement."""
    return Measurement(
        tuple(
            Figure(label, value, value - half, value + half, n=100, role=role, paper=paper)
            for label, value, role, paper, half in rows
        )
    )


def accuracy(cut0, cut10, ngram, paper=(None, None)):
    return figures(
        ("g rotary, cut 0", cut0, "ours", paper[0], 0.5),
        ("g rotary, cut 10", cut10, "ours", paper[1], 0.5),
        ("g, 10-gram, cut 0", ngram, "baseline", None, 0.5),
    )


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (accuracy(96, 97, 11), REPRODUCED),
        (accuracy(89, 97, 11), PARTLY),
        (accuracy(96, 97, 60), PARTLY),  # the 10-gram is too good
        (accuracy(40, 50, 20), NOT_REPRODUCED),
        (accuracy(98.2, 99, 0, (99.8, 99.9)), PARTLY),
        (accuracy(98.2, 98.2, 0, (99.8, 99.9)), NOT_REPRODUCED),
        (accuracy(98.8, 98.9, 0, (99.8, 99.9)), REPRODUCED),
    ],
)
def test_rule_of_accuracy(measured, verdict):
    assert CLAIMS["generation-accuracy"].rule(measured) == verdict


@pytest.mark.parametrize(
    ("model", "verdict"), [(13.2, REPRODUCED), (13.5, NOT_REPRODUCED), (12.5, NOT_REPRODUCED)]
)
def test_rule_of_entropy(model, verdict):
    rows = (("g rotary", model, "ours", None, 0.1), ("g rotary, truth", 13, "truth", None, 0.1))
    assert CLAIMS["entropy"].rule(figures(*rows)) == verdict


@pytest.mark.parametrize(
    ("alone", "paper", "verdict"),
    [
        (0.019, None, REPRODUCED),
        (0.021, None, NOT_REPRODUCED),
        (0.0004, 0.00009, REPRODUCED),
        (0.0005, 0.00009, NOT_REPRODUCED),
    ],
)
def test_rule_of_divergence(alone, paper, verdict):
    stream = ("g rotary, after other strings", 9.0, "ours", None, 0.1)  # never decides
    assert CLAIMS["kl-divergence"].rule(figures(("g rotary", alone, "ours", paper, 0), stream)) == (
        verdict
    )


def probe(ours, control, elsewhere, paper=None, half=1.0):
    return figures(
        ("g, NT3", ours, "ours", paper, half),
        ("g, NT3, random weights", control, "control", None, half),
        ("g, NT3, elsewhere", elsewhere, "baseline", None, half),
    )


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (probe(95, 70, 80), REPRODUCED),
        (probe(79, 70, 75), PARTLY),  # fewer than 10 points
        (probe(95, 70, 96), PARTLY),  # better elsewhere
        (probe(82, 70, 75, half=7), PARTLY),  # the intervals touch
        (probe(60, 70, 75), NOT_REPRODUCED),
        (probe(99, 90, 80), REPRODUCED),  # no room for 10 points: a tenth of the errors
        (probe(96, 90, 80), PARTLY),  # 4 of 10 errors are left
        (probe(95, 70, 80, paper=99), PARTLY),
        (probe(96.5, 70, 80, paper=99), REPRODUCED),
    ],
)
def test_rule_of_probes(measured, verdict):
    assert CLAIMS["ancestor-probe-at-ends"].rule(measured) == verdict


def test_reported_tables_are_complete_and_plausible():
    keys = {(g, p) for g in reported.GRAMMARS for p in ("rotary", "learned")}
    for table in (
        reported.ACCURACY,
        reported.ENTROPY,
        reported.KL,
        reported.FULL,
        reported.DIAGONAL,
    ):
        assert set(table) == keys
    for random in (reported.FULL_RANDOM, reported.DIAGONAL_RANDOM, reported.TRUE_ENTROPY):
        assert set(random) == set(reported.GRAMMARS)
    for name, bits in reported.TRUE_ENTROPY.items():
        # H(x) is at most H_tree; the ambiguous cfg3i is 2.3 bits below
        assert -2.5 < bits - language.statistics(language.load(name)).tree_entropy < 0.5


@pytest.mark.parametrize("scale", ["laptop", "gpu", "paper"])
def test_every_run_of_every_scale_has_a_valid_config(scale):
    from physlm_jax.data import open_world
    from physlm_jax.training.config import model_config, packing_config, validate

    for argument in cfg_measures.runs(scale):
        c = configs.load(f"configs/cfg.py:{argument}")
        validate(c)
        assert model_config(c, open_world(c.data)).max_length == packing_config(c).length


def test_the_study_is_found_by_name():
    assert "cfg" in studies.names()
    assert studies.claims("cfg") is cfg.CLAIMS
    assert {c.id for c in cfg.CLAIMS if "demo" in c.tags} == {
        "generation-accuracy",
        "ancestor-probe",
        "ancestor-probe-at-ends",
    }
