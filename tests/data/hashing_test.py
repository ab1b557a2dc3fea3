"""Counter-based random words: pure in their address, uniform, pinned."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import hashing

MASK = 2**64 - 1


def splitmix64(z):
    """The published finaliser in Python integers."""
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, MASK), min_size=1, max_size=8))
def test_mix_is_splitmix64(words):
    given_words = np.array(words, np.uint64)
    assert hashing.mix(given_words).tolist() == [splitmix64(w) for w in words]
    assert given_words.tolist() == words  # the argument is left alone


def test_the_first_outputs_of_splitmix64():
    # Seed 0 of the published generator.
    keys, offsets = np.zeros(1, np.uint64), np.array([0, 3])
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert hashing.ragged_words(keys, offsets).tolist() == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, MASK), st.integers(0, 5)), max_size=6))
def test_a_word_depends_on_its_key_and_place_alone(sequences):
    keys = np.array([k for k, _ in sequences], np.uint64)
    offsets = np.concatenate([[0], np.cumsum([n for _, n in sequences], dtype=np.int64)])
    expected = [
        splitmix64((k + j * 0x9E3779B97F4A7C15) & MASK) for k, n in sequences for j in range(n)
    ]
    assert hashing.ragged_words(keys, offsets).tolist() == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**70), st.integers(0, 2**64 - 20), st.integers(0, 10), st.integers(0, 10))
def test_example_keys_depend_on_the_index_alone(seed, start, skip, count):
    whole = hashing.example_keys(seed, start, 20)
    np.testing.assert_array_equal(
        hashing.example_keys(seed, start + skip, count), whole[skip : skip + count]
    )
    assert len(set(whole.tolist())) == 20


def test_bounded_integers_are_uniform():
    words = hashing.ragged_words(np.array([5], np.uint64), np.array([0, 90_000]))
    for bound in (1, 3, 7):
        counts = np.bincount(hashing.below(words, bound), minlength=bound)
        assert len(counts) == bound
        assert (abs(counts - 90_000 / bound) < 5 * (90_000 / bound) ** 0.5).all()
    bounds = np.arange(1, 90_001)
    drawn = hashing.below(words, bounds)
    assert (drawn >= 0).all() and (drawn < bounds).all()
    assert abs((drawn / bounds).mean() - 0.5) < 0.005


def test_chances():
    words = hashing.ragged_words(np.array([6], np.uint64), np.array([0, 40_000]))
    assert not hashing.chances(words, 0.0).any() and hashing.chances(words, 1.0).all()
    assert abs(hashing.chances(words, 0.15).mean() - 0.15) < 0.009


def test_purposes_give_unrelated_keys_that_stay():
    keys = {hashing.stream_key(3), hashing.stream_key(3, "a"), hashing.stream_key(3, "a", 1)}
    assert len(keys) == 3
    assert hashing.stream_key(3, "held-out") == 0xA62B7F10DA960BBA
