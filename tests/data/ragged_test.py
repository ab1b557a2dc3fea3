"""Ragged sequences and vocabularies."""

import numpy as np
import pytest

from physlm_jax.data.ragged import Ragged, as_ragged
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError


def test_sequences_come_back():
    sequences = [[1, 2, 3], [], [4]]
    ragged = Ragged.from_sequences(sequences)
    assert [x.tolist() for x in ragged] == sequences
    assert len(ragged) == 3 and ragged.lengths.tolist() == [3, 0, 1]
    assert ragged[-1].tolist() == [4]
    assert ragged.tokens.dtype == np.int32
    with pytest.raises(IndexError):
        ragged[3]
    assert len(Ragged.from_sequences([])) == 0


def test_slices_take_their_labels_along():
    labels = {"place": np.arange(4), "pair": np.arange(8).reshape(4, 2), "whole": np.arange(3)}
    ragged = Ragged(np.array([5, 6, 7, 8], np.int32), np.array([0, 2, 2, 4]), labels)
    part = ragged.slice(1, 3)
    assert [x.tolist() for x in part] == [[], [7, 8]]
    assert part.place.tolist() == [2, 3] and part.whole.tolist() == [1, 2]
    assert part.pair.tolist() == [[4, 5], [6, 7]]
    with pytest.raises(AttributeError, match="nothing"):
        _ = ragged.nothing


def test_framing():
    framed = Ragged.from_sequences([[5, 6], [], [7]]).framed(0, 9)
    assert [x.tolist() for x in framed] == [[0, 5, 6, 9], [0, 9], [0, 7, 9]]


def test_what_is_no_sequence_of_sequences():
    ragged = Ragged.from_sequences([[1]])
    assert as_ragged(ragged) is ragged
    for wrong in ([1, 2, "x"], [["a"]], 5):
        with pytest.raises(InputError):
            as_ragged(wrong)


def test_vocabulary():
    words = Vocabulary(("<bos>", "a", "b", "<eos>"), bos=0, eos=3)
    assert words.encode("a b  a").tolist() == [1, 2, 1]
    assert words.decode([0, 1, 3]) == "<bos> a <eos>"
    with pytest.raises(InputError, match=r"'c'.*word 2"):
        words.encode("a c")
    with pytest.raises(InputError, match="different"):
        Vocabulary(("a", "a"), bos=0, eos=1)
