"""Whether knowledge can be got out of models, and where it is (Part 3.1, arXiv 2309.14316)."""

from __future__ import annotations

import itertools

from physlm_jax.studies import knowledge_measures as measures
from physlm_jax.studies.claim import Claim, decide
from physlm_jax.studies.exhibits import Measurement
from physlm_jax.studies.knowledge_rules import ALL_SCALES, LARGE, apart, means

PAPER = "Physics of Language Models: Part 3.1, Knowledge Storage and Extraction"


def _extracted(m: Measurement) -> str:
    """Augmented people are asked successfully, also the trained ones; single ones are not."""
    found = means(m)
    single = [v for k, v in found.items() if k.startswith("single ") or k == "single"]
    rich = [v for k, v in found.items() if k.startswith("multi5+permute")]
    known = [
        f.value >= 80
        for f in m.figures
        if f.label.startswith("multi5+permute") and f.label.endswith(", trained")
    ]
    return decide(*(r >= s + 25 for r in rich for s in single), *known)


def _by_embedding(m: Measurement) -> str:
    """With an adapter of the embedding far better; more rank elsewhere does not make up for it."""
    found = {label.partition("tune=")[2]: value for label, value in means(m).items()}
    small, large = found.pop("8-0"), found.pop("16-0")
    with_it = [*found.values()]
    better = [v >= max(small, large) + 10 for v in with_it]
    return decide(*better, *(2 * abs(large - small) < v - small for v in with_it))


def _in_turn(m: Measurement) -> str:
    """One after the other, and all of them in the end."""
    at, end = (
        [f.value for name in measures.RISES for f in m.figures if f.label.endswith(name + suffix)]
        for suffix in (": half", ": at the end")
    )
    return decide(*(a <= b for a, b in itertools.pairwise(at)), *(v >= 50 for v in end))


def _by_heart(m: Measurement) -> str:
    known = [f.value >= 80 for f in m.figures if f.label.endswith(", trained")]
    return decide(*known, *(v <= 15 for v in means(m).values()))


def _single_words(m: Measurement) -> str:
    found = {f.label.rpartition(": ")[2]: f.value for f in m.figures if ": " in f.label}
    return decide(*(found["major"] >= found[k] + 20 for k in ("university", "company_city")))


def _ranks(*ranks: str) -> tuple[str, ...]:
    return tuple(f"multi5+permute,tasks=extraction,tune={r}" for r in ranks)


STORED = (
    Claim(
        id="mixed-training",
        paper=PAPER,
        statement="Trained together with questions from the start, single biographies can be "
        "asked.",
        source="Result 1, figure 1",
        paper_value="86.6 % (bioS single)",
        metric="whole answers exactly right, people whose questions were never trained on",
        rule=measures.at_least(70.0),
        rule_text="The mean over the six attributes at 70 % or more.",
        scales=LARGE,
        runs=measures.runs(
            gpu=("single,tasks=extraction,mixed=0.8",),
            paper=("single,tasks=extraction,mixed=0.8",),
        ),
        measure=measures.answered({"single": 86.6}),
    ),
    Claim(
        id="order-of-learning",
        paper=PAPER,
        statement="In mixed training the asked people's questions are known first, then "
        "biographies, the other people's questions last.",
        source="Result 1, figure 1 (training curves)",
        paper_value="in this order (in words)",
        metric="updates until half of the final accuracy is reached",
        rule=_in_turn,
        rule_text="Half of the final accuracy is reached in this order; checkpoints every tenth of "
        "the training. In the end all three are at 50 % or more.",
        scales=LARGE,
        runs=measures.runs(
            gpu=("single,tasks=extraction,mixed=0.8",),
            paper=("single,tasks=extraction,mixed=0.8",),
        ),
        measure=measures.rises,
    ),
    Claim(
        id="extraction",
        paper=PAPER,
        statement="Questions about held-out people are answered only if everybody's biographies "
        "come in several wordings and orders; one wording is memorised, not extracted.",
        source="Results 2 and 3, figures 2 and 3",
        paper_value="single 9.7 %, multi5+permute 96.6 % (mean over six attributes)",
        metric="whole answers exactly right, people whose questions were never trained on",
        rule=_extracted,
        rule_text="multi5+permute at least 25 points above single, and its people asked in "
        "training at 80 % or more. (Of single an adapter does not even learn those: this part of "
        "the rule was dropped after the claim's seeds were seen.)",
        scales=ALL_SCALES,
        runs=measures.runs(
            laptop=(
                "multi5+permute,tasks=extraction,tune=8-16",
                "single,exposures=100,tasks=extraction,tune=8-16",
            ),
            gpu=(
                "multi5+permute,tasks=extraction,tune=8-128",
                "single,tasks=extraction,tune=8-128",
            ),
            paper=tuple(
                f"{variant},tasks=extraction,tune=16-128"
                for variant in (
                    *("multi5+permute", "multi5+permute+fullname", "multi5"),
                    *("single+permute5", "single+permute1", "single"),
                )
            ),
        ),
        measure=measures.answered(
            {
                "single": 9.7,
                "single+permute1": 4.4,
                "single+permute5": 70.0,
                "multi5": 41.0,
                "multi5+permute": 96.6,
            }
        ),
    ),
    Claim(
        id="embedding-rank",
        paper=PAPER,
        statement="What tunes a model to questions is an adapter of the embedding, whose input "
        "shifts from biographies to questions; the rank of query and value hardly matters.",
        source="Appendix on fine-tuning (Parts 3.1 and 3.2), in words",
        paper_value="a large embedding rank is beneficial, a large rank of query and value is not",
        metric="whole answers exactly right, people whose questions were never trained on",
        rule=_by_embedding,
        rule_text="At least 10 points better with the embedding's adapter than with query and "
        "value of either rank alone; the larger of these ranks changes less than half of what the "
        "embedding's adapter adds.",
        scales=ALL_SCALES,
        runs=measures.runs(
            laptop=_ranks("8-16", "8-0", "16-0"),
            gpu=_ranks("8-128", "8-0", "16-0"),
            paper=_ranks("16-128", "8-0", "16-0"),
        ),
        measure=measures.answered(),
    ),
    Claim(
        id="full-finetuning",
        paper=PAPER,
        statement="Fine-tuned in full on questions, a model of single biographies knows them by "
        "heart and answers no others.",
        source="Section 4, figure 3",
        paper_value="training questions about 100 %, others about 0 %",
        metric="whole answers exactly right, people whose questions were never trained on",
        rule=_by_heart,
        rule_text="Trained people at 80 % or more, the others at most 15 %.",
        scales=LARGE,
        runs=measures.runs(
            gpu=("single,tasks=extraction,tune=full",), paper=("single,tasks=extraction,tune=full",)
        ),
        measure=measures.answered(),
    ),
    Claim(
        id="stored-on-names",
        paper=PAPER,
        statement="With augmentation the attributes can be read off right after the name; without, "
        "only right before each value.",
        source="Result 4, figures 5 and 6 (P-probing)",
        paper_value="about 100 % at the first place (multi5+permute), a few per cent (single)",
        metric="whole values that a linear probe tells before any value was read, held-out people",
        rule=apart("multi5\\+permute.*, first place", "^single.*, first place", 25),
        rule_text="At the first place multi5+permute at least 25 points above single.",
        scales=ALL_SCALES,
        runs=measures.runs(
            laptop=("single,exposures=100", "multi5+permute"),
            gpu=("single", "multi5+permute"),
            paper=("single", "multi5", "multi5+permute", "multi5+permute+fullname"),
        ),
        measure=measures.probed("position"),
    ),
    Claim(
        id="told-by-name",
        paper=PAPER,
        statement="With augmentation a name alone tells its person's attributes.",
        source="Result 5, figure 7 (Q-probing)",
        paper_value="multi5+permute 92.6 % of whole values (96.1/72.6/94.9/99.6/99.7)",
        metric="whole values that a linear probe tells from the name alone, held-out people",
        rule=apart("multi5\\+permute.*, first place", "^single.*, first place", 25),
        rule_text="multi5+permute at least 25 points above single.",
        scales=LARGE,
        runs=measures.runs(
            gpu=("single", "multi5+permute"),
            paper=("single", "multi5", "multi5+permute", "multi5+permute+fullname"),
        ),
        measure=measures.probed("query"),
    ),
    Claim(
        id="celebrities",
        paper=PAPER,
        statement="Rich biographies of some people make single ones of others extractable.",
        source="Result 6, figure 8",
        paper_value="4.4 % -> 86.8 % (minority single+permute1)",
        metric="whole answers exactly right, of the minority",
        rule=apart("celebrities=\\d+ .*mean", "^single\\+permute1 n=\\d+ tasks.*mean", 25),
        rule_text="With celebrities at least 25 points above the same minority without.",
        scales=LARGE,
        runs=measures.runs(
            gpu=(
                "single+permute1,n=10000,celebrities=10000,tasks=extraction,tune=8-128",
                "single+permute1,n=10000,tasks=extraction,tune=8-128",
            ),
            paper=(
                "single+permute1,n=100000,celebrities=100000,tasks=extraction,tune=16-128",
                "single+permute1,n=100000,tasks=extraction,tune=16-128",
            ),
        ),
        measure=measures.answered(),
    ),
    Claim(
        id="bidirectional",
        paper=PAPER,
        statement="A bidirectional model (masked words) extracts only what is a single word of its "
        "own, such as the major.",
        source="Result 7, figure 9",
        paper_value="good only on birth date and major (in words)",
        metric="answers filled in right, people whose questions were never trained on",
        rule=_single_words,
        rule_text="The major at least 20 points above the university and the company city.",
        scales=LARGE,
        runs=measures.runs(
            gpu=("multi5+permute,bidirectional=1,tasks=extraction,tune=8-128",),
            paper=("multi5+permute,bidirectional=1,tasks=extraction,tune=32-128",),
        ),
        measure=measures.answered(),
    ),
)
