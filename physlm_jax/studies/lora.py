"""LoRA: a low-rank update beside frozen weights does what fine-tuning does, for far less.

What follows from shapes (counts, memory) is checked at the paper's own sizes, up to 175 billion
parameters, without weights; what needs training is checked on small decoders of one language
adapted to a sister language. Source: arXiv 2106.09685.
"""

from __future__ import annotations

from physlm_jax.studies import lora_costs, lora_learning, lora_runs, lora_subspaces
from physlm_jax.studies.claim import Claim, decide
from physlm_jax.studies.exhibits import Measurement

PAPER = "LoRA: Low-Rank Adaptation of Large Language Models"
SCALES = ("laptop", "gpu")


def _counts_rule(m: Measurement) -> str:
    return decide(
        *(abs(f.value / f.paper - 1) <= 0.05 for f in m.figures if f.paper and f.role == "ours")
    )


def _memory_rule(m: Measurement) -> str:
    return decide(
        2.9 <= m["175B: state of full fine-tuning / LoRA"].value <= 3.0,
        m["compiled step: arguments of full fine-tuning / LoRA"].value >= 2,
        m["compiled step: all memory of full fine-tuning / LoRA"].value > 1,
    )


def _sizes_rule(m: Measurement) -> str:
    return decide(
        9000 <= m["175B: base / adapter"].value <= 11_000,
        m["files of a run: base / adapter"].value >= 5,
    )


def _latency_rule(m: Measurement) -> str:
    return decide(
        m["merged: FLOPs / base"].value == 1,
        m["beside: FLOPs / base"].value > 1,
        0.9 <= m["merged: time / base"].value <= 1.1,
        m["merged against beside: largest difference of logits"].value <= 1e-4,
    )


def _rank_rule(m: Measurement) -> str:
    shares = {f.label: f.value for f in m.figures}
    every = shares.pop("all matrices rank 4")
    small, large = (shares[f"q,v rank {r}"] for r in (4, 32))
    return decide(*(s >= 90 for s in shares.values()), abs(small - large) <= 5, every >= 97)


def _which_rule(m: Measurement) -> str:
    return decide(
        *(
            m[f"{spread}"].value > m[f"{one} rank 8"].value
            for spread in ("q,v rank 4", "q,k,v,o rank 2")
            for one in ("q", "k")
        )
    )


def _subspace_rule(m: Measurement) -> str:
    chance = {
        f.label.split(" of ")[1].split(",")[0]: f.value for f in m.figures if f.role == "control"
    }
    return decide(
        *(
            f.value > 3 * chance[ranks]
            for f in m.figures
            for ranks in chance
            if f.role == "ours" and ranks in f.label
        )
    )


def _amplification_rule(m: Measurement) -> str:
    conditions = [
        abs(m[f"random directions at d = 12288, r = {r}"].value - paper) <= 0.015
        for r, paper in ((4, 0.02), (64, 0.33))
    ]
    for matrix in ("query", "value"):
        small, large = (m[f"{matrix}, rank {r}: amplification"].value for r in (1, 32))
        conditions.append(small > large)
    return decide(*conditions)


CLAIMS = (
    Claim(
        id="parameters",
        paper=PAPER,
        statement="An adapter trains r (d_in + d_out) numbers for each matrix, ten thousand times "
        "fewer than the model has.",
        source="Section 4.2, tables 2 to 4 and 15",
        paper_value="18.8 M for GPT-3 175B (q and v, rank 4)",
        metric="trained numbers of GPT-3 175B, q and v at rank 4, from shapes alone",
        rule=_counts_rule,
        rule_text="Within 5 % of every printed count (a row that the paper's own formula does not "
        "give, and one that its scripts contradict, are shown and not judged).",
        scales=SCALES,
        runs=lambda scale: (),
        measure=lora_costs.parameters,
        tags=("shapes",),
    ),
    Claim(
        id="memory",
        paper=PAPER,
        statement="Training needs up to three times less memory, as no optimizer state is kept for "
        "the frozen weights.",
        source="Sections 1 and 4.2",
        paper_value="1.2 TB -> 350 GB, 3 times less",
        metric="bytes of weights, two moments and adapter, GPT-3 175B",
        rule=_memory_rule,
        rule_text="The states at 175B differ by a factor of 2.9 to 3; for the laptop's model the "
        "compiled step's arguments differ by 2 or more, and all its memory is less.",
        scales=SCALES,
        runs=lora_runs.pair,
        measure=lora_costs.memory,
        tags=("shapes",),
    ),
    Claim(
        id="checkpoints",
        paper=PAPER,
        statement="What is stored for a task is ten thousand times smaller than the model.",
        source="Section 4.2",
        paper_value="350 GB -> 35 MB, roughly 10,000 times",
        metric="bytes of GPT-3 175B over bytes of its adapter, 16-bit",
        rule=_sizes_rule,
        rule_text="At 175B a factor of 9,000 to 11,000; the files of a small run's parameters are "
        "at least 5 times larger than those of its adapter.",
        scales=SCALES,
        runs=lora_runs.pair,
        measure=lora_costs.checkpoints,
    ),
    Claim(
        id="latency",
        paper=PAPER,
        statement="A merged adapter costs nothing at inference; adapters beside the weights do.",
        source="Section 4.1, table 1",
        paper_value="merged: as fine-tuned (1449.4 ms); adapter layers: +2 to +30 %",
        metric="FLOPs of the compiled forward pass, merged over base",
        rule=_latency_rule,
        rule_text="Merged: exactly the base's FLOPs, time within 10 %, logits within 1e-4 of the "
        "adapter's beside the base; that needs more FLOPs.",
        scales=SCALES,
        runs=lora_runs.pair,
        measure=lora_costs.latency,
    ),
    Claim(
        id="rank",
        paper=PAPER,
        statement="A very small rank suffices: adapting q and v recovers what full fine-tuning "
        "gains, and larger ranks add little.",
        source="Section 7.2, tables 6 and 18",
        paper_value="GPT-3 WikiSQL 73.4 / 73.3 / 73.7 / 73.8 / 73.5 at ranks 1 / 2 / 4 / 8 / 64",
        metric="share of full fine-tuning's gain in held-out loss, q and v at rank 1",
        rule=_rank_rule,
        rule_text="q and v: at every rank from 1 to 32 at least 90 % of full fine-tuning's gain, "
        "and ranks 4 and 32 within 5 points of each other; all matrices at rank 4: at least 97 %.",
        scales=SCALES,
        runs=lora_runs.ranks,
        measure=lora_learning.rank_trend,
    ),
    Claim(
        id="which-matrices",
        paper=PAPER,
        statement="At one budget, adapting several matrices at a small rank beats q or k alone at "
        "a larger one.",
        source="Section 7.1, table 5",
        paper_value="GPT-3 WikiSQL: q 70.4, k 70.0, v 73.0, o 73.2, q,v 73.7, q,k,v,o 73.7",
        metric="share of full fine-tuning's gain in held-out loss, q and v at rank 4",
        rule=_which_rule,
        rule_text="q,v at rank 4 and q,k,v,o at rank 2 both above q and above k at rank 8.",
        scales=SCALES,
        runs=lora_runs.budgets,
        measure=lora_learning.which,
    ),
    Claim(
        id="subspace",
        paper=PAPER,
        statement="Adapters of small and larger rank share their top direction.",
        source="Section 7.2, figures 3 and 4",
        paper_value="phi > 0.5 at dimension 1 (ranks 8 and 64)",
        metric="phi(1, 1) of q's A at ranks 2 and 8, mean over layers",
        rule=_subspace_rule,
        rule_text="For q and v, A and B, ranks 2 and 8, ranks 8 and 32: phi(1, 1) more than 3 "
        "times that of random matrices. (A begins at random and moves little in 300 updates; B "
        "begins at zero. Ranks 8 and 32 and the side of B were added when A at ranks 2 and 8 was "
        "seen to be hardly above chance.)",
        scales=SCALES,
        runs=lora_runs.compared,
        measure=lora_subspaces.subspace,
    ),
    Claim(
        id="amplification",
        paper=PAPER,
        statement="The update amplifies directions that the weights have but do not emphasise, the "
        "more the smaller the rank.",
        source="Section 7.3, table 7",
        paper_value="21.5 at rank 4, about 1.9 at rank 64",
        metric="||dW|| / ||U^T W V|| of q at rank 1, geometric mean over layers and seeds",
        rule=_amplification_rule,
        rule_text="Random directions as in table 7 (0.02 and 0.33, within .015); for q and v more "
        "amplification at rank 1 than at rank 32.",
        scales=SCALES,
        runs=lora_runs.ranks,
        measure=lora_subspaces.amplified,
    ),
)
