"""What models can do with their knowledge (Part 3.2, arXiv 2309.14402)."""

from __future__ import annotations

from physlm_jax.studies import knowledge_measures as measures
from physlm_jax.studies.claim import Claim, decide
from physlm_jax.studies.exhibits import Measurement
from physlm_jax.studies.knowledge_hints import manipulated
from physlm_jax.studies.knowledge_rules import ALL_SCALES, LARGE

PAPER = "Physics of Language Models: Part 3.2, Knowledge Manipulation"


def _in_order(m: Measurement) -> str:
    found = {f.label: f.value for f in m.figures}
    free = {k: v for k, v in found.items() if k.startswith("multi5+permute")}
    fixed = {k: v for k, v in found.items() if k.startswith("multi5+fullname")}

    def of(cells: dict[str, float], task: str) -> float:
        return next(v for k, v in cells.items() if k.endswith(f": {task}"))

    return decide(
        of(free, "company_city+employer") >= 60,
        of(fixed, "employer+company_city") >= of(fixed, "company_city+employer") + 25,
        of(free, "birth_year") <= 0.5 * of(free, "birth_day"),
    )


def _lost(m: Measurement) -> str:
    """No name is found."""
    asked = [f for f in m.figures if f.label.endswith(("_to_first", "_to_full"))]
    control = next(f.value for f in m.figures if f.role == "control")
    return decide(*(f.value <= control + 3 for f in asked if "reverse" not in f.label))


_REPHRASED = ("month %12", "major %100")  # the value itself, in other words


def _hinted(m: Measurement) -> str:
    """Hints help when written, as much as they are right; without them little is computed."""
    found = {f.label: f.value for f in m.figures}
    stems = [k.removesuffix(", with a hint") for k in found if k.endswith(", with a hint")]
    computed = [stem for stem in stems if not stem.endswith(_REPHRASED)]

    def mean(said: str) -> float:
        return sum(found[f"{stem}, {said}"] for stem in computed) / len(computed)

    near = [abs(found[f"{s}, with a hint"] - found[f"{s}, predicted"]) <= 10 for s in stems]
    way = [found[f"{s}, direct"] <= 100 - 0.25 * (100 - found[f"{s}, guessing"]) for s in computed]
    return decide(mean("with a hint") >= mean("direct") + 10, *near, *way)


USED = (
    Claim(
        id="orders-of-retrieval",
        paper=PAPER,
        statement="Two facts are told in either order only if biographies had them in either "
        "order; parts of a value are told only after what precedes them.",
        source="Results 1 and 2, figure 4",
        paper_value="dual about 100 % (multi5+permute); birth year fails",
        metric="whole answers exactly right, people whose questions were never trained on",
        rule=_in_order,
        rule_text="multi5+permute: company city first at 60 % or more; multi5+fullname: at least "
        "25 points below its other order; the birth year at most half of the birth day.",
        scales=LARGE,
        runs=measures.runs(
            gpu=(
                "multi5+permute,tasks=dual/partial,tune=8-128",
                "multi5+fullname,tasks=dual/partial,tune=8-128",
            ),
            paper=(
                "multi5+permute,tasks=dual/partial,tune=16-128",
                "multi5+fullname,tasks=dual/partial,tune=16-128",
            ),
        ),
        measure=measures.answered(),
    ),
    Claim(
        id="hints",
        paper=PAPER,
        statement="What follows from a stored fact is answered only after the fact was written; "
        "training with such hints does not help without them.",
        source="Results 3 to 6, figures 5 to 7",
        paper_value="month %2 with hint 94.2 % (hint 91.0 %); 75 % without, 10,000 people",
        metric="answers right with a hint, of held-out people",
        rule=_hinted,
        rule_text="With a hint within 10 points of h + (1 - h) x guessing. Of tasks that compute "
        "something (not month %12 and major %100, which say the value in other words): with a hint "
        "at least 10 points better than without, in the mean; without, at most three quarters of "
        "the way from guessing to 100 %. The laptop's questions are trained on from the start, "
        "together with biographies: after these, an adapter of so small a model does not learn to "
        "say new words, and all of its weights learn people by heart.",
        scales=ALL_SCALES,
        runs=measures.runs(
            laptop=(
                "multi5+permute,exposures=100,tasks=extraction/classification,mixed=0.5,hints=0.5",
            ),
            gpu=("multi5+permute,tasks=classification,tune=16-128,hints=0.5",),
            paper=tuple(
                f"multi5+permute,tasks={tasks},tune=16-128,hints=0.5,asked=10000,lr=0.001"
                for tasks in ("classification", "comparison")
            ),
        ),
        measure=manipulated,
    ),
    Claim(
        id="inverse-search",
        paper=PAPER,
        statement="People cannot be found by what is known of them, whatever is known, unless the "
        "text has the name after it.",
        source="Results 7 to 9, figures 8 and 9",
        paper_value="about 0 % in all forward data sets (first name by guessing 0.25 %)",
        metric="names found exactly, of people never asked for in training",
        rule=_lost,
        rule_text="At most three points above guessing the first name, for every clue.",
        scales=ALL_SCALES,
        runs=measures.runs(
            laptop=("multi5+permute,tasks=inverse,tune=8-16",),
            gpu=("multi5+permute,tasks=inverse,tune=8-128",),
            paper=(
                "multi5+permute,tasks=inverse,tune=8-128",
                "multi5+permute+fullname,tasks=inverse,tune=8-128",
                "multi5+permute+reverse6,tasks=inverse,tune=8-128",
            ),
        ),
        measure=measures.searched,
    ),
)
