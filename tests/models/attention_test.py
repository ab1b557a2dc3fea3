"""Every back end that runs here against `plain`: outputs, gradients, isolation of segments.

cuDNN's kernel needs a GPU, so its wrapper runs on XLA's own implementation of the same function;
splash runs in Pallas' interpreter.
"""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.models import attention
from physlm_jax.models.attention import Visibility


@pytest.fixture(autouse=True)
def xla_in_place_of_cudnn(monkeypatch):
    """Layouts, scale, masks and groups are the wrapper's; the kernel alone is replaced."""
    library = jax.nn.dot_product_attention

    def stand_in(*args, implementation, **kwargs):
        assert implementation == "cudnn"
        return library(*args, implementation="xla", **kwargs)

    monkeypatch.setattr(jax.nn, "dot_product_attention", stand_in)


BACKENDS = {
    "manual": attention.manual,
    "cudnn": attention.cudnn,
    "splash": functools.partial(attention.splash, interpret=True),
}


def arrays(length, head_size=8, heads=2, key_heads=2, rows=2, seed=0):
    """q, k, v and a cotangent."""
    rng = np.random.default_rng(seed)
    shapes = [(rows, length, n, head_size) for n in (heads, key_heads, key_heads, heads)]
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def segments(length, rows=2, seed=0):
    """Sorted ids, each row cut at its own places."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(np.sort(rng.integers(0, 4, (rows, length))), jnp.int32)


def with_gradients(backend, visibility, q, k, v, d):
    def run(q, k, v, d):
        out, back = jax.vjp(lambda *a: backend(*a, visibility), q, k, v)
        return out, *back(d)

    return jax.jit(run)(q, k, v, d)


def plain(q, k, v, visibility):
    return attention.plain(q, k, v, visibility)[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "length, head_size, key_heads, causal, segmented",
    [
        (128, 32, 4, True, False),
        (384, 64, 2, True, True),  # three blocks of splash, groups of two heads
        (256, 128, 1, False, True),
        (128, 20, 2, False, False),
    ],
)
def test_a_back_end_is_plain(backend, length, head_size, key_heads, causal, segmented):
    inputs = arrays(length, head_size, 4, key_heads)
    visibility = Visibility(causal, segment_ids=segments(length) if segmented else None)
    expected = with_gradients(plain, visibility, *inputs)
    found = with_gradients(BACKENDS[backend], visibility, *inputs)
    for name, a, b in zip(("out", "dq", "dk", "dv"), expected, found, strict=True):
        np.testing.assert_allclose(b, a, atol=2e-5, err_msg=name)


@hypothesis.settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    causal=st.booleans(), key_heads=st.sampled_from((1, 2)), cuts=st.none() | st.integers(0, 99)
)
def test_back_ends_agree_whatever_is_visible(causal, key_heads, cuts):
    inputs = arrays(128, key_heads=key_heads)[:3]
    visibility = Visibility(causal, segment_ids=None if cuts is None else segments(128, seed=cuts))
    run = jax.jit(lambda *a: [f(*a, visibility) for f in (plain, *BACKENDS.values())])
    expected, *found = run(*inputs)
    for name, out in zip(BACKENDS, found, strict=True):
        np.testing.assert_allclose(out, expected, atol=1e-5, err_msg=name)


def test_manual_honours_a_window():
    inputs = arrays(128, key_heads=1)
    visibility = Visibility(segment_ids=segments(128), window=70)
    expected = with_gradients(plain, visibility, *inputs)
    mask = np.asarray(visibility.mask(128, 128))[0, 0]
    assert mask.sum(1).max() <= 70 and mask[127, 127] and not mask[127, 57]
    for a, b in zip(expected, with_gradients(attention.manual, visibility, *inputs), strict=True):
        np.testing.assert_allclose(b, a, atol=2e-5)


@pytest.mark.parametrize("backend", ["plain", *BACKENDS])
def test_a_document_does_not_see_its_neighbour(backend):
    """Another document 1 leaves document 2 as it was: bit-equal, gradients of its queries too."""
    compute = plain if backend == "plain" else BACKENDS[backend]
    q, k, v, d = arrays(128)
    ids = jnp.broadcast_to(jnp.where(jnp.arange(128) < 50, 1, 2), (2, 128))
    other = [
        x.at[:, :50].set(y[:, :50]) for x, y in zip((q, k, v), arrays(128, seed=1)[:3], strict=True)
    ]
    visibility = Visibility(segment_ids=ids)
    one = with_gradients(compute, visibility, q, k, v, d)
    two = with_gradients(compute, visibility, *other, d)
    for a, b in zip(one, two, strict=True):
        assert not np.array_equal(a[:, :50], b[:, :50])
        if backend == "plain":
            assert np.array_equal(a[:, 50:], b[:, 50:])
        np.testing.assert_allclose(a[:, 50:], b[:, 50:], atol=1e-5)


def test_manual_honours_queries_that_start_later():
    """Two queries at places 2, 3 of four keys; and a start with as many queries as keys."""
    q, k, v, d = arrays(128)
    for queries, start in ((2, 2), (128, 3)):
        rows = slice(0, queries), slice(0, 4 if queries == 2 else 128)
        visibility = Visibility(query_start=start)
        args = q[:, rows[0]], k[:, rows[1]], v[:, rows[1]], d[:, rows[0]]
        expected = with_gradients(plain, visibility, *args)
        for a, b in zip(expected, with_gradients(attention.manual, visibility, *args), strict=True):
            np.testing.assert_allclose(b, a, atol=2e-5)


def test_the_weights_come_from_plain_and_sum_to_one():
    q, k, v, _ = arrays(16)
    out, weights = attention.attend(
        q, k, v, Visibility(), backend="splash", platform="tpu", with_weights=True
    )
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(out, plain(q, k, v, Visibility()), atol=1e-6)
