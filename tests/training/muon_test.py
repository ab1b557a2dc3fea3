"""Muon against singular values and a NumPy twin, and in the train state of real networks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.training import muon
from physlm_jax.training.optimizer import make_optimizer, numbers, recipe

SETTINGS = {
    "kind": "muon",
    "learning_rate": 0.1,
    "warmup": 0,
    "schedule": "constant",
    "final_fraction": 0.0,
    "beta1": 0.95,
    "beta2": 0.98,
    "epsilon": 1e-8,
    "weight_decay": 0.1,
    "clip": 0.0,
}
MODEL = TransformerConfig(vocab_size=11, max_length=8, layers=2, width=16, heads=2, tied=False)


@pytest.mark.parametrize("shape", [(8, 8), (4, 16), (16, 4), (3, 8, 24)])
def test_singular_values_become_about_one(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = np.asarray(muon.orthogonal(jnp.asarray(x)))
    values = np.linalg.svd(found, compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.3
    u, _, v = np.linalg.svd(x, full_matrices=False)
    cosine = (found * (u @ v)).sum() / np.linalg.norm(found) / np.linalg.norm(u @ v)
    assert cosine > 0.97


def slow_orthogonal(x):
    """One matrix, by its singular values: what the polynomial makes of each of them."""
    u, s, v = np.linalg.svd(x.astype(np.float64), full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(muon.STEPS):
        a, b, c = muon.COEFFICIENTS
        s = a * s + b * s**3 + c * s**5
    return u @ np.diag(s) @ v


def test_updates_equal_the_numpy_twin():
    c = ConfigDict(SETTINGS)
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda x: jnp.asarray(rng.standard_normal(x.shape), jnp.float32),
        transformer.abstract(MODEL),
    )
    optimizer = make_optimizer(recipe(c, 10), numbers(c))
    adam = optax.adamw(0.1, 0.95, 0.98, 1e-8, weight_decay=0.1)
    state, other = optimizer.init(params), adam.init(params)
    momentum, mine, theirs = {}, params, params
    for _ in range(3):
        gradients = jax.tree.map(
            lambda x: jnp.asarray(rng.standard_normal(x.shape), jnp.float32), params
        )
        updates, state = optimizer.update(gradients, state, mine)
        mine = optax.apply_updates(mine, updates)
        changes, other = adam.update(gradients, other, theirs)
        theirs = optax.apply_updates(theirs, changes)
        momentum = {
            name: 0.95 * momentum.get(name, 0.0) + 0.05 * np.asarray(g, np.float64)
            for name, g in named(gradients).items()
        }
        last = named(gradients)
    before = {
        n: np.asarray(p, np.float64) - np.asarray(u)
        for (n, p), u in zip(named(mine).items(), named(updates).values(), strict=True)
    }
    for name, found in named(updates).items():
        inputs = {"attention/out": 2}.get("/".join(name.split("/")[-3:-1]), 1)
        if not (name.startswith("blocks") and name.endswith("kernel")):
            continue
        ahead = 0.95 * momentum[name] + 0.05 * np.asarray(last[name], np.float64)
        rows = int(np.prod(ahead.shape[1 : 1 + inputs]))
        flat = ahead.reshape(len(ahead), rows, -1)
        whole = np.stack([slow_orthogonal(m) for m in flat]).reshape(ahead.shape)
        expected = -0.1 * (0.2 * max(flat.shape[1:]) ** 0.5 * whole + 0.1 * before[name])
        np.testing.assert_allclose(found, expected, atol=2e-4, err_msg=name)
    for name in ("embedding", "output/kernel"):  # AdamW's
        np.testing.assert_allclose(named(mine)[name], named(theirs)[name], atol=1e-5)


def named(tree):
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(key.key) for key in path): leaf for path, leaf in flat}


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="did you mean 'muon'"):
        recipe(ConfigDict({**SETTINGS, "kind": "moun"}), 10)
