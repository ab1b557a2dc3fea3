"""The four kinds of reversal: their algebra, the paper's example, and refusals."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import reversal
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.reversal import flat, kinds
from physlm_jax.errors import InputError

few = settings(max_examples=60, deadline=None)
ids = st.lists(st.integers(0, 1000), max_size=40)
MARLO = "Marlo Tavin Quell was born on March 9, 1987 in Fort Dune, Ohio."
SPANS = [(0, 3), (6, 10), (11, 13), (14, 15)]
REV = 5000


@st.composite
def spanned(draw):
    """A text's length and disjoint spans in it, some of them neighbours."""
    borders = sorted(draw(st.sets(st.integers(0, 30), max_size=9)))
    pairs = list(itertools.pairwise(borders))
    spans = [pair for pair in pairs if draw(st.booleans())]
    return (borders or [0])[-1] + draw(st.integers(0, 4)), spans


def slow_entities(words, spans):
    """Told as a story: a unit at a time, from the end."""
    start_of = {b: a for a, b in spans}
    told, place = [], len(words)
    while place:
        before = start_of.get(place, place - 1)
        told += words[before:place]
        place = before
    return told


def slow_segments(x, sizes):
    """Cut from the left, told from the right."""
    cut, place = [], 0
    for n in sizes:
        cut.append(x[place : place + n])
        place += n
    told = []
    for i, part in enumerate([c for c in cut if c][::-1]):
        told += ([REV] if i else []) + part
    return told


def test_the_running_example():
    assert reversal.split(MARLO) == MARLO.replace(",", " ,").replace(".", " .").split()
    text = ". Ohio , Dune Fort in 1987 , 9 March on born was Quell Tavin Marlo"
    assert " ".join(reversal.words(MARLO)) == text
    told = ". Ohio , Fort Dune in March 9 , 1987 on born was Marlo Tavin Quell"
    assert " ".join(reversal.entities(MARLO, SPANS)) == told
    # the specification's line joins city and state into one entity's neighbourhood otherwise
    wide = [(0, 3), (6, 10), (11, 15)]
    told = ". Fort Dune , Ohio in March 9 , 1987 on born was Marlo Tavin Quell"
    assert " ".join(reversal.entities(MARLO, wide)) == told


@few
@given(ids)
def test_tokens_are_an_involution(x):
    assert reversal.tokens(x).tolist() == x[::-1]
    assert reversal.tokens(reversal.tokens(x)).tolist() == x


@few
@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_words_split_again_where_they_were_joined(text):
    words = reversal.split(text)
    assert reversal.split(" ".join(words)) == words
    assert reversal.words(" ".join(reversal.words(text))) == words


@few
@given(spanned())
def test_entities_keep_their_order_and_reversing_twice_is_nothing(case):
    length, spans = case
    words = [f"w{i}" for i in range(length)]
    found = reversal.entities(words, spans)
    assert found == slow_entities(words, spans)
    there = reversal.mapped(spans, length)
    assert [found[a:b] for a, b in there] == [words[a:b] for a, b in reversed(spans)]
    assert reversal.entities(found, there) == words


def test_entities_at_the_limits():
    words = list("abcde")
    assert reversal.entities(words, []) == words[::-1]
    assert reversal.entities(words, [(0, 5)]) == words
    assert reversal.entities(words, [(0, 2), (2, 4)]) == list("ecdab")  # neighbours stay two


@few
@given(ids, st.integers(1, 9), st.integers(0, 99), st.integers(0, 9), st.integers(0, 9))
def test_segments_are_a_permutation_between_markers(x, k, seed, epoch, index):
    found = reversal.segments(x, k, seed, REV, epoch, index).tolist()
    parts = "".join(chr(i) for i in found).split(chr(REV)) if found else []
    assert all(1 <= len(p) <= k for p in parts)
    assert [ord(c) for p in parts[::-1] for c in p] == x
    assert found == slow_segments(x, [len(p) for p in parts[::-1]])
    again = reversal.segments(x, k, seed, REV, epoch, index).tolist()
    assert found == again
    led = reversal.segments(x, k, seed, REV, epoch, index, leading_rev=True).tolist()
    assert led == ([REV, *found] if x else [])


def test_segments_of_one_token_are_token_reversal():
    found = reversal.segments(range(9), 1, 3, REV)
    assert [i for i in found.tolist() if i != REV] == reversal.tokens(range(9)).tolist()
    assert (found == REV).sum() == 8


def test_segments_change_with_each_epoch_and_have_the_mean_length_of_the_paper():
    x = list(range(512))
    made = [reversal.segments(x, 25, 0, REV, epoch, 4) for epoch in range(400)]
    assert len({m.tobytes() for m in made}) == 400
    counts = np.array([(m == REV).sum() + 1 for m in made])
    assert abs(counts.mean() - 40.0) < 0.5  # (k + 1) / 2 = 13 tokens each; 40.0 in 512 tokens
    firsts = [int(np.argmax(m[::-1] == REV)) for m in made]  # the length of the first segment
    assert {*firsts} == {*range(1, 26)}


@few
@given(st.lists(st.lists(st.integers(0, 99), max_size=12), max_size=8), st.integers(1, 6))
def test_many_samples_at_once_are_each_by_itself(rows, k):
    ragged = Ragged.from_sequences(rows)
    keys = kinds.segment_keys(5, np.full(len(rows), 2), np.arange(len(rows)))
    starts = flat.cut(ragged.offsets, k, keys)
    for leading in (False, True):
        found = flat.reversed_units(ragged, starts, REV, leading)
        assert [f.tolist() for f in found] == [
            reversal.segments(x, k, 5, REV, 2, i, leading).tolist() for i, x in enumerate(rows)
        ]
    plain = flat.reversed_units(ragged, np.ones(len(ragged.tokens), bool))
    assert [f.tolist() for f in plain] == [x[::-1] for x in rows]


@few
@given(st.lists(spanned(), min_size=1, max_size=5))
def test_flat_entities_are_those_of_each_text(cases):
    entity = np.concatenate([np.zeros(0, np.int32), *(_numbers(n, spans) for n, spans in cases)])
    ragged = Ragged.from_sequences([range(n) for n, _ in cases])
    found = flat.reversed_units(ragged, flat.unit_starts(entity, ragged.offsets))
    for got, (n, spans) in zip(found, cases, strict=True):
        assert [str(i) for i in got] == reversal.entities([str(i) for i in range(n)], spans)


def _numbers(length, spans):
    entity = np.zeros(length, np.int32)
    for number, (a, b) in enumerate(spans, 1):
        entity[a:b] = number
    return entity


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 3), (2, 4)], r"span 1 \(2, 4\) overlaps"),
        ([(3, 4), (0, 1)], r"span 1 \(0, 1\) overlaps or precedes"),
        ([(0, 6)], r"span 0 \(0, 6\).* inside the text's 5 words"),
        ([(-1, 2)], r"span 0 \(-1, 2\)"),
        ([(2, 2)], r"not empty"),
    ],
)
def test_wrong_spans_are_refused(spans, message):
    with pytest.raises(InputError, match=message):
        reversal.entities(list("abcde"), spans)


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one_is_refused(k):
    with pytest.raises(InputError, match=r"at least 1, got"):
        reversal.segments([1, 2], k, 0, REV)
