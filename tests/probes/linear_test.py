"""The probe's formula against loops, and what follows from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.probes import linear

T, D, H, K = 7, 5, 3, 4
SIZES = (3, 2)
LENGTHS = np.array([7, 4, 1], np.int32)
DELTAS = [None, 0, 1, 3]


def make(delta, seed=0, scale=1.0):
    """A probe with random numbers everywhere."""
    rng = np.random.default_rng(seed)
    params = linear.init(
        jax.random.key(0),
        delta,
        positions=T,
        width=D,
        heads=H,
        head_dim=K,
        position_norm=1.0,
        sizes=SIZES,
    )
    params = {name: rng.standard_normal(p.shape).astype(np.float32) for name, p in params.items()}
    if "position" in params:
        params["position"] *= np.float32(scale)
    return params


def states(seed=1, strings=3):
    return np.random.default_rng(seed).standard_normal((strings, T, D)).astype(np.float32)


def twin(params, x, length, delta):
    """float64[length, O]: the formula for one string, written out."""
    maps = params["map"].astype(np.float64)
    out = np.tile(params["constant"].astype(np.float64), (length, 1))
    for r in range(H):
        for i in range(length):
            seen = [k for k in range(length) if delta is None or abs(i - k) <= delta]
            score = [0.0] * len(seen)
            if delta != 0:
                p = params["position"][r].astype(np.float64)
                score = [p[i] @ p[k] for k in seen]
            raw = np.exp(np.array(score) - max(score))
            for weight, k in zip(raw / raw.sum(), seen, strict=True):
                out[i] += weight * (x[k].astype(np.float64) @ maps[r])
    return out


def outputs(params, x, lengths, delta):
    """The logits of real classes, flat: [B, T, 5], and those of the class that is none."""
    found = np.asarray(linear.logits(params, x, lengths, delta, SIZES))
    return np.concatenate([found[..., 0, :], found[..., 1, :2]], -1), found[..., 1, 2]


@pytest.mark.parametrize("delta", DELTAS)
def test_logits_equal_the_formula(delta):
    params, x = make(delta), states()
    found, absent = outputs(params, x, LENGTHS, delta)
    for b, length in enumerate(LENGTHS):
        expected = twin(params, x[b], length, delta)[:, :5]
        np.testing.assert_allclose(found[b, :length], expected, rtol=2e-5, atol=2e-5)
    assert (absent < -1e29).all()


@pytest.mark.parametrize("delta", DELTAS)
def test_outputs_are_linear_in_the_hidden_states(delta):
    params = make(delta)
    params["constant"] = np.zeros_like(params["constant"])
    a, b = states(1), states(2)
    mixed = outputs(params, 2 * a - 3 * b, LENGTHS, delta)[0]
    parts = 2 * outputs(params, a, LENGTHS, delta)[0] - 3 * outputs(params, b, LENGTHS, delta)[0]
    np.testing.assert_allclose(mixed, parts, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("delta", DELTAS)
def test_padding_and_neighbours_in_the_batch_do_not_matter(delta):
    params, x = make(delta), states()
    together = outputs(params, x, LENGTHS, delta)[0]
    for b, length in enumerate(LENGTHS):
        alone = x[b : b + 1].copy()
        alone[:, length:] = 1e3
        found = outputs(params, alone, LENGTHS[b : b + 1], delta)[0]
        np.testing.assert_allclose(found[0, :length], together[b, :length], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("delta", DELTAS)
def test_a_probe_reads_its_band_and_all_of_it(delta):
    params, x = make(delta, scale=0.5), states(strings=1)
    lengths = np.array([T], np.int32)
    before = outputs(params, x, lengths, delta)[0]
    for k in range(T):
        changed = x.copy()
        changed[0, k] += 1
        differs = np.abs(outputs(params, changed, lengths, delta)[0] - before)[0].max(-1) > 1e-6
        near = np.abs(np.arange(T) - k) <= (T if delta is None else delta)
        np.testing.assert_array_equal(differs, near)


def test_a_large_score_behind_the_end_of_a_string_does_no_harm():
    params, x = make(None), states()
    params["position"] *= np.float32(0.1)
    params["position"][:, :6, 0], params["position"][:, 6, 0] = 1, 110  # <P_i, P_6> is some 110
    found = outputs(params, x, LENGTHS, None)[0]
    expected = twin(params, x[1], 4, None)[:, :5]
    np.testing.assert_allclose(found[1, :4], expected, rtol=1e-3, atol=1e-3)
    classes = np.ones((3, T, 2), np.int32)

    def total(params):
        return linear.loss(linear.logits(params, x, LENGTHS, None, SIZES), classes, LENGTHS)

    assert all(np.isfinite(g).all() for g in jax.grad(total)(params).values())


def test_loss_is_the_cross_entropy_of_every_group_at_every_token():
    found = np.asarray(linear.logits(make(0), states(), LENGTHS, 0, SIZES), np.float64)
    classes = np.random.default_rng(5).integers(0, 2, (3, T, 2))
    total = 0.0
    for b, length in enumerate(LENGTHS):
        for i in range(length):
            for g, size in enumerate(SIZES):
                z = found[b, i, g, :size]
                total += np.log(np.exp(z).sum()) - z[classes[b, i, g]]
    value = linear.loss(jnp.asarray(found, jnp.float32), jnp.asarray(classes), LENGTHS)
    np.testing.assert_allclose(float(value), total / LENGTHS.sum(), rtol=1e-5)


@pytest.mark.parametrize("delta", DELTAS)
def test_gradients_are_finite_and_see_every_parameter(delta):
    classes = np.ones((3, T, 2), np.int32)

    def total(params):
        return linear.loss(linear.logits(params, states(), LENGTHS, delta, SIZES), classes, LENGTHS)

    for name, gradient in jax.grad(total)(make(delta, scale=3.0)).items():
        assert np.isfinite(gradient).all(), name
        assert np.abs(gradient).max() > 1e-4, name
