"""Rounding to a grid, to nearest and by GPTQ, against slow twins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.models.quantisation import grid
from physlm_jax.models.quantisation.gptq import gptq, inverse


def test_golden_codes():
    w = jnp.array([[0.3, -1.5], [-0.75, 0.2], [0.0, 0.11], [0.74, 1.49]])
    codes, scale, _ = grid.nearest(w, 4, True, 4)  # scales 2 max / 15
    np.testing.assert_allclose(scale, [[0.1, 0.2]], rtol=2e-6)
    np.testing.assert_array_equal(codes, [[3, -8], [-8, 1], [0, 1], [7, 7]])
    codes, scale, zero = grid.nearest(w, 2, False, 4)  # scales (max - min) / 3
    np.testing.assert_allclose(scale, [[1.49 / 3, 2.99 / 3]], rtol=1e-6)
    np.testing.assert_array_equal(zero, [[0, 0]])  # -2 + round(1.51), -2 + round(1.505)
    np.testing.assert_array_equal(codes, [[1, -2], [-2, 0], [0, 0], [1, 1]])


@given(
    seed=st.integers(0, 10**6),
    bits=st.integers(2, 8),
    symmetric=st.booleans(),
    group=st.sampled_from([1, 4, 12]),
    shift=st.sampled_from([-3.0, 0.0, 0.5]),
)
@settings(max_examples=40, deadline=None)
def test_nothing_is_off_by_more_than_half_a_step(seed, bits, symmetric, group, shift):
    rng = np.random.default_rng(seed)
    w = (shift + rng.standard_normal((2, 12, 5))).astype(np.float32)
    w[0, :, 2] = 0  # a column without a range
    codes, scale, zero = (np.asarray(x) for x in grid.nearest(jnp.array(w), bits, symmetric, group))
    low, high = grid.bounds(bits)
    assert scale.shape == zero.shape == (2, 12 // group, 5) and high - low + 1 == 2**bits
    for x in (codes, zero):
        assert (x == np.round(x)).all() and low <= x.min() and x.max() <= high
    assert symmetric <= (zero == 0).all()
    each_scale, each_zero = (np.repeat(x, group, axis=1) for x in (scale, zero))
    error = np.abs(np.asarray(grid.decode(codes, each_scale, each_zero)) - w)
    assert (error <= each_scale * (0.5 + 5e-4)).all()


# -- GPTQ


def twin(w, gram, bits, symmetric, group, act_order=False, damping=0.01):
    """The update of one input after the other (equations 2 and 3), with the whole inverse."""
    w, inputs = np.array(w, np.float64), len(gram)
    inverse = np.linalg.inv(gram + damping * np.mean(np.diag(gram)) * np.eye(inputs))
    order = np.argsort(-np.diag(gram), kind="stable") if act_order else np.arange(inputs)
    low, high = grid.bounds(bits)

    def fitted(columns):
        bottom, top = np.minimum(columns.min(0), 0), np.maximum(columns.max(0), 0)
        if symmetric:
            top = np.maximum(top, -bottom)
            return 2 * top * (1 - 1e-6) / (2**bits - 1), np.zeros(len(top))
        scale = (top - bottom) / (2**bits - 1)
        return scale, np.round(-bottom / scale) + low

    starts = range(0, inputs, group)
    grids = [fitted(w[a : a + group]) for a in starts]
    codes = np.zeros(w.shape)
    for i in order:
        if i % group == 0 and not act_order:
            grids[i // group] = fitted(w[i : i + group])
        scale, zero = grids[i // group]
        codes[i] = np.clip(np.round(w[i] / scale) + zero, low, high)
        error = (w[i] - (codes[i] - zero) * scale) / inverse[i, i]
        w -= np.outer(inverse[:, i], error)
        inverse -= np.outer(inverse[:, i], inverse[i]) / inverse[i, i]
        inverse[i, i] = 1.0  # done: nothing reaches it any more
    return codes, np.stack([g[0] for g in grids]), np.stack([g[1] for g in grids])


def correlated(inputs, outputs, seed=0):
    """A matrix and calibration inputs that depend on one another."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3 * inputs, inputs // 4)) @ rng.standard_normal((inputs // 4, inputs))
    x += 0.3 * rng.standard_normal(x.shape)
    return rng.standard_normal((inputs, outputs)).astype(np.float32), x


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(
    ("group", "act_order"), [(160, False), (32, False), (160, True), (32, True)]
)
def test_gptq_is_the_papers_update(bits, symmetric, group, act_order):
    w, x = correlated(160, 7)  # more than one block, the last one padded
    found = gptq(jnp.array(w), inverse(x.T @ x, act_order), bits, symmetric, group)
    codes, scales, zeros = twin(w, x.T @ x, bits, symmetric, group, act_order)
    np.testing.assert_array_equal(found[0], codes)
    np.testing.assert_allclose(found[1], scales, rtol=1e-4)
    np.testing.assert_array_equal(found[2], zeros)


@pytest.mark.parametrize("group", [64, 16])
def test_gptq_errs_less_on_correlated_inputs(group):
    w, x = correlated(64, 20, seed=3)

    def error(codes, scales, zeros):
        scales, zeros = (np.repeat(np.asarray(g), group, axis=0) for g in (scales, zeros))
        return np.linalg.norm(x @ (np.asarray(grid.decode(codes, scales, zeros)) - w))

    nearest = error(*grid.nearest(jnp.array(w), 4, True, group))
    plain, ordered = (
        error(*gptq(jnp.array(w), inverse(x.T @ x, act_order), 4, True, group))
        for act_order in (False, True)
    )
    assert plain < 0.7 * nearest and ordered < 0.7 * nearest


def test_inputs_without_relation_are_rounded_to_nearest():
    w = correlated(48, 5)[0]
    diagonal = np.linspace(0, 3, 48)  # the first never occurs
    for gram in (np.diag(diagonal), np.zeros((48, 48))):
        found = gptq(jnp.array(w), inverse(gram), 4, True, 48)
        jax.tree.map(np.testing.assert_array_equal, found, grid.nearest(jnp.array(w), 4, True, 48))


# -- models
