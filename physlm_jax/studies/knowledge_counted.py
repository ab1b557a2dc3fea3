"""What models store, in bits per parameter (Part 3.3, arXiv 2404.05405): its twelve results."""

from __future__ import annotations

import functools
import re

from physlm_jax.studies import knowledge_measures as measures
from physlm_jax.studies.claim import Claim, decide
from physlm_jax.studies.exhibits import Measurement
from physlm_jax.studies.knowledge_measures import Rule
from physlm_jax.studies.knowledge_rules import ALL_SCALES, LARGE, apart, mean, ratio

PAPER = "Physics of Language Models: Part 3.3, Knowledge Capacity Scaling Laws"

_PAPER_SIZES = ("2-20", "4-20", "6-8", "8-8", "16-4", "16-8")
_SMALL = "bioS,n=900,exposures=300"
_GPU = tuple(
    f"bioS,n={n},exposures=1000,model={m}"
    for n, m in ((10_000, "2-2"), (10_000, "2-4"), (20_000, "2-2"), (40_000, "2-2"))
)
_LARGE = tuple(f"bioS,n=1000000,exposures=1000,model={m}" for m in _PAPER_SIZES)
_GPU_SHORT = tuple(f"bioS,n=100000,exposures=100,model={m}" for m in ("2-2", "2-4", "4-4"))
_LARGE_SHORT = tuple(f"bioS,n=1000000,exposures=100,model={m}" for m in _PAPER_SIZES)
# some of the paper's shapes: K attributes of C chunks, each one of D of L symbols out of T
_SHAPES = ("k=1,c=1,d=100,l=1,t=1000", "k=20,c=1,d=1000,l=5,t=200", "k=2,c=10,d=100,l=2,t=2000")
_DIVERSE = tuple(f"bioD,n=20000,{shape},exposures=1000,model=2-2" for shape in _SHAPES)
_DIVERSE_LARGE = tuple(f"bioD,n=500000,{shape},exposures=1000,model=4-8" for shape in _SHAPES)
_JUNK = {  # of the useful people, by scale
    "laptop": "bioS,n=300,exposures=200",
    "gpu": "bioS,n=50000,exposures=100,model=2-4",
    "paper": "bioS,n=200000,exposures=100,model=8-8",
}
_CLEAN = r"exposures=\d+( model=\S+)?, R$"  # of a run without junk, or of GPT-2's architecture
_GATED = "arch=llama|arch=mistral"


def _with(run: str, *architectures: str) -> tuple[str, ...]:
    """A run of GPT-2's architecture and the same of others."""
    return (run, *(f"{run},arch={name}" for name in architectures))


def _junk(*settings: str, scales: tuple[str, ...] = ALL_SCALES) -> measures.Runs:
    return measures.runs(**{scale: [_JUNK[scale] + s for s in settings] for scale in scales})


def _reaches(peak: float, full: float) -> Rule:
    """R near R_max wherever that is at most `full`; where it is beyond `peak`, R there."""

    def rule(m: Measurement) -> str:
        most = {f.label.removesuffix(", R_max"): f.value for f in m.figures if "R_max" in f.label}
        pairs = [(m[f"{name}, R"].value, value) for name, value in most.items()]
        near = [r >= 0.9 * top for r, top in pairs if top <= full]
        beyond = [r for r, top in pairs if top > peak]
        return decide(*near, *([max(beyond) >= 0.95 * peak] if beyond else []))

    return rule


def _rounded(m: Measurement) -> str:
    """int8 as good as the trained model, int4 much worse."""
    conditions = []
    for f in m.figures:
        match = re.fullmatch(r"(.*) int(\d)( gptq)?, R", f.label)
        if not match:
            continue
        trained = m[f"{match[1]}, R"].value
        near = abs(f.value - trained) <= 0.02 * abs(trained)
        conditions.append(near if match[2] == "8" else f.value < 0.6 * trained)
    return decide(*conditions)


def _mended(m: Measurement) -> str:
    """A mark on what is useful gives back much of what junk costs."""
    clean, junk = mean(m, _CLEAN), mean(m, "junk=bios, R$")
    marked = mean(m, "junk=bios marked=1, R$")
    return decide(junk < 0.8 * clean, marked - junk >= (clean - junk) / 3)


_Bits = functools.partial(
    Claim, paper=PAPER, metric="bits per parameter", measure=measures.ratios, scales=LARGE
)

COUNTED = (
    Claim(
        id="two-bits",
        paper=PAPER,
        statement="Models store about two bits of knowledge per parameter when each fact is seen "
        "1000 times, and all there is to know as long as that is less.",
        source="Result 1, figure 1(a)",
        paper_value="peak R >= 2; R ~ R_max wherever R_max <= 1.8",
        metric="bits per parameter (used rows of the embedding alone)",
        rule=_reaches(2.0, 1.8),
        rule_text="R at least 90 % of R_max wherever that is at most 1.8; where it is more than 2, "
        "R reaches 1.9 in one run. The laptop's worlds have R_max of about 0.9 at 300 exposures.",
        scales=ALL_SCALES,
        runs=measures.runs(laptop=(_SMALL,), gpu=_GPU, paper=_LARGE),
        measure=measures.ratios,
        tags=("short",),
    ),
    _Bits(
        id="rewriting",
        statement="Knowledge that is always worded anew costs no more capacity than one wording "
        "seen as often; rewritten freely, slightly more.",
        source="Result 2, figure 2",
        paper_value="bioS-simple and bioR slightly below bioS, all about 2",
        rule=lambda m: decide(
            ratio(m, "^bioS ", "^bioS-simple ") >= 0.9, ratio(m, "^bioR ", "^bioS ") >= 0.75
        ),
        rule_text="R of bioS at least 0.9 of that of bioS-simple, R of bioR (forty rewritings, by "
        "a grammar) at least 0.75 of that of bioS.",
        runs=measures.runs(
            gpu=[_GPU[2].replace("bioS", v) for v in ("bioS", "bioS-simple", "bioR")],
            paper=[_LARGE[0].replace("bioS", v) for v in ("bioS", "bioS-simple", "bioR")],
        ),
    ),
    _Bits(
        id="any-shape",
        statement="The two bits hold for knowledge of any shape: many or few attributes, long or "
        "short values, many or few of them.",
        source="Result 3, figure 3 (bioD)",
        paper_value="peak R >= 2 over all of K, C, D, L and T",
        rule=_reaches(2.0, 1.8),
        rule_text="R at least 90 % of R_max wherever that is at most 1.8; where it is more than 2, "
        "R reaches 1.9 in one run.",
        runs=measures.runs(gpu=_DIVERSE, paper=_DIVERSE_LARGE),
    ),
    _Bits(
        id="exposures",
        statement="A fact that is seen less often is stored less: with 100 exposures the ceiling "
        "is about one bit per parameter.",
        source="Result 4, figure 1(b)",
        paper_value="peak R >= 1 at 100 exposures",
        rule=apart("exposures=300|exposures=1000", "exposures=100,|exposures=100 ", 0.15),
        rule_text="R after 300 (laptop) or 1000 exposures at least 0.15 above R after 100.",
        scales=ALL_SCALES,
        runs=measures.runs(
            laptop=(_SMALL, "bioS,n=900,exposures=100"),
            gpu=(_GPU[2], "bioS,n=20000,exposures=100,model=2-2"),
            paper=(*_LARGE[2:4], *_LARGE_SHORT[2:4]),
        ),
    ),
    _Bits(
        id="one-bit",
        statement="With 100 exposures the peak is at least one bit per parameter.",
        source="Result 4, figure 1(b)",
        paper_value="peak R >= 1",
        rule=_reaches(1.0, 0.5),
        rule_text="R reaches 0.95 in a run whose R_max is more than 1; at least 90 % of R_max "
        "where that is at most 0.5.",
        runs=measures.runs(gpu=_GPU_SHORT, paper=_LARGE_SHORT),
    ),
    _Bits(
        id="architectures",
        statement="With 1000 exposures the architecture hardly matters, even without an MLP.",
        source="Result 5, figure 5",
        paper_value="all about 2; LLaMA slightly below in models under 10M",
        rule=apart(f"{_GATED}|arch=nomlp|arch=quarter", _CLEAN, -0.2),
        rule_text="The mean R of the other architectures at most 0.2 below GPT-2's.",
        runs=measures.runs(
            gpu=_with(_GPU[3], "llama", "mistral", "quarter", "nomlp"),
            paper=_with(_LARGE[3], "llama", "mistral", "quarter", "nomlp"),
        ),
    ),
    _Bits(
        id="architectures-short",
        statement="With 100 exposures it does: gated MLPs store less, models without an MLP much "
        "less; an MLP of a quarter of the size loses nothing.",
        source="Result 6, figure 5",
        paper_value="LLaMA and Mistral up to 1.3 times, no MLP more than 1.5 times below GPT-2",
        rule=lambda m: decide(
            ratio(m, _GATED, _CLEAN) < 0.95,
            ratio(m, "arch=nomlp", _CLEAN) < 0.8,
            ratio(m, "arch=quarter", _CLEAN) >= 0.9,
        ),
        rule_text="Of GPT-2's R: gated models below 0.95, without an MLP below 0.8, with the small "
        "MLP at least 0.9.",
        runs=measures.runs(
            gpu=_with(_GPU_SHORT[1], "llama", "mistral", "quarter", "nomlp"),
            paper=_with(_LARGE_SHORT[2], "llama", "mistral", "quarter", "nomlp"),
        ),
    ),
    _Bits(
        id="gated",
        statement="It is the gate: with a plain MLP in its place (silu kept) the loss is gone.",
        source="Result 7, figure 6",
        paper_value="the gap to GPT-2 closes",
        rule=apart(f"arch=plain|{_CLEAN}", _GATED, 0.05),
        rule_text="R of plain MLPs (GPT-2, and LLaMA with a plain MLP by silu) at least 0.05 above "
        "that of gated ones.",
        runs=measures.runs(
            gpu=_with(_GPU_SHORT[1], "llama", "mistral", "plain"),
            paper=_with(_LARGE_SHORT[2], "llama", "mistral", "plain"),
        ),
    ),
    Claim(
        id="quantisation",
        paper=PAPER,
        statement="Rounding the weights to 8 bits loses nothing, to 4 bits more than half.",
        source="Result 8, figure 7",
        paper_value="int8: no loss; int4: more than twice less, peak 0.7 bits per parameter",
        metric="bits per parameter of the rounded model, same parameter count",
        rule=_rounded,
        rule_text="int8 within 2 % of the trained R; int4 below 0.6 of it. To nearest, a scale for "
        "each output; GPTQ with 1000 biographies beside it.",
        scales=ALL_SCALES,
        runs=measures.runs(laptop=(_SMALL,), gpu=(_GPU[3],), paper=_LARGE[2:4]),
        measure=measures.quantised((8, "nearest"), (8, "gptq"), (4, "nearest"), (4, "gptq")),
    ),
    _Bits(
        id="experts",
        statement="Mixtures of 32 experts store nearly as much per parameter, of which a token "
        "uses a tenth.",
        source="Result 9, figure 8",
        paper_value="1.3 times below dense models at 1000 exposures",
        metric="bits per parameter, all experts counted",
        rule=lambda m: decide(ratio(m, "arch=experts", _CLEAN) >= 0.6),
        rule_text="R of the mixture at least 0.6 of that of a dense model of about as many "
        "parameters (of both R_max is more than 2).",
        runs=measures.runs(
            gpu=(_GPU[3], "bioS,n=40000,exposures=1000,model=2-1,arch=experts"),
            paper=(_LARGE[2], "bioS,n=1000000,exposures=1000,model=4-4,arch=experts"),
        ),
    ),
    _Bits(
        id="experts-short",
        statement="With 100 exposures mixtures of experts lose more, yet not in proportion to what "
        "a token uses.",
        source="Result 9, figure 8",
        paper_value="1.5 times below dense models at 100 exposures",
        metric="bits per parameter, all experts counted",
        rule=lambda m: decide(ratio(m, "arch=experts", _CLEAN) >= 0.5),
        rule_text="R of the mixture at least half of that of a dense model of about as many "
        "parameters (of both R_max is more than 1).",
        runs=measures.runs(
            gpu=(_GPU_SHORT[0], "bioS,n=100000,exposures=100,model=2-1,arch=experts"),
            paper=(_LARGE_SHORT[2], "bioS,n=1000000,exposures=100,model=4-4,arch=experts"),
        ),
    ),
    _Bits(
        id="junk",
        statement="Seven parts of junk that is seen hardly ever spoil what is stored of the useful "
        "part.",
        source="Result 10, figure 9",
        paper_value="up to 20 times less at 100 exposures",
        metric="bits per parameter about the useful people",
        rule=lambda m: decide(ratio(m, "junk=bios, R$", _CLEAN) < 0.8),
        rule_text="With junk less than 0.8 of R without.",
        scales=ALL_SCALES,
        runs=_junk("", ",junk=bios"),
    ),
    _Bits(
        id="repeated-junk",
        statement="Seven parts of junk that repeats itself do no harm.",
        source="Result 11, figure 9",
        paper_value="no loss at 100 exposures",
        metric="bits per parameter about the useful people",
        rule=lambda m: decide(ratio(m, "junk=repeated, R$", _CLEAN) >= 0.9),
        rule_text="With such junk at least 0.9 of R without.",
        runs=_junk("", ",junk=repeated", scales=LARGE),
    ),
    _Bits(
        id="marked",
        statement="A token in front of every useful biography mends most of what junk spoils.",
        source="Result 12, figure 9",
        paper_value="2 times less instead of 20 at 100 exposures",
        metric="bits per parameter about the useful people",
        rule=_mended,
        rule_text="With junk less than 0.8 of R without; the token gives back at least a third of "
        "the loss.",
        scales=ALL_SCALES,
        runs=_junk("", ",junk=bios", ",junk=bios,marked=1"),
    ),
)
