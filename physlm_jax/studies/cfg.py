"""Part 1: transformers learn layered context-free languages, and their states hold the parse tree.

Claims of Results 1-5: what a model generates is in the language, is as diverse as the language, and
follows its next-token distribution; linear probes of the last layer read every token's ancestors,
and at the ends of subtrees read them off the state of that one position.

At the laptop scale the language is a sub-grammar for which the paper gives no figure: there the
rules ask for the direction of the claim, with margins. Elsewhere they ask for the paper's figure
within a tolerance. Source: arXiv 2305.13673 (v4).
"""

from __future__ import annotations

from physlm_jax.studies import cfg_measures as measures
from physlm_jax.studies.claim import Claim, decide
from physlm_jax.studies.exhibits import Figure, Measurement

PAPER = "Physics of Language Models: Part 1, learning hierarchical language structures"
ALL_SCALES = ("laptop", "gpu", "paper")


def _accuracy_rule(m: Measurement) -> str:
    conditions = []
    for f in _ours(m):
        if f.paper is not None:
            conditions.append(_top(f) >= f.paper - 1)
            continue
        name = f.label.split()[0]
        conditions.append(f.value >= 90)
        if f.label.endswith("cut 0"):
            conditions.append(f.value >= m[f"{name}, 10-gram, cut 0"].value + 40)
    return decide(*conditions)


def _entropy_rule(m: Measurement) -> str:
    return decide(
        *(abs(f.value / m[f"{f.label}, truth"].value - 1) <= 0.03 for f in _ours(m)),
    )


def _kl_rule(m: Measurement) -> str:
    alone = [f for f in _ours(m) if "after" not in f.label]
    return decide(*(f.value <= (0.02 if f.paper is None else 5 * f.paper) for f in alone))


def _probe_rule(m: Measurement) -> str:
    conditions = []
    by_label = {f.label: f for f in m.figures}
    for f in _ours(m):
        if f.paper is not None:
            conditions.append(_top(f) >= f.paper - 2)
        conditions.append(_clearly_above(f, by_label[f"{f.label}, random weights"]))
        elsewhere = by_label.get(f"{f.label}, elsewhere")
        if elsewhere is not None:
            conditions.append(f.value > elsewhere.value)
    return decide(*conditions)


def _clearly_above(f: Figure, control: Figure) -> bool:
    """Disjoint intervals, and 10 points more, or a quarter of the errors where 10 do not fit."""
    apart = (f.low or 0) > (control.high or 100)
    fewer = 100 - f.value <= (100 - control.value) / 4
    return apart and (f.value >= control.value + 10 if control.value < 85 else fewer)


def _ours(m: Measurement) -> list[Figure]:
    return [f for f in m.figures if f.role == "ours"]


def _top(f: Figure) -> float:
    return f.value if f.high is None else f.high


CLAIMS = (
    Claim(
        id="generation-accuracy",
        paper=PAPER,
        statement="A transformer trained on strings of a context-free language writes strings of "
        "it, whole or continued, almost without error.",
        source="Result 1, the table of generation accuracy",
        paper_value="99.8 / 99.9 % (cfg3b, rotary, cut 0 / 50)",
        metric="share of generated strings that the exact parser accepts",
        rule=_accuracy_rule,
        rule_text="Where the paper gives a figure: the upper end of the interval is at most 1 "
        "point below it. Elsewhere: at least 90 %, and at cut 0 at least 40 points above a 10-gram "
        "model of the same tokens.",
        scales=ALL_SCALES,
        runs=measures.runs,
        measure=measures.accuracy,
        tags=("demo",),
    ),
    Claim(
        id="entropy",
        paper=PAPER,
        statement="What the model writes is as diverse as the language: the entropies agree.",
        source="Result 1, the table of entropies",
        paper_value="169 bits, truth 169 (cfg3b, rotary)",
        metric="entropy of generated strings",
        rule=_entropy_rule,
        rule_text="Every model's entropy is within 3 % of the language's (the paper's own are).",
        scales=ALL_SCALES,
        runs=measures.runs,
        measure=measures.entropy,
    ),
    Claim(
        id="kl-divergence",
        paper=PAPER,
        statement="The model's next-token distribution is the language's own.",
        source="Result 1, the table of KL divergences",
        paper_value="0.00009 nats/token (cfg3b, rotary)",
        metric="KL divergence, truth || model, strings alone in their row",
        rule=_kl_rule,
        rule_text="Where the paper gives a figure: at most 5 times it. Elsewhere: at most 0.02 "
        "nats per token.",
        scales=ALL_SCALES,
        runs=measures.runs,
        measure=measures.kl,
    ),
    Claim(
        id="ancestor-probe",
        paper=PAPER,
        statement="A linear probe of the last layer, reading the whole string, names the "
        "ancestors of every token.",
        source="Result 4, the table of the multi-head linear probe",
        paper_value="100 % at every level (cfg3b, rotary)",
        metric="share of tokens whose ancestor is named, deepest level",
        rule=_probe_rule,
        rule_text="At every level at least 10 points above the same probe of random weights, with "
        "disjoint 95 % intervals; where random weights reach 85 %, at most a quarter of their "
        "errors instead (added when they were seen to reach 90 % on the laptop's short strings). "
        "Where the paper gives a figure: the upper end at most 2 points below it.",
        scales=ALL_SCALES,
        runs=measures.runs,
        measure=measures.probe_of("full", "all"),
        tags=("demo",),
    ),
    Claim(
        id="ancestor-probe-at-ends",
        paper=PAPER,
        statement="The tree is stored where subtrees end: from the state of a subtree's last token "
        "alone its symbol can be read.",
        source="Result 5, the table of the diagonal probe",
        paper_value="100 / 100 / 99.6 / 99.8 / 100 % (cfg3b, rotary, NT6..NT2)",
        metric="share of subtree ends whose symbol is named, deepest level",
        rule=_probe_rule,
        rule_text="At the ends of subtrees, at every level: at least 10 points above random "
        "weights, with disjoint 95 % intervals (where random weights reach 85 %, at most a quarter "
        "of their errors instead), and better than elsewhere. Where the paper gives a figure: the "
        "upper end at most 2 points below it.",
        scales=ALL_SCALES,
        runs=measures.runs,
        measure=measures.probe_of("diagonal", "ends"),
        tags=("demo",),
    ),
)
