"""Spelling: pieces as ids, laid out by compiled code, against a plain twin."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import spelling
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.spelling import Speller
from physlm_jax.errors import InputError

NAMES = ("<eos>", " a", " ab", " abc", ".", " a b")


def speller(spelling):
    return Speller(NAMES, bos=0, eos=0, pad=0, separator="", spelling=tuple(map(tuple, spelling)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pieces_become_their_ids_with_their_roles(data):
    ids = st.lists(st.integers(0, 5), max_size=3)
    spelling = data.draw(st.lists(ids, min_size=1, max_size=5))
    piece = st.tuples(st.integers(0, len(spelling) - 1), st.integers(0, 8))
    texts = data.draw(st.lists(st.lists(piece, max_size=6), max_size=5))
    flat = np.array([p for text in texts for p in text], np.int32).reshape(-1, 2)
    offsets = np.cumsum([0, *map(len, texts)])
    found = speller(spelling).spelled(Ragged(flat[:, 0], offsets, {"role": flat[:, 1]}))
    assert len(found) == len(texts) and found.tokens.dtype == np.int32
    for i, text in enumerate(texts):
        roles = found.role[found.offsets[i] : found.offsets[i + 1]]
        assert found[i].tolist() == [n for p, _ in text for n in spelling[p]]
        assert roles.tolist() == [role for p, role in text for _ in spelling[p]]
    plain, lengths = speller(spelling).spell(flat[:, 0])
    assert plain.tolist() == found.tokens.tolist()
    assert lengths is None or lengths.sum() == len(plain)


def test_the_longest_name_is_read():
    found = speller([])
    assert found.encode(" abc ab a b.<eos>").tolist() == [3, 2, 5, 4, 0]
    assert found.decode([3, 2, 5, 4, 0]) == " abc ab a b.<eos>"
    assert found.encode("").tolist() == [] and found.decode([]) == ""


def test_what_is_no_name():
    with pytest.raises(InputError, match=r"^the text at character 3 \('\\nb'\) is outside the voc"):
        speller([]).encode(" a\nb")


def test_ids_of_special_pieces():
    assert speller([(4,), (1, 2)]).role(0) == 4


@settings(deadline=None)
@given(
    st.lists(st.text("ab .+", min_size=1, max_size=4), min_size=1, unique=True),
    st.text("ab .+", max_size=12),
)
def test_the_longest_name_that_fits_is_found(names, text):
    """By a tree of what names begin with, as by trying them one by one, the longest first."""
    slow = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    assert re.findall(spelling._longest_of(names), text) == slow.findall(text)
