"""Problem i of a seed is the same problem, however and wherever it is drawn."""

import json
import os
import subprocess
import sys

import igsm_streams
import numpy as np
import pytest

from physlm_jax.data import igsm
from physlm_jax.errors import InputError

SPECS = {
    "med": igsm.MED,
    "train": igsm.Spec(bins=igsm.TRAIN_BINS),
    "test": igsm.Spec(op_max=6, bins=igsm.TEST_BINS),
    "reask": igsm.Spec(op=14, reask=True, bins=igsm.TEST_BINS),
    "mini": igsm.MINI,
}


def same(a, b):
    return a.facts() == b.facts() and a.prompt() == b.prompt() and a.solution == b.solution


@pytest.mark.parametrize("name", SPECS)
def test_problems_depend_on_their_index_alone(name):
    whole = igsm.sample(SPECS[name], 3, 100, 24)
    for start, count in ((100, 1), (107, 9), (123, 1), (90, 20)):
        for n, problem in enumerate(igsm.sample(SPECS[name], 3, start, count)):
            if start + n >= 100:
                assert same(problem, whole[start + n - 100])


def test_seeds_and_places_differ():
    spec = igsm.Spec(op=12)
    texts = [p.prompt() for seed in (1, 2) for p in igsm.sample(spec, seed, 0, 100)]
    assert len(set(texts)) == 200


def test_very_far_places():
    (problem,) = igsm.sample(igsm.MED, 0, 2**62, 1)
    assert same(problem, igsm.sample(igsm.MED, 0, 2**62 - 3, 5)[3])


def test_no_problems():
    assert igsm.sample(igsm.MED, 0, 5, 0) == []
    found = igsm.tokens(igsm.MED, igsm.tokenizer(igsm.MED), 0, 5, 0)
    assert len(found) == 0 and found.tokens.size == 0


@pytest.mark.parametrize(("start", "count"), [(-1, 3), (0, -1)])
def test_negative_places(start, count):
    with pytest.raises(InputError, match=r"expected a range in 0"):
        igsm.sample(igsm.MED, 0, start, count)
    with pytest.raises(InputError, match=r"expected a range in 0"):
        igsm.tokens(igsm.MED, igsm.tokenizer(igsm.MED), 0, start, count)


@pytest.mark.parametrize("order", ["pq", "qp"])
@pytest.mark.parametrize("kind", ["items", "words"])
@pytest.mark.parametrize("name", SPECS)
def test_tokens_are_those_of_the_problems(name, kind, order):
    spec = SPECS[name]
    vocabulary = igsm.tokenizer(spec, kind)
    found = igsm.tokens(spec, vocabulary, 6, 40, 20, order=order)
    for ids, problem in zip(found, igsm.sample(spec, 6, 40, 20), strict=True):
        inner = problem.prompt(order) + "<solution>" + problem.solution
        assert vocabulary.decode(ids) == f"<problem>{inner}<answer> {problem.answer}<end>"
        assert ids[0] == vocabulary.bos and ids[-1] == vocabulary.eos
    assert found.tokens.dtype == np.int32 and found.offsets.dtype == np.int64


@pytest.mark.parametrize("mask", ["none", "all"])
def test_chunks_make_no_difference(mask):
    spec, retry = SPECS["train"], igsm.Retry(0.4, mask=mask)
    vocabulary = igsm.tokenizer(spec, "words")
    whole = igsm.tokens(spec, vocabulary, 2, 10, 30, retry=retry, most=400)
    for start, count in ((10, 7), (17, 1), (18, 22)):
        part = igsm.tokens(spec, vocabulary, 2, start, count, retry=retry, most=400)
        piece = whole.slice(start - 10, start - 10 + count)
        np.testing.assert_array_equal(part.tokens, piece.tokens)
        np.testing.assert_array_equal(part.offsets, piece.offsets)
        assert part.labels.keys() == piece.labels.keys()
        for name, label in part.labels.items():
            np.testing.assert_array_equal(label, piece.labels[name])


def test_long_examples_alone_are_drawn_anew():
    vocabulary, most = igsm.tokenizer(igsm.MED), 190
    free = igsm.tokens(igsm.MED, vocabulary, 9, 0, 200)
    bound = igsm.tokens(igsm.MED, vocabulary, 9, 0, 200, most=most)
    long = free.lengths > most
    assert 20 < long.sum() < 180
    assert bound.lengths.max() <= most
    for was_long, a, b in zip(long, free, bound, strict=True):
        assert np.array_equal(a, b) != was_long
    texts = {bytes(x) for x in bound}
    assert len(texts) == 200  # what is drawn anew is new


def test_an_example_of_exactly_the_most_tokens_stays():
    vocabulary = igsm.tokenizer(igsm.MINI)
    free = igsm.tokens(igsm.MINI, vocabulary, 9, 0, 50)
    kept = igsm.tokens(igsm.MINI, vocabulary, 9, 0, 50, most=int(free.lengths.max()))
    np.testing.assert_array_equal(free.tokens, kept.tokens)


def test_a_length_that_none_has():
    with pytest.raises(InputError, match=r"more than 20 tokens however it is drawn"):
        igsm.tokens(igsm.MINI, igsm.tokenizer(igsm.MINI), 0, 0, 2, most=20)


def test_an_unknown_order_of_tokens():
    with pytest.raises(InputError, match=r"unknown order 'q'"):
        igsm.tokens(igsm.MINI, igsm.tokenizer(igsm.MINI), 0, 0, 1, order="q")


def test_processes_agree():
    command = [sys.executable, igsm_streams.__file__]
    runs = [
        subprocess.Popen(
            [*command, str(start), "8"],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": str(start)},
            text=True,
        )
        for start in (50, 58)
    ]
    found = [json.loads(run.communicate(timeout=300)[0]) for run in runs]
    assert all(run.returncode == 0 for run in runs)
    assert found[0] + found[1] == igsm_streams.digests(50, 16)
