"""Keyed permutations: bijections for every key and size, and no place favoured."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data.permutation import permuted, permuted_one


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.integers(0, 2**64 - 1))
def test_every_key_gives_a_bijection(size, key):
    found = permuted(np.arange(size), size, key)
    assert sorted(found.tolist()) == list(range(size))


def test_places_are_computed_one_by_one():
    whole = permuted(np.arange(1000), 1000, 7)
    assert [int(permuted(np.array(i), 1000, 7)) for i in (0, 17, 999)] == whole[
        [0, 17, 999]
    ].tolist()
    sizes, keys = np.array([5, 1000]), np.array([3, 7], np.uint64)
    assert permuted(np.array([2, 17]), sizes, keys).tolist() == [
        int(permuted(np.array(2), 5, 3)),
        int(whole[17]),
    ]


def test_sizes_far_beyond_memory():
    found = permuted(np.arange(1000) * 10**12, 10**15, 1)
    assert len({*found.tolist()}) == 1000 and found.min() >= 0 and found.max() < 10**15


def test_each_place_goes_everywhere_equally_often():
    size, keys = 13, np.arange(26_000, dtype=np.uint64)
    for place in (0, 6, 12):
        counts = np.bincount(permuted(np.full(len(keys), place), size, keys), minlength=size)
        chi2 = ((counts - 2000) ** 2 / 2000).sum()
        assert chi2 < 32.9  # 0.999 quantile at 12 degrees of freedom
    pairs = permuted(np.array([[0], [1]]), 4, keys)
    counts = np.bincount(4 * pairs[0] + pairs[1], minlength=16).reshape(4, 4)
    off = counts[~np.eye(4, dtype=bool)]
    assert (np.diag(counts) == 0).all()
    assert ((off - len(keys) / 12) ** 2 / (len(keys) / 12)).sum() < 31.3  # 11 degrees


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2**40), st.integers(0, 2**40), st.integers(0, 2**64 - 1))
def test_compiled_code_permutes_alike(size, index, key):
    one = permuted_one(index % size, size, np.uint64(key))
    assert one == int(permuted(np.array(index % size), size, key))
