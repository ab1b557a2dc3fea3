"""iGSM: how grade-school maths is solved, and what practice with mistakes does.

Parts 2.1 and 2.2 of Physics of Language Models. At the scale `paper` every claim runs on the four
families (med and hard, question last and first) and stands beside the papers' tables; the smaller
scales have the directions, on worlds of few operations and names. Sources: arXiv 2407.20311 and
2408.16293; Part 2.1's own figures are not known here, its models' row is in Part 2.2's figure 3.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from physlm_jax.studies import igsm_measures as measures
from physlm_jax.studies import igsm_probed as probed
from physlm_jax.studies.claim import Claim, decide
from physlm_jax.studies.exhibits import Figure, Measurement

PART_1 = "Physics of Language Models: Part 2.1, Grade-School Math and the Hidden Reasoning Process"
PART_2 = "Physics of Language Models: Part 2.2, How to Learn From Mistakes on Grade-School Math"
ALL_SCALES = ("laptop", "gpu", "paper")
LARGE = ("gpu", "paper")
SIZES = (  # layers-heads: five of one size, five of about twice that
    *("4-21", "8-15", "12-12", "16-10", "20-9"),
    *("4-30", "8-21", "12-17", "16-15", "20-13"),
)
NEAR = 3.0  # per cent by which a cell may fall short of the paper's


def _near(figures: Sequence[Figure]) -> list[bool]:
    """Cells that the paper has: not much below it."""
    return [f.value >= f.paper - NEAR for f in figures if f.paper is not None and f.unit == "%"]


def _by_op(m: Measurement) -> dict[int, float]:
    """Accuracy by number of operations, of the first run."""
    found: dict[int, float] = {}
    for f in m.figures:
        match = re.fullmatch(r".*, op=(\d+)", f.label)
        if match and f.role == "ours":
            found.setdefault(int(match[1]), f.value)
    return found


def _solved(m: Measurement) -> str:
    parsed = [f.value > 95 for f in m.figures if f.label.endswith("parsed")]
    if near := _near(m.figures):
        return decide(*parsed, *near)
    by_op = _by_op(m)
    ordered = [by_op[op] >= by_op[op + 1] for op in by_op if op + 1 in by_op]
    easy = [value >= 90 for op, value in by_op.items() if op <= (5 if 6 in by_op else 1)]
    return decide(*parsed, *easy, *ordered)


def _beyond(m: Measurement) -> str:
    """What is measured begins with the most operations of training."""
    if near := _near(m.figures):
        return decide(*near)
    trained, more, *_ = (value for _, value in sorted(_by_op(m).items()))
    return decide(2 * more >= trained)


def _redundant(m: Measurement) -> str:
    low = [f.value <= 0.05 for f in m.figures if "reask" not in f.label]
    return decide(*low or [False])


def _known(m: Measurement) -> str:
    """Probes of the trained model: ten points above both controls, intervals apart."""
    found = {f.label: f for f in m.figures}
    conditions = []
    for name, f in found.items():
        if not name.endswith(", right"):
            continue
        stem = name.removesuffix(", right")
        other, most = found[f"{stem}, untrained"], found[f"{stem}, majority"]
        apart = f.low is not None and other.high is not None and f.low > other.high
        conditions.append(apart and f.value >= max(other.value, most.value) + 10)
    return decide(*conditions)


def _retried(m: Measurement) -> str:
    """More mistakes in training, more sentences taken back; none without."""
    means: dict[float, list[float]] = {}
    for f in m.figures:
        if f.label.endswith("taken back") and "law" in f.label:
            match = re.search(r"retry=([\d.]+)", f.label)
            means.setdefault(float(match[1]) if match else 0.0, []).append(f.value)
    rates = sorted(means)
    if len(rates) < 2:  # hardly anything was solved
        return decide(False)
    average = [sum(means[r]) / len(means[r]) for r in rates]
    rising = [a < b for a, b in itertools.pairwise(average)]
    return decide(rates[0] == 0, average[0] == 0, *rising)


def _helped(m: Measurement) -> str:
    """On the hardest cell in common, accuracy rises with the rate of mistakes."""
    if near := _near(m.figures):
        return decide(*near)
    hardest = [f for f in m.figures if f.label.endswith(f"op={max(_by_op(m))}")]
    pairs = itertools.pairwise(hardest)
    return decide(*(a.value < b.value for a, b in pairs))


def _deeper(m: Measurement) -> str:
    """The deepest is as good as the shallowest wherever that one errs, and somewhere better."""
    values: dict[str, dict[int, float]] = {}
    for f in m.figures:
        match = re.search(r"model=(\d+)-\d+, (.*)", f.label)
        if match and f.role == "ours":
            values.setdefault(match[2], {})[int(match[1])] = f.value
    each = [(by[min(by)], by[max(by)]) for by in values.values()]
    told = [(shallow, deep) for shallow, deep in each if shallow < 99]  # else depth shows nothing
    return decide(any(a < b for a, b in told), *(a <= b for a, b in told))


def _regretted(m: Measurement) -> str:
    found = {f.label.rpartition("regret ")[2]: f.value for f in m.figures if "regret" in f.label}
    return decide(
        found["probe 10"] >= found["none"],
        found["perfect 10"] >= found["probe 10"],
        found["perfect 50"] >= found["perfect 10"],
    )


def _tuned(m: Measurement) -> str:
    """Full fine-tuning beats the model without mistakes and every adapter, in the hardest cell."""
    hardest = max(_by_op(m))
    found = {f.label: f.value for f in m.figures if f.label.endswith(f"op={hardest}")}
    full = [v for name, v in found.items() if "tune=full" in name]
    rest = [v for name, v in found.items() if "tune=full" not in name]
    return decide(*(f > r for f in full for r in rest))


def _faked(m: Measurement) -> str:
    """Weak mistakes help more than missing ones, in the hardest cell."""
    hardest = max(_by_op(m))
    found = {f.label: f.value for f in m.figures if f.label.endswith(f"op={hardest}")}
    weak = [v for name, v in found.items() if "retry_weak" in name]
    miss = [v for name, v in found.items() if "retry_miss" in name]
    none = [v for name, v in found.items() if "retry" not in name]
    return decide(*(w > n for w in weak for n in none), *(w > n for w in weak for n in miss))


def _believed(m: Measurement) -> str:
    wrong = [f.value < 90 for f in m.figures if "can_next said false" in f.label]
    unneeded = [f.value < 90 for f in m.figures if "nece said false" in f.label]
    return decide(*[*wrong, *unneeded] or [False])  # without mistakes there is nothing to tell


CLAIMS = (
    Claim(
        id="accuracy",
        paper=PART_1,
        statement="Models learn to solve fresh problems.",
        source="Result 2, figure 3; the figures are those of Part 2.2, figure 3(b), beam 1",
        paper_value="99.9 % (med, op <= 15), 76.8 % (op = 23)",
        metric="whole solutions that the verifier accepts; of templates that training did not see, "
        "but in the small worlds, which have few",
        rule=_solved,
        rule_text="More than 95 % of the solutions can be parsed. Where the paper has the cell: at "
        "most 3 points below it. In the small worlds: fewer operations are not harder; with three "
        "operations op = 1 at 90 % or more, with five every op <= 5.",
        scales=ALL_SCALES,
        runs=measures.worlds(""),
        measure=measures.accuracy,
        tags=("short",),
    ),
    Claim(
        id="more-operations",
        paper=PART_1,
        statement="Models also solve problems with more operations than any that they saw.",
        source="Result 2, figure 3; the figures are those of Part 2.2, figure 3(b), beam 1",
        paper_value="76.8 % (med, op = 23; trained on op <= 15)",
        metric="whole solutions that the verifier accepts",
        rule=_beyond,
        rule_text="Where the paper has the cell: at most 3 points below it. In the small worlds: "
        "with one operation more than in training at least half as good as with the most of "
        "training.",
        scales=ALL_SCALES,
        runs=measures.worlds(""),
        measure=measures.beyond,
    ),
    Claim(
        id="shortest-solutions",
        paper=PART_1,
        statement="Models compute what the question needs and nothing else.",
        source="Result 3, figure 4; numbers from Part 2.2, figure 6",
        paper_value="0.00-0.01 unnecessary operations and parameters (re-asked: .12-.52)",
        metric="mean number of unnecessary operations and parameters of right solutions",
        rule=_redundant,
        rule_text="At most 0.05 in every cell but the re-asked one, which is shown.",
        scales=ALL_SCALES,
        runs=measures.worlds(""),
        measure=measures.redundancy,
    ),
    Claim(
        id="variables",
        paper=PART_1,
        statement="Before a solution is written the model knows what it needs, and at every step "
        "what can come next.",
        source="Results 4 and 5, figure 7 (V-probing)",
        paper_value="high, far above both controls (can_next about 99 %)",
        metric="questions that a probe answers rightly: nece and can_next",
        rule=_known,
        rule_text="For nece and can_next at least 10 points above an untrained model's probe and "
        "above the commoner answer, with 95 % intervals apart from the untrained model's.",
        scales=("laptop",),
        runs=measures.worlds(""),
        measure=probed.variables(("nece", "can_next")),
    ),
    Claim(
        id="six-variables",
        paper=PART_1,
        statement="All six functions of a problem's quantities can be read off the model.",
        source="Results 4 and 5, figure 7 (V-probing)",
        paper_value="high for all six, far above both controls",
        metric="questions that a probe answers rightly",
        rule=_known,
        rule_text="For each at least 10 points above an untrained model's probe and above the "
        "commoner answer, with 95 % intervals apart from the untrained model's.",
        scales=LARGE,
        runs=measures.worlds(""),
        measure=probed.variables(("dep", "nece", "known", "value", "can_next", "nece_next")),
    ),
    Claim(
        id="mistakes-believed",
        paper=PART_1,
        statement="Where a model goes wrong, its own state says that the wrong step is right.",
        source="Result 6, figure 8; Part 2.2, section 2",
        paper_value="about 60 % detected for can_next, against 99 % of random parameters",
        metric="share of first wrong parameters of which the probe says that they cannot be next",
        rule=_believed,
        rule_text="Probes call fewer than 90 % of wrong or unneeded parameters what they are.",
        scales=LARGE,
        runs=measures.worlds(""),
        measure=probed.mistakes,
    ),
    Claim(
        id="depth",
        paper=PART_1,
        statement="At equal size the deeper model reasons better.",
        source="Result 7, figure 9",
        paper_value="not known here (accuracy grows with depth)",
        metric="whole solutions that the verifier accepts",
        rule=_deeper,
        rule_text="In every cell where the shallowest model is below 99 % the deepest is at least "
        "as good, and in one of them better.",
        scales=LARGE,
        runs=measures.worlds(
            "",
            "model=2-12",
            paper=["", *(f"model={size}" for size in SIZES if size != "12-12")],
        ),
        measure=measures.by_size,
    ),
    Claim(
        id="layers",
        paper=PART_1,
        statement="Quantities far from the question are found out in deeper layers.",
        source="Result 8, figures 10 and 14",
        paper_value="not known here",
        metric="questions about nece that a probe of a layer answers rightly",
        rule=_known,
        rule_text="As for the last layer; right answers by distance are shown for every layer.",
        scales=LARGE,
        runs=measures.worlds(""),
        measure=probed.variables(("nece",), ()),
    ),
    Claim(
        id="regret",
        paper=PART_2,
        statement="Taking back sentences that a probe finds impossible helps a little, a perfect "
        "detector more; wide beams do not.",
        source="Results 0 and 1, figure 3(b)",
        paper_value="med_pq op=23: 76.8 % -> 79.4 % (probe), 84.1 % (perfect), 86.2 % (50 tries)",
        metric="whole solutions that the verifier accepts, hardest cell, regret by a probe",
        rule=_regretted,
        rule_text="No regret <= regret by a probe <= by the truth <= by the truth with 50 tries.",
        scales=LARGE,
        runs=measures.worlds(""),
        measure=probed.regret,
    ),
    Claim(
        id="retry-counts",
        paper=PART_2,
        statement="A model trained with mistakes that are taken back takes back sentences itself, "
        "the more the more mistakes it saw.",
        source="Result 4, figure 5(a)",
        paper_value="med_pq, op <= 15: 0 / .02 / .26 at rates .2 / .4 / .5",
        metric="mean number of sentences taken back in right solutions",
        rule=_retried,
        rule_text="None without mistakes in training; more at every higher rate (training's law).",
        scales=("laptop",),
        runs=measures.worlds("", "retry=.2", "retry=.5"),
        measure=measures.retries,
    ),
    Claim(
        id="retry-data",
        paper=PART_2,
        statement="Mistakes that are taken back at once, in the pretraining data, make the model "
        "more accurate; no mask is needed.",
        source="Results 2 to 5, figures 4(b), 5 and 6",
        paper_value="med_qp op=23: 78 % -> 94 % at rate .5",
        metric="whole solutions that the verifier accepts",
        rule=_helped,
        rule_text="In the hardest cell in common accuracy rises with the rate; where the paper has "
        "the cell: at most 3 points below it.",
        scales=LARGE,
        runs=measures.worlds(
            "",
            "retry=.1",
            "retry=.2",
            "retry=.5",
            paper=["", *(f"retry={r}" for r in (".05", ".1", ".2", ".4", ".5"))]
            + [f"retry={r},mask=name" for r in (".05", ".1", ".2", ".5")],
        ),
        measure=measures.retries,
    ),
    Claim(
        id="finetuning",
        paper=PART_2,
        statement="An adapter does not teach a model to correct itself; training everything does.",
        source="Result 7, figure 7 (rate .2)",
        paper_value="med_pq op=23: 77.7 % -> 63.3-78.8 % (LoRA), 88.3 % (all)",
        metric="whole solutions that the verifier accepts",
        rule=_tuned,
        rule_text="In the hardest cell in common the fully tuned model beats the one without "
        "mistakes and every adapter.",
        scales=LARGE,
        runs=measures.worlds(
            "",
            "retry=.2,tune=4",
            "retry=.2,tune=32",
            "retry=.2,tune=full",
            paper=["", *(f"retry=.2,tune={t}" for t in (4, 8, 16, 32, 64, 128, 256, "full"))]
            + [f"retry=.2,mask=name,tune={t}" for t in (4, 8, 16, 32, 64, 128, 256, "full")],
        ),
        measure=measures.compared("", lambda run: ""),
    ),
    Claim(
        id="fake-mistakes",
        paper=PART_2,
        statement="Mistakes that need no knowledge of what can be computed help too, if they name "
        "parameters of later steps; any parameter of the problem helps little.",
        source="Result 8, figure 8",
        paper_value="med_pq op=23 at rate .1: weak 90.1 %, miss 81.6 % (none: 77.7 %)",
        metric="whole solutions that the verifier accepts",
        rule=_faked,
        rule_text="In the hardest cell in common weak mistakes beat none and missing ones.",
        scales=LARGE,
        runs=measures.worlds(
            "",
            "retry=.1,kind=retry_weak",
            "retry=.1,kind=retry_miss",
            paper=["", *(f"retry={r},kind=retry_weak" for r in (".05", ".1", ".2", ".5"))]
            + [f"retry={r},kind=retry_miss" for r in (".05", ".1", ".2", ".5")],
        ),
        measure=measures.compared("fake", measures.fake_row),
    ),
)
