"""Mistakes that are taken back: where they stand, how many, what of them bears loss."""

import re

import igsm_reference as reference
import igsm_summary as summary
import numpy as np
import pytest

from physlm_jax.data import igsm
from physlm_jax.errors import InputError

KINDS = ("retry", "retry_weak", "retry_weak_same", "retry_miss")
BACK = re.compile(r"Define ([^.;]+) as BACK\. ")


def sentences(text):
    return text[1:-1].split(". ")


def mistakes(facts, text):
    """For every step of a solution, the parameters named before it."""
    ids = {reference.name(facts, p): p for p in reference.entries(facts)}
    found = [[]]
    for step in sentences(text):
        taken_back = re.fullmatch("Define (.+) as BACK", step)
        if taken_back:
            found[-1].append(ids[taken_back[1]])
        else:
            found.append([])
    assert found.pop() == []  # nothing after the last step
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_no_rate_no_mistakes(problems, kind):
    for problem in problems["med"][:20]:
        assert igsm.retry(problem, 0.0, kind, seed=3) == problem.solution


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world", ["med op 21", "reask", "mini"])
def test_mistakes_are_of_their_kind(problems, records, kind, world):
    count = 0
    for seed, (problem, facts) in enumerate(zip(problems[world], records[world], strict=True)):
        text = igsm.retry(problem, 0.6, kind, seed)
        assert BACK.sub("", text) == problem.solution
        for step, named in enumerate(mistakes(facts, text)):
            assert len(set(named)) == len(named)  # drawn without replacement
            assert set(named) <= reference.wrong(facts, step, kind)
            count += len(named)
    assert count > 10


def test_every_mistake_is_not_ready_at_its_place(problems, records):
    for problem, facts in zip(problems["med"], records["med"], strict=True):
        labels = igsm.labels(problem)
        for step, named in enumerate(mistakes(facts, igsm.retry(problem, 0.5, "retry", 1))):
            for p in named:
                n = labels.params.index(p)
                assert not labels.can_next[step, n] and not labels.known[step, n]


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_as_many_as_the_rate_says(problems, records, rate):
    # Over the steps where at least 14 parameters can be named: the number is geometric.
    counts = []
    for problem, facts in zip(problems["med op 21"], records["med op 21"], strict=True):
        steps = len(facts["solution_order"])
        many = [len(reference.wrong(facts, step, "retry")) >= 14 for step in range(steps)]
        for seed in range(20):
            named = mistakes(facts, igsm.retry(problem, rate, "retry", seed))
            counts += [len(n) for n, enough in zip(named, many, strict=True) if enough]
    error = np.sqrt(rate) / (1 - rate) / np.sqrt(len(counts))
    assert len(counts) > 2000
    assert np.mean(counts) == pytest.approx(rate / (1 - rate), abs=4 * error)
    assert np.mean(np.equal(counts, 0)) == pytest.approx(
        1 - rate, abs=4 * np.sqrt(rate * (1 - rate) / len(counts))
    )


def test_the_named_ones_are_uniform(problems, records):
    problem, facts = problems["med op 21"][0], records["med op 21"][0]
    options = sorted(reference.wrong(facts, 0, "retry"))
    drawn = []
    for seed in range(3000):
        drawn += mistakes(facts, igsm.retry(problem, 0.5, "retry", seed))[0][:1]
    counts = np.array([drawn.count(p) for p in options])
    assert summary.misfit(counts, len(drawn) / len(options)) < 4


def test_mistakes_end_when_none_is_left(problems, records):
    problem, facts = problems["mini"][0], records["mini"][0]
    for step, named in enumerate(mistakes(facts, igsm.retry(problem, 0.9999, "retry"))):
        assert set(named) == reference.wrong(facts, step, "retry")


def test_seeds_and_problems_have_mistakes_of_their_own(problems):
    first, second = problems["med op 21"][:2]
    assert igsm.retry(first, 0.5, seed=1) == igsm.retry(first, 0.5, seed=1)
    assert igsm.retry(first, 0.5, seed=1) != igsm.retry(first, 0.5, seed=2)
    names = [re.findall("Define (.+?) as", igsm.retry(p, 0.5, seed=1)) for p in (first, second)]
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("rate", "kind", "message"),
    [
        (1.0, "retry", r"rate must be in \[0, 1\), got 1.0"),
        (-0.1, "retry", r"rate must be in \[0, 1\), got -0.1"),
        (float("nan"), "retry", r"rate must be in \[0, 1\)"),
        (0.1, "retry_week", r"did you mean 'retry_weak'"),
    ],
)
def test_wrong_rates_and_kinds(problems, rate, kind, message):
    with pytest.raises(InputError, match=message):
        igsm.retry(problems["mini"][0], rate, kind)
    with pytest.raises(InputError, match=message):
        igsm.Retry(rate, kind)


def test_an_unknown_mask():
    with pytest.raises(InputError, match=r"unknown mask of retries 'names'.*did you mean 'name'"):
        igsm.Retry(0.1, "retry", "names")


@pytest.mark.parametrize("kind", ["items", "words"])
@pytest.mark.parametrize("mask", ["name", "all"])
def test_masked_are_the_wrong_names_or_their_sentences(kind, mask):
    vocabulary = igsm.tokenizer(igsm.MED, kind)
    retry = igsm.Retry(0.5, "retry", mask)
    found = igsm.tokens(igsm.MED, vocabulary, 5, 0, 40, retry=retry)
    plain = igsm.tokens(igsm.MED, vocabulary, 5, 0, 40, retry=igsm.Retry(0.5))
    np.testing.assert_array_equal(found.tokens, plain.tokens)
    assert "weights" not in plain.labels
    assert found.weights.dtype == np.float32 and set(found.weights) == {0.0, 1.0}
    hidden = {"name": r"(?<=Define)[^.;]+(?= as BACK\.)", "all": r" Define[^.;]+(?= BACK\.)"}[mask]
    for n in range(40):
        example, begin = found[n], found.offsets[n]
        texts = [vocabulary.decode([i]) for i in example]
        text, ends = "".join(texts), np.cumsum([len(t) for t in texts])
        expected = np.ones(len(example), np.float32)
        for match in re.finditer(hidden, text):
            expected[(ends > match.start()) & (ends <= match.end())] = 0
        np.testing.assert_array_equal(found.weights[begin : begin + len(example)], expected)


def test_tokens_without_mistakes_bear_loss_everywhere():
    vocabulary = igsm.tokenizer(igsm.MINI)
    found = igsm.tokens(igsm.MINI, vocabulary, 1, 0, 30, retry=igsm.Retry(0.0, mask="all"))
    assert found.weights.min() == 1.0 and found.weights.shape == found.tokens.shape


@pytest.mark.parametrize("kind", KINDS)
def test_mistakes_of_tokens_are_of_their_kind(kind):
    spec = igsm.Spec(op=12)
    vocabulary = igsm.tokenizer(spec)
    found = igsm.tokens(spec, vocabulary, 2, 0, 30, retry=igsm.Retry(0.5, kind))
    for ids, problem in zip(found, igsm.sample(spec, 2, 0, 30), strict=True):
        text = vocabulary.decode(ids)
        solution = text.split("<solution>")[1].split("<answer>")[0]
        facts = problem.facts()
        assert BACK.sub("", solution) == problem.solution
        for step, named in enumerate(mistakes(facts, solution)):
            assert set(named) <= reference.wrong(facts, step, kind)
