"""Templates of solutions and the bins that split them into training and test."""

import hashlib
import re

import igsm_reference as reference
import igsm_summary as summary
import numpy as np
import pytest

from physlm_jax.data import igsm
from physlm_jax.data.igsm import templates
from physlm_jax.errors import InputError


@pytest.mark.parametrize(
    ("text", "bin_"),
    [
        (" Define Inst as a. so a = 0. Define Inst as b. so b = 0 + a = 0 + 0 = 0.", 16),
        (" Define Inst as a. so a = 0.", 10),
        (" Define Inter as a. so a = 0.", 20),
    ],
)
def test_published_bins(text, bin_):
    assert templates.bin_of(text) == bin_


def slow_template(facts, solution):
    """The template, from the sentences of the text and the kinds of what they define."""
    letters: dict[str, str] = {}
    fresh = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    steps = []
    for p, step in zip(facts["solution_order"], solution[1:-1].split(". "), strict=True):
        rest = step.removeprefix(f"Define {reference.name(facts, tuple(p))} as ")
        words = re.findall(r"\w+|\S", rest.replace(";", "."))
        for n, word in enumerate(words):
            if word.isdigit():
                words[n] = "0"
            elif len(word) == 1 and word.isalpha():
                if word not in letters:
                    letters[word] = next(fresh)
                words[n] = letters[word]
        told = " ".join(words).replace(" .", ".")
        steps.append(f"Define {'Inst' if p[0] == 0 else 'Inter'} as {told}")
    return " " + ". ".join(steps) + "."


@pytest.mark.parametrize("world", ["med", "hard", "mini", "med op 21", "reask"])
def test_templates_are_those_of_the_twin(problems, records, world):
    for problem, facts in zip(problems[world], records[world], strict=True):
        text = slow_template(facts, problem.solution)
        assert problem.template == text
        digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        assert problem.bin == int(digest, 16) % 23


def test_the_sides_have_no_template_in_common():
    sides = [
        igsm.sample(igsm.Spec(op_max=8, bins=bins), 3, 0, 600)
        for bins in (igsm.TRAIN_BINS, igsm.TEST_BINS)
    ]
    train, test = ({p.template for p in side} for side in sides)
    assert train and test and not train & test
    assert {p.bin for p in sides[0]} <= set(igsm.TRAIN_BINS)
    assert {p.bin for p in sides[1]} <= set(igsm.TEST_BINS)
    assert sorted((*igsm.TRAIN_BINS, *igsm.TEST_BINS)) == list(igsm.ALL_BINS) == list(range(23))


@pytest.mark.parametrize("bins", [(3,), (0, 22), igsm.TEST_BINS])
def test_samples_and_tokens_keep_to_the_bins(bins):
    spec = igsm.Spec(op=7, bins=bins)
    vocabulary = igsm.tokenizer(spec)
    examples = igsm.tokens(spec, vocabulary, 4, 0, 25)
    for problem, ids in zip(igsm.sample(spec, 4, 0, 25), examples, strict=True):
        assert problem.bin in bins and problem.op == 7
        text = vocabulary.decode(ids)
        assert text.split("<solution>")[1].split("<answer>")[0] == problem.solution


def test_bins_leave_the_operations_drawn_as_they_are():
    # Where every number of operations is within reach the target is drawn before the bins.
    few = igsm.sample(igsm.Spec(bins=igsm.TRAIN_BINS), 8, 0, 2000)
    every = igsm.sample(igsm.Spec(), 8, 0, 2000)
    assert [p.op for p in few] == [p.op for p in every]
    same = np.mean([p.solution == q.solution for p, q in zip(few, every, strict=True)])
    # Those of an allowed bin are the same problems; bins 0..16 hold more than 17/23 at few steps.
    kept = np.mean([q.bin < 17 for q in every])
    assert same == pytest.approx(kept, abs=1e-12)


def test_many_operations_fall_into_bins_evenly():
    bins = [p.bin for p in igsm.sample(igsm.Spec(op=12), 9, 0, 1200)]
    counts = np.bincount(bins, minlength=23)
    assert summary.misfit(counts, len(bins) / 23) < 4


def test_one_operation_has_two_kinds_of_templates_at_most_in_bins():
    # The trap of short solutions: of one operation hardly any but the constant ones.
    found = [p.bin for p in igsm.sample(igsm.Spec(op=1), 1, 0, 400)]
    assert set(found) <= {10, 20} and found.count(10) > 300


def test_one_operation_on_the_test_side_is_not_the_constant():
    for problem in igsm.sample(igsm.Spec(op=1, bins=igsm.TEST_BINS), 1, 0, 20):
        assert problem.template == " Define Inter as a. so a = 0."
        assert problem.query[0] == 1 and problem.answer == 0


def test_bins_out_of_reach_are_an_error():
    spec = igsm.Spec(op=1, bins=(5,))
    with pytest.raises(InputError, match=r"with 1 operations is in the bins \[5\]") as error:
        igsm.sample(spec, 0, 0, 2)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"ask for more operations"):
        igsm.tokens(spec, igsm.tokenizer(spec), 0, 0, 2)
