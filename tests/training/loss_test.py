"""The fused cross-entropy against optax and automatic differentiation, whole and in pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.training.loss import LOGITS, cross_entropy, pieces


def plain(x, w, targets, weights):
    """What it stands for."""
    logits = jnp.einsum("btd,vd->btv", x, w, preferred_element_type=jnp.float32)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return jnp.vdot(losses, weights)


def inputs(seed, rows, length, width, vocabulary, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, length, width)).astype(dtype)
    w = rng.standard_normal((vocabulary, width)).astype(dtype)
    targets = rng.integers(0, vocabulary, (rows, length)).astype(np.int32)
    weights = rng.integers(0, 3, (rows, length)).astype(np.float32)
    return [jnp.asarray(a) for a in (x, w, targets, weights)]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 99),
    rows=st.integers(1, 4),
    chunks=st.sampled_from([1, 2, 3, 6]),
    vocabulary=st.integers(1, 9),
)
def test_value_and_gradients_equal_the_plain_ones(seed, rows, chunks, vocabulary):
    arguments = inputs(seed, rows, 6, 5, vocabulary)
    ours = jax.value_and_grad(lambda *a: 0.5 * cross_entropy(chunks, *a), (0, 1))(*arguments)
    theirs = jax.value_and_grad(lambda *a: 0.5 * plain(*a), (0, 1))(*arguments)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    value = cross_entropy(chunks, *arguments)  # without a gradient: another path
    np.testing.assert_allclose(value, 2 * theirs[0], rtol=2e-5, atol=2e-5)


def test_bfloat16_sums_the_map_s_gradient_in_float32():
    """4096 equal contributions: a sum in bfloat16 would stop growing after 256 of them."""
    x = jnp.ones((8, 512, 1), jnp.bfloat16)
    w = jnp.zeros((2, 1), jnp.bfloat16)
    targets, weights = jnp.zeros((8, 512), jnp.int32), jnp.ones((8, 512))
    for chunks in (1, 8):
        d_w = jax.grad(lambda w, n=chunks: cross_entropy(n, x, w, targets, weights))(w)
        np.testing.assert_allclose(np.asarray(d_w, np.float32)[:, 0], [-2048, 2048])


def test_logits_far_apart_do_not_overflow():
    x, w, targets, weights = inputs(0, 2, 4, 3, 5)
    value = cross_entropy(1, 1e4 * x, w, targets, weights)
    np.testing.assert_allclose(value, plain(1e4 * x, w, targets, weights), rtol=1e-6)


@pytest.mark.parametrize(
    ("asked", "rows", "length", "vocabulary", "expected"),
    [
        (3, 8, 512, 50257, 3),
        (0, 96, 512, 7, 1),
        (0, 8, 512, 50257, 4),
        (0, 4, 4096, 128256, 32),
        (0, 1, 3, LOGITS, 3),  # one place at a time is the least
    ],
)
def test_pieces_are_as_few_as_memory_allows(asked, rows, length, vocabulary, expected):
    assert pieces(asked, rows, length, vocabulary) == expected


def test_whole_logits_never_exist_at_once():
    """No array of the compiled gradient in pieces is as large as all logits."""
    shapes = inputs(0, 4, 64, 8, 1000)
    lowered = jax.jit(jax.grad(lambda *a: cross_entropy(16, *a), (0, 1))).lower(*shapes)
    stats = lowered.compile().memory_analysis()
    assert stats.temp_size_in_bytes < 4 * 4 * 64 * 1000 / 2
