"""The world of noise: uniform, pure, of the size asked for."""

import math

import numpy as np
import pytest

from physlm_jax.data import open_world
from physlm_jax.errors import InputError


def test_examples_are_pure_and_uniform():
    world = open_world({"world": "noise", "size": 10, "length": 50})
    assert (len(world.vocabulary), world.mean_length) == (10, 52)
    drawn = world.examples(3, 0, 2000)
    assert set(drawn.lengths) == {52}
    rows = drawn.tokens.reshape(2000, 52)
    assert (rows[:, 0] == world.vocabulary.bos).all() and (rows[:, -1] == 9).all()
    counts = np.bincount(rows[:, 1:-1].ravel(), minlength=10)
    assert counts[0] == counts[9] == 0
    expected = 100_000 / 8
    assert np.sum((counts[1:9] - expected) ** 2 / expected) < 24.3  # chi-squared, 7 df, p = .001
    later = world.examples(3, 1500, 10).tokens.reshape(10, 52)
    assert (later == rows[1500:1510]).all()
    assert not (world.examples(4, 0, 1).tokens == rows[0]).all()
    assert world.entropy == pytest.approx(math.log(8))


def test_sizes_are_checked():
    for options in ({"size": 2}, {"length": 0}):
        with pytest.raises(InputError, match="noise needs"):
            open_world({"world": "noise", **options})
