"""The optimizer against a NumPy twin, and its schedules against closed forms."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from physlm_jax.errors import InputError
from physlm_jax.training import optimizer as optimizers
from physlm_jax.training.optimizer import numbers, recipe


def settings(**changes):
    values = {
        "kind": "adamw",
        "learning_rate": 0.1,
        "warmup": 2,
        "schedule": "linear",
        "final_fraction": 0.0,
        "beta1": 0.9,
        "beta2": 0.98,
        "epsilon": 1e-8,
        "weight_decay": 0.1,
        "clip": 1.0,
    }
    return ConfigDict({**values, **changes})


def make_optimizer(c, steps):
    return optimizers.make_optimizer(recipe(c, steps), numbers(c))


def schedule(c, steps):
    return optimizers.schedule(recipe(c, steps), numbers(c))


def twin(params, gradients, c, rates):
    """AdamW as its authors write it, in float64, with clipping by the global norm."""
    params = {k: v.astype(np.float64) for k, v in params.items()}
    m = {k: np.zeros_like(v) for k, v in params.items()}
    v = {k: np.zeros_like(p) for k, p in params.items()}
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        norm = np.sqrt(sum((x.astype(np.float64) ** 2).sum() for x in g.values()))
        scale = min(1.0, c.clip / norm) if c.clip else 1.0
        for k in params:
            clipped = g[k] * scale
            m[k] = c.beta1 * m[k] + (1 - c.beta1) * clipped
            v[k] = c.beta2 * v[k] + (1 - c.beta2) * clipped**2
            step = m[k] / (1 - c.beta1**t) / (np.sqrt(v[k] / (1 - c.beta2**t)) + c.epsilon)
            decay = c.weight_decay * params[k] if k == "kernel" else 0
            params[k] = params[k] - rate * (step + decay)
    return params


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_updates_equal_the_numpy_twin(clip):
    rng = np.random.default_rng(0)
    c = settings(clip=clip)
    shapes = {"kernel": (3, 4), "bias": (4,), "scale": (3,)}
    params = {k: rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()}
    gradients = [
        {k: (3 * rng.standard_normal(s)).astype(np.float32) for k, s in shapes.items()}
        for _ in range(6)
    ]
    # warm-up 2 of 6: .05, .1, then linear to 0 over 4 steps
    rates = [0.05, 0.1, 0.1, 0.075, 0.05, 0.025]
    expected = twin(params, gradients, c, rates)
    optimizer = make_optimizer(c, steps=6)
    found = {k: jnp.asarray(v) for k, v in params.items()}
    slots = optimizer.init(found)
    for g in gradients:
        updates, slots = optimizer.update(g, slots, found)
        found = optax.apply_updates(found, updates)
    for k in shapes:
        np.testing.assert_allclose(found[k], expected[k], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("kind", "floor", "expected"),
    [
        ("constant", 0.0, [0.5, 1, 1, 1, 1, 1, 1]),
        ("linear", 0.0, [0.5, 1, 1, 0.75, 0.5, 0.25, 0]),
        ("linear", 0.2, [0.5, 1, 1, 0.8, 0.6, 0.4, 0.2]),
        ("cosine", 0.0, [0.5, 1, 1, 0.853553, 0.5, 0.146447, 0]),
        ("cosine", 0.5, [0.5, 1, 1, 0.926777, 0.75, 0.573223, 0.5]),
    ],
)
def test_schedules(kind, floor, expected):
    rate = schedule(settings(schedule=kind, final_fraction=floor, learning_rate=1.0), steps=6)
    np.testing.assert_allclose([rate(jnp.asarray(t)) for t in range(7)], expected, atol=1e-6)


def test_no_warmup_starts_at_the_peak():
    assert float(schedule(settings(warmup=0), steps=10)(jnp.asarray(0))) == pytest.approx(0.1)


def test_mistakes_are_named():
    with pytest.raises(InputError, match="did you mean 'cosine'"):
        make_optimizer(settings(schedule="cosin"), 10)
    with pytest.raises(InputError, match=r"warmup must be in 0\.\.10"):
        make_optimizer(settings(warmup=11), 10)
    for name in ("clip", "learning_rate", "final_fraction", "epsilon", "weight_decay"):
        for value in (-1.0, float("nan"), float("inf")):
            with pytest.raises(InputError, match=rf"optimizer\.{name} must be at least 0, got"):
                make_optimizer(settings(**{name: value}), 10)
    for name in ("beta1", "beta2"):
        for value in (-0.1, 1.0):
            with pytest.raises(InputError, match=rf"{name} must be in \[0, 1\), got {value}"):
                make_optimizer(settings(**{name: value}), 10)
