"""Passes through a finite set: each shows every member once, in an order of its own."""

import numpy as np
from chi_square import chi_square
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data.passes import pass_key, shown_at


def shown(start, count, size, key):
    index = np.uint64(start) + np.arange(count, dtype=np.uint64)
    return [tuple(map(int, shown_at(i, np.uint64(size), np.uint64(key)))) for i in index]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**64 - 1), st.integers(0, 2**40))
def test_every_pass_shows_every_member_once(size, key, turn):
    turns, members = zip(*shown(turn * size, size, size, key), strict=True)
    assert set(turns) == {turn} and sorted(members) == list(range(size))


def test_orders_are_uniform():
    """Of three members, over passes and over keys."""
    for passes in (
        [shown(3 * turn, 3, 3, 5) for turn in range(3000)],
        [shown(0, 3, 3, key) for key in range(3000)],
    ):
        orders = np.array([[member for _, member in found] for found in passes]) @ [9, 3, 1]
        counts = np.unique(orders, return_counts=True)[1]
        assert len(counts) == 6 and abs(chi_square(counts, np.full(6, 500.0))) < 4


def test_the_last_place_of_all():
    (turn, member), *_ = shown(2**64 - 1, 1, 7, 0)
    assert turn == (2**64 - 1) // 7 and 0 <= member < 7


def test_keys_of_passes_differ():
    keys = {
        int(pass_key(np.uint64(turn), np.uint64(key))) for turn in range(50) for key in range(50)
    }
    assert len(keys) == 2500
