"""Reverse training: read backwards in training, facts are known in both directions.

The paper's symbolic task and, in a small world, its biography task. Cells of the paper's tables are
not known here; rules ask for the outcome it reports in words, with margins that were set on runs of
other seeds. Source: arXiv 2403.13799, sections 4.1 and 4.2.
"""

from __future__ import annotations

from physlm_jax.studies import reversal_measures as measures
from physlm_jax.studies.claim import Claim, decide
from physlm_jax.studies.exhibits import Measurement

PAPER = "Reverse Training to Nurse the Reversal Curse"
ALL_SCALES = ("laptop", "gpu", "paper")
HELD = "held-out backward"


def _within(limits: dict[str, tuple[float, float]], forward: float = 99.0) -> measures.Rule:
    """A rule: for each part of a label, the least and largest per cent; forward facts are known."""

    def rule(m: Measurement) -> str:
        conditions = [
            low <= f.value <= high
            for part, (low, high) in limits.items()
            for f in m.figures
            if part in f.label
        ]
        known = [
            f.value >= forward
            for f in m.figures
            if f.label.endswith(", forward") and "budget=data" not in f.label
        ]
        return decide(*conditions, *known)

    return rule


CLAIMS = (
    Claim(
        id="curse",
        paper=PAPER,
        statement="A model trained on 'a has b' does not know 'b is of a', though it saw other "
        "pairs both ways.",
        source="Section 4.1, the symbolic reverse task, standard training",
        paper_value="0 % (fails completely)",
        metric="held-out backward facts answered exactly, standard training",
        rule=_within({f"none, {HELD}": (0, 2)}),
        rule_text="With as many updates as reverse training: at most 2 % of the held-out backward "
        "facts and at least 99 % of the forward facts. Half as many updates (data-matched) are "
        "shown and not judged: too few teach not even the forward facts.",
        scales=ALL_SCALES,
        runs=measures.symbolic("kind=none", "kind=none,budget=data"),
        measure=measures.recalled,
    ),
    Claim(
        id="word-reversal",
        paper=PAPER,
        statement="Strings reversed word by word (here also token by token) do not teach entities "
        "of several words backwards.",
        source="Section 4.1, the symbolic reverse task, word reversal",
        paper_value="fails or weak, worse with length (in words)",
        metric="held-out backward facts answered exactly, word reversal",
        rule=_within({HELD: (0, 10)}),
        rule_text="Two-word entities: at most 10 % of the held-out backward facts and at least "
        "99 % of the forward facts.",
        scales=ALL_SCALES,
        runs=measures.symbolic("kind=word"),
        measure=measures.recalled,
    ),
    Claim(
        id="entity-reversal",
        paper=PAPER,
        statement="Strings reversed with entities kept whole teach the facts backwards.",
        source="Section 4.1, the symbolic reverse task, entity-preserving reversal",
        paper_value="about 100 % (in words)",
        metric="held-out backward facts answered exactly, entity-preserving reversal",
        rule=_within({HELD: (90, 100)}),
        rule_text="Two-word entities: at least 90 % of the held-out backward facts and at least "
        "99 % of the forward facts.",
        scales=ALL_SCALES,
        runs=measures.symbolic("kind=entity"),
        measure=measures.recalled,
        tags=("short",),
    ),
    Claim(
        id="random-segments",
        paper=PAPER,
        statement="Random segments work without knowing the entities if they can be as long as "
        "these, and fail if not.",
        source="Section 4.1, the symbolic reverse task, random-segment reversal",
        paper_value="about 100 % for k >= length, drops below (in words)",
        metric="held-out backward facts answered exactly, random segments of up to five tokens",
        rule=_within({f"k=5, {HELD}": (10, 100), f"k=1, {HELD}": (0, 2)}),
        rule_text="Two-word entities: with k = 5 at least 10 %, with k = 1 at most 2 % of the "
        "held-out backward facts; at least 99 % of the forward facts.",
        scales=ALL_SCALES,
        runs=measures.symbolic("kind=segment,k=5", "kind=segment,k=1"),
        measure=measures.recalled,
    ),
    Claim(
        id="entity-lengths",
        paper=PAPER,
        statement="Entity-preserving reversal works for longer entities too.",
        source="Section 4.1, the symbolic reverse task, entities of 1 to 5 words",
        paper_value="about 100 % for five words (in words)",
        metric="held-out backward facts answered exactly, entity-preserving reversal",
        rule=_within({HELD: (90, 100)}),
        rule_text="At every length at least 90 % of the held-out backward facts and at least 99 % "
        "of the forward facts.",
        scales=ALL_SCALES,
        runs=measures.symbolic(*(f"kind=entity,length={n}" for n in (1, 3, 5))),
        measure=measures.recalled,
    ),
    Claim(
        id="biographies",
        paper=PAPER,
        statement="Full names are recalled from what biographies tell only if these were also read "
        "backwards with names whole, the better the more is given; random segments come between.",
        source="Section 4.2, the biography task",
        paper_value="0 % standard, near perfect entity-preserving (in words)",
        metric="full names given all attributes, of people whose names were never asked for in "
        "training; entity-preserving reversal",
        rule=_within(
            {
                "none, bdate_to_full": (0, 4),
                "none, all_to_full": (0, 4),
                "word, bdate_to_full": (0, 4),
                "word, all_to_full": (0, 4),
                "entity, all_to_full": (60, 100),
                "segment k=5, all_to_full": (30, 100),
            },
        ),
        rule_text="From all attributes: standard and word-reversed training at most 4 %, "
        "entity-preserving at least 60 %, random segments (k = 5) at least 30 %; from the date "
        "alone standard and word-reversed training at most 4 %.",
        scales=ALL_SCALES,
        runs=measures.biographies("kind=entity", "kind=segment,k=5", "kind=none", "kind=word"),
        measure=measures.recalled,
    ),
)
