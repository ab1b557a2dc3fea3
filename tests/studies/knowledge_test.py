"""Claims of knowledge: their rules on invented figures, and the whole in small."""

import pytest
from small import outcomes, shrink

from physlm_jax.studies import knowledge, knowledge_measures, trained
from physlm_jax.studies.claim import NOT_REPRODUCED, PARTLY, REPRODUCED, Outcome
from physlm_jax.studies.exhibits import Figure, Measurement

CLAIMS = {claim.id: claim for claim in knowledge.CLAIMS}


def judged(name, *figures):
    return CLAIMS[name].rule(Measurement(figures))


def bits(run, value, most=None):
    """R of a run, with R_max where it is said."""
    found = [Figure(f"{run}, R", value, unit="bits")]
    if most is not None:
        found.append(Figure(f"{run}, R_max", most, seeds=0, role="truth"))
    return tuple(found)


def percents(run, role="ours", **values):
    """Figures "run, mean" and "run, trained", and "run: task" of other names."""
    return tuple(
        Figure(f"{run}, {k}" if k in ("mean", "trained") else f"{run}: {k}", v, role=role)
        for k, v in values.items()
    )


@pytest.mark.parametrize(
    ("small", "large", "verdict"),
    [
        ((0.64, 0.7), (1.92, 2.7), REPRODUCED),
        ((0.62, 0.7), (1.92, 2.7), PARTLY),  # below 90 % of what there was to know
        ((0.64, 0.7), (1.88, 2.7), PARTLY),  # below 1.9 bits
        ((0.62, 0.7), (1.88, 2.7), NOT_REPRODUCED),
        ((0.64, 0.7), (1.1, 1.9), REPRODUCED),  # nothing is asked between 1.8 and 2
    ],
)
def test_rule_of_two_bits(small, large, verdict):
    figures = (*bits("bioS n=1", *small), *bits("bioS n=2", *large))
    assert judged("two-bits", *figures) == verdict


def test_rule_of_one_bit_without_a_model_that_is_too_small():
    assert judged("one-bit", *bits("bioS n=1", 0.46, 0.5)) == REPRODUCED
    assert judged("one-bit", *bits("bioS n=1", 0.44, 0.5)) == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ((0.95, 0.94, 0.96, 0.50, 0.56), REPRODUCED),
        ((0.95, 0.90, 0.96, 0.50, 0.56), PARTLY),
        ((0.95, 0.90, 0.90, 0.90, 0.60), NOT_REPRODUCED),
    ],
)
def test_rule_of_quantisation(figures, verdict):
    run = "bioS n=900 exposures=300"
    ways = ("", " int8", " int8 gptq", " int4", " int4 gptq")
    made = [f for way, value in zip(ways, figures, strict=True) for f in bits(run + way, value)]
    assert judged("quantisation", *made) == verdict


@pytest.mark.parametrize(
    ("clean", "junk", "marked", "verdict"),
    [
        (0.5, 0.3, 0.4, REPRODUCED),
        (0.5, 0.3, 0.35, PARTLY),
        (0.5, 0.45, 0.45, NOT_REPRODUCED),
    ],
)
def test_rules_of_junk(clean, junk, marked, verdict):
    run = "bioS n=400 exposures=200 model=2-4"
    figures = [*bits(run, clean), *bits(f"{run} junk=bios", junk)]
    assert judged("junk", *figures) == (REPRODUCED if junk < 0.4 else NOT_REPRODUCED)
    figures += bits(f"{run} junk=bios marked=1", marked)
    assert judged("marked", *figures) == verdict
    repeated = f"{run} junk=repeated"
    assert judged("repeated-junk", *bits(run, clean), *bits(repeated, 0.46)) == REPRODUCED
    assert judged("repeated-junk", *bits(run, clean), *bits(repeated, 0.44)) == NOT_REPRODUCED


def test_rules_that_compare_bits():
    long, short = "bioS n=2 exposures=1000 model=2-2", "bioS n=2 exposures=100 model=2-2"
    pair = (*bits(long, 1.3), *bits(short, 1.1))
    assert judged("exposures", *pair) == REPRODUCED
    assert judged("exposures", *bits(long, 1.2), *pair[1:]) == NOT_REPRODUCED
    laptop = (*bits("bioS n=9 exposures=300", 0.9), *bits("bioS n=9 exposures=100", 0.5))
    assert judged("exposures", *laptop) == REPRODUCED
    fixed = bits(long.replace("bioS", "bioS-simple"), 1.35)
    free = long.replace("bioS", "bioR")
    assert judged("rewriting", *pair[:1], *fixed, *bits(free, 1.0)) == REPRODUCED
    assert judged("rewriting", *bits(long, 1.2), *fixed, *bits(free, 1.0)) == PARTLY
    assert judged("rewriting", *bits(long, 1.2), *fixed, *bits(free, 0.8)) == NOT_REPRODUCED
    gated = (*bits(f"{short} arch=llama", 0.9), *bits(f"{short} arch=mistral", 0.7))
    plain = (*bits(short, 1.0), *bits(f"{short} arch=plain", 0.8))
    assert judged("gated", *gated, *plain) == REPRODUCED
    assert judged("gated", *gated, *plain[1:]) == NOT_REPRODUCED  # the plain one alone, 0.8
    other = f"{long} arch=nomlp"
    assert judged("architectures", *bits(long, 1.9), *bits(other, 1.75)) == REPRODUCED
    assert judged("architectures", *bits(long, 1.9), *bits(other, 1.6)) == NOT_REPRODUCED
    mixed = bits("bioS n=2 exposures=1000 model=2-1 arch=experts", 1.2)
    assert judged("experts", *bits(long, 1.9), *mixed) == REPRODUCED
    assert judged("experts", *bits(long, 2.1), *mixed) == NOT_REPRODUCED
    mixed = bits("bioS n=2 exposures=100 model=2-1 arch=experts", 0.55)
    assert judged("experts-short", *bits(short, 1.1), *mixed) == REPRODUCED
    assert judged("experts-short", *bits(short, 1.2), *mixed) == NOT_REPRODUCED
    weak = (*bits(f"{short} arch=nomlp", 0.7), *bits(f"{short} arch=quarter", 0.95))
    assert judged("architectures-short", *bits(short, 1.0), *gated, *weak) == REPRODUCED
    assert judged("architectures-short", *bits(short, 0.85), *gated, *weak) == PARTLY


@pytest.mark.parametrize(
    ("single", "rich", "known", "verdict"),
    [
        (4, 47, 99, REPRODUCED),
        (4, 28, 99, PARTLY),
        (4, 47, 70, PARTLY),
        (4, 28, 70, NOT_REPRODUCED),
    ],
)
def test_rule_of_extraction(single, rich, known, verdict):
    how = "tasks=extraction tune=8-16"
    figures = [*percents(f"single exposures=100 {how}", mean=single)]
    figures += percents(f"multi5+permute {how}", mean=rich)
    figures += percents(f"multi5+permute {how}", "baseline", trained=known)
    figures += percents(f"single exposures=100 {how}", "baseline", trained=40)
    assert judged("extraction", *figures) == verdict


@pytest.mark.parametrize(
    ("both", "small", "large", "verdict"),
    [
        (45, 10, 14, REPRODUCED),
        (23, 10, 14, PARTLY),  # 9 points above the larger rank
        (45, 10, 28, PARTLY),  # the rank of query and value matters
        (23, 2, 14, NOT_REPRODUCED),
        (1, 1, 1, NOT_REPRODUCED),
    ],
)
def test_rule_of_the_embedding_s_rank(both, small, large, verdict):
    run = "multi5+permute tasks=extraction tune="
    ranks = {"8-16": both, "8-0": small, "16-0": large}
    figures = [f for r, v in ranks.items() for f in percents(run + r, mean=v)]
    assert judged("embedding-rank", *figures) == verdict


def test_rules_of_questions():
    run = "single tasks=extraction tune=full"
    trained = percents(run, "baseline", trained=99)
    assert judged("full-finetuning", *percents(run, mean=3), *trained) == REPRODUCED
    assert judged("full-finetuning", *percents(run, mean=16), *trained) == PARTLY
    assert judged("mixed-training", *percents("single", mean=70)) == REPRODUCED
    assert judged("mixed-training", *percents("single", mean=69)) == NOT_REPRODUCED
    run = "single+permute1 n=10 {}tasks=extraction tune=8-128"
    alone = percents(run.format(""), mean=4)
    famous = run.format("celebrities=10 ")
    assert judged("celebrities", *alone, *percents(famous, mean=30)) == REPRODUCED
    assert judged("celebrities", *alone, *percents(famous, mean=28)) == NOT_REPRODUCED
    run = "multi5+permute bidirectional=1"
    tasks = {"major": 90, "university": 69, "company_city": 70}
    assert judged("bidirectional", *percents(run, **tasks)) == REPRODUCED
    assert judged("bidirectional", *percents(run, **tasks | {"university": 71})) == PARTLY


def test_rule_of_probes():
    first = [Figure("single exposures=100, first place", 4.0), Figure("single: major whole", 90)]
    rich = "multi5+permute, first place"
    assert judged("stored-on-names", *first, Figure(rich, 29)) == REPRODUCED
    assert judged("told-by-name", *first, Figure(rich, 28)) == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("half", "end", "verdict"),
    [
        ((10, 20, 30), (99, 90, 80), REPRODUCED),
        ((10, 10, 10), (99, 90, 80), REPRODUCED),  # checkpoints are few
        ((10, 30, 20), (99, 90, 80), PARTLY),
        ((10, 10, 10), (0, 0, 0), PARTLY),  # nothing was ever known
        ((30, 20, 10), (0, 0, 0), NOT_REPRODUCED),
    ],
)
def test_rule_of_the_order_of_learning(half, end, verdict):
    figures = []
    for name, h, e in zip(knowledge_measures.RISES, half, end, strict=True):
        figures += [Figure(f"single, {name}: half", h), Figure(f"single, {name}: at the end", e)]
    assert judged("order-of-learning", *figures) == verdict


@pytest.mark.parametrize(
    ("free", "fixed", "verdict"),
    [
        ((95, 95, 80, 20), (30, 90), REPRODUCED),
        ((50, 95, 80, 20), (30, 90), PARTLY),
        ((95, 95, 80, 41), (30, 90), PARTLY),
        ((50, 95, 80, 41), (70, 90), NOT_REPRODUCED),
    ],
)
def test_rule_of_orders_of_retrieval(free, fixed, verdict):
    names = ("company_city+employer", "employer+company_city", "birth_day", "birth_year")
    figures = [Figure(f"multi5+permute x: {n}", v) for n, v in zip(names, free, strict=True)]
    figures += [Figure(f"multi5+fullname x: {n}", v) for n, v in zip(names[:2], fixed, strict=True)]
    assert judged("orders-of-retrieval", *figures) == verdict


def test_rule_of_inverse_search():
    guess = Figure("guessing a first name", 2.5, seeds=0, role="control")
    found = Figure("multi5+permute tasks=inverse, all_to_first", 5.4)
    behind = Figure("multi5+permute+reverse6 tasks=inverse, all_to_first", 60.0)
    assert judged("inverse-search", guess, found, behind) == REPRODUCED
    more = Figure("multi5+permute tasks=inverse, bdate_to_first", 5.6)
    assert judged("inverse-search", guess, found, more) == PARTLY
    assert judged("inverse-search", guess, more) == NOT_REPRODUCED


def hinted(task, hint, direct, predicted, guess):
    said = ("with a hint", "direct", "predicted", "guessing")
    values = zip(said, (hint, direct, predicted, guess), strict=True)
    return [Figure(f"multi5+permute: {task}, {name}", value) for name, value in values]


@pytest.mark.parametrize(
    ("month", "rephrased", "verdict"),
    [
        ((94, 75, 95, 50), (95, 94, 92, 8), REPRODUCED),
        ((84, 75, 85, 50), (95, 94, 92, 8), PARTLY),
        ((94, 89, 95, 50), (95, 94, 92, 8), PARTLY),
        ((80, 75, 95, 50), (95, 94, 92, 8), PARTLY),
        ((70, 89, 95, 50), (70, 94, 92, 8), NOT_REPRODUCED),
    ],
)
def test_rule_of_hints(month, rephrased, verdict):
    figures = hinted("month %2", *month) + hinted("month %12", *rephrased)
    assert judged("hints", *figures) == verdict


@pytest.mark.parametrize("claim", knowledge.CLAIMS, ids=lambda c: c.id)
def test_a_rule_without_its_figures_fails(claim):
    strange = (Figure("another study's, accuracy", 1.0), Figure("guess", 1.0, role="control"))
    with pytest.raises((ValueError, KeyError, StopIteration, ZeroDivisionError)):
        claim.rule(Measurement(strange))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where both tests find runs."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def tiny(monkeypatch):
    changes = {"data__people": 40, "checkpoint__every": 2, "checkpoint__keep_every": 2}
    shrink(monkeypatch, "knowledge", **changes)
    monkeypatch.setitem(knowledge_measures.PROBES, "laptop", {"steps": 2})


def test_the_study_in_small(folder, tiny):
    wanted = ["quantisation", "extraction", "stored-on-names", "hints", "inverse-search"]
    found = outcomes("knowledge", folder, wanted)
    assert list(found) == wanted
    for outcome in found.values():
        assert Outcome.from_json(outcome.to_json()) == outcome
    figures = found["quantisation"].measurement.figures
    assert figures[0].label == "bioS n=900 exposures=300, R"
    assert figures[1].label == "bioS n=900 exposures=300, R_max"
    assert figures[0].seeds == 2 and figures[0].value < figures[1].value
    assert figures[-1].label == "bioS n=900 exposures=300 int4 gptq, R"
    mean = found["extraction"].measurement.headline
    assert mean.label == "multi5+permute tasks=extraction tune=8-16, mean"
    assert mean.n == 2 * 6 * 20  # seeds, attributes, people of whom no question was trained on
    first = found["stored-on-names"].measurement["multi5+permute, first place"]
    assert first.seeds == 2 and first.low <= first.value <= first.high
    labels = [f.label for f in found["hints"].measurement.figures]
    assert labels[0] == "month %2, with a hint"
    bars = found["hints"].measurement.exhibits[0]
    assert len(bars.groups) == 6 and [len(s.y) for s in bars.series] == [6] * 4


OTHERS = {  # what other scales alone measure
    "order-of-learning": ("single,laptop,tasks=extraction,mixed=0.8",),
    "any-shape": ("bioD,laptop,n=40,k=2,c=2,d=10,l=2,t=20",),
    "bidirectional": ("multi5+permute,laptop,bidirectional=1,tasks=extraction,tune=8-16",),
    "told-by-name": ("single,laptop,exposures=100", "multi5+permute,laptop"),
    "celebrities": ("single+permute1,laptop,celebrities=40,tasks=extraction,tune=8-16",),
    "full-finetuning": ("single,laptop,exposures=100,tasks=extraction,tune=full",),
}


def test_what_other_scales_measure_in_small(folder, tiny):
    found = {}
    for name, arguments in OTHERS.items():
        runs = {a: trained.finished("knowledge", a, range(1), folder) for a in arguments}
        found[name] = CLAIMS[name].measure(runs, "laptop")
        if name != "celebrities":  # which are compared with people without any
            assert CLAIMS[name].rule(found[name]) in (REPRODUCED, PARTLY, NOT_REPRODUCED)
    rising = found["order-of-learning"].exhibits[0].series
    assert [s.name for s in rising] == [*knowledge_measures.RISES] and rising[0].x == (2, 4)
    assert found["any-shape"].figures[0].value < found["any-shape"].figures[1].value
    assert found["celebrities"].figures[0].n == 6 * 40  # of the minority


def test_fine_tuning_starts_from_the_run_without_tasks(folder, tiny):
    argument = "single,laptop,exposures=100,tasks=extraction,tune=8-16"
    tuned = trained.finished("knowledge", argument, range(2), folder)
    bases = trained.finished("knowledge", "single,laptop,exposures=100", range(2), folder)
    for run, base in zip(tuned, bases, strict=True):
        assert run.config.base.run == str(base.workdir)
        assert run.config.base.member == base.member
        assert run.config.lora and not base.config.lora and "tasks" not in base.config.data
