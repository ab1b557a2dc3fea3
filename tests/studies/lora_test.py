"""Claims of LoRA: counts of the paper's models, rules on invented figures, the whole in small."""

import pytest
from small import outcomes, shrink

from physlm_jax.errors import InputError
from physlm_jax.models import lora as adapters
from physlm_jax.studies import lora, lora_costs, lora_runs
from physlm_jax.studies.claim import NOT_REPRODUCED, PARTLY, REPRODUCED, Outcome
from physlm_jax.studies.exhibits import Figure, Measurement
from physlm_jax.training import config as configs
from physlm_jax.training.plan import make_plan

CLAIMS = {claim.id: claim for claim in lora.CLAIMS}


def figures(**values):
    return Measurement(tuple(Figure(label, value) for label, value in values.items()))


def test_counts_are_those_of_the_formula():
    """Section 4.2: 2 L d r for each square matrix of L layers."""
    found = lora_costs.parameters({}, "laptop")
    counts = {row.label: row for row in lora_costs.ROWS}
    for figure in found.figures[: len(counts)]:
        row = counts[figure.label.partition(" (")[0]]
        layers, width, _ = row.sizes
        assert figure.value * 1e6 == pytest.approx(2 * layers * len(row.which) * width * row.rank)
    assert found["GPT-3 175B, q,v rank 4"].value == pytest.approx(18.874368)
    assert found["RoBERTa base, q,v rank 8"].value == pytest.approx(0.294912)
    assert CLAIMS["parameters"].rule(found) == REPRODUCED


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ((93, 95, 96, 97, 98, 99), REPRODUCED),
        ((85, 95, 96, 97, 98, 99), PARTLY),
        ((93, 95, 96, 97, 98, 96), PARTLY),
        ((50, 60, 70, 80, 89, 90), NOT_REPRODUCED),
    ],
)
def test_rule_of_ranks(shares, verdict):
    labels = [*(f"q,v rank {r}" for r in lora_runs.RANKS), "all matrices rank 4"]
    rows = dict(zip(labels, shares, strict=True))
    assert CLAIMS["rank"].rule(figures(**rows)) == verdict


@pytest.mark.parametrize(
    ("q", "k", "qkvo", "verdict"),
    [(80, 82, 95, REPRODUCED), (92, 85, 91, PARTLY), (97, 96, 96, NOT_REPRODUCED)],
)
def test_rule_of_matrices(q, k, qkvo, verdict):
    rows = {"q rank 8": q, "k rank 8": k, "q,v rank 4": qkvo, "q,k,v,o rank 2": qkvo}
    assert CLAIMS["which-matrices"].rule(figures(**rows)) == verdict


@pytest.mark.parametrize(
    ("b", "verdict"), [(0.5, REPRODUCED), (0.03, PARTLY), (0.01, NOT_REPRODUCED)]
)
def test_rule_of_subspaces(b, verdict):
    a = 0.2 if b > 0.01 else 0.01
    chance = (Figure("random matrices of ranks 2 and 8, phi(1, 1)", 0.015, role="control"),)
    ours = figures(
        **{"query, A: ranks 2 and 8, phi(1, 1)": a, "query, B: ranks 2 and 8, phi(1, 1)": b}
    )
    assert CLAIMS["subspace"].rule(Measurement(ours.figures + chance)) == verdict


@pytest.mark.parametrize(
    ("flops", "logits", "verdict"), [(1.0, 1e-5, REPRODUCED), (1.01, 1e-5, PARTLY)]
)
def test_rule_of_latency(flops, logits, verdict):
    rows = {
        "merged: FLOPs / base": flops,
        "beside: FLOPs / base": 1.1,
        "merged: time / base": 1.02,
        "merged against beside: largest difference of logits": logits,
    }
    assert CLAIMS["latency"].rule(figures(**rows)) == verdict


@pytest.mark.parametrize("scale", ["laptop", "gpu"])
def test_every_run_of_every_scale_has_a_valid_config(scale):
    for argument in {a for claim in lora.CLAIMS for a in claim.runs(scale)}:
        config = configs.load(f"configs/lora.py:{argument}")
        config.mesh.data = 1
        make_plan(config)
        assert config.base.run in ("", f"@base,{scale}")


def test_the_equal_budgets_are_equal():
    sizes = set()
    for which, rank in lora_runs.BUDGET:
        config = configs.load(f"configs/lora.py:adapt,laptop,which={which},rank={rank}")
        model = make_plan(config).program.model
        rules = adapters.parse(config.lora)
        sizes.add(
            sum(
                adapters.rules.trained(t, r) for t, r in adapters.rules.chosen(model, rules).items()
            )
        )
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("adapted,laptop", r"did you mean 'adapt'"),
        ("adapt,laptop,which=qx", r"unknown which 'qx'"),
        ("adapt,laptop,rank=0", r"at least 1, got '0'"),
        ("base,laptop,rank=2", r"unknown setting 'rank'"),
    ],
)
def test_mistakes_are_named(argument, message):
    with pytest.raises(InputError, match=message):
        configs.load(f"configs/lora.py:{argument}")


def test_the_study_in_small(tmp_path, monkeypatch):
    shrink(monkeypatch, "lora")
    monkeypatch.setattr(lora_runs, "RANKS", (1, 4, 32))
    monkeypatch.setattr(lora_runs, "PAIRS", ((1, 4), (4, 32)))
    monkeypatch.setattr(lora_runs, "BUDGET", (("q", 8), ("k", 8), ("qv", 4), ("qkvo", 2)))
    found = outcomes("lora", tmp_path)
    for outcome in found.values():
        assert outcome.verdict != "not run"
        assert Outcome.from_json(outcome.to_json()) == outcome
    memory, latency = found["memory"].measurement, found["latency"].measurement
    assert memory["compiled step: arguments of full fine-tuning / LoRA"].value > 2
    assert latency["merged: FLOPs / base"].value == 1 < latency["beside: FLOPs / base"].value
    logits = "merged against beside: largest difference of logits"
    assert latency[logits].value <= 1e-4
    assert found["checkpoints"].measurement["files of a run: base / adapter"].value > 1
    ranks = found["rank"].measurement
    assert [f.label for f in ranks.figures] == [f"q,v rank {r}" for r in (1, 4, 32)] + [
        "all matrices rank 4"
    ]
