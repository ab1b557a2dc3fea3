"""Small models find a lookup by name where their embeddings begin large enough."""

import jax
import numpy as np
import optax
import pytest

from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig

PAIRS, NAMES, VALUES, BATCH, UPDATES = 4, 16, 23, 64, 500


def lookups(rng: np.random.Generator) -> np.ndarray:
    """int[BATCH, 4 PAIRS + 1]: a start, four pairs of name and value, the four in another order."""
    names = rng.permuted(np.tile(np.arange(NAMES), (BATCH, 1)), axis=1)[:, :PAIRS] + VALUES
    pairs = np.stack([names, rng.integers(0, VALUES, names.shape)], -1)
    order = rng.permuted(np.tile(np.arange(PAIRS), (BATCH, 1)), axis=1)
    asked = np.take_along_axis(pairs, order[..., None], 1)
    start = np.full((BATCH, 1), VALUES + NAMES)
    return np.concatenate([start, pairs.reshape(BATCH, -1), asked.reshape(BATCH, -1)], 1)


def learned(embedding_std: float) -> float:
    """Share of values that are right after `UPDATES` updates, on the last 20 batches."""
    model = TransformerConfig(
        VALUES + NAMES + 1,
        4 * PAIRS,
        layers=2,
        width=64,
        heads=4,
        rotary_base=30.0,
        init_std=0.1,
        embedding_std=embedding_std,
        tied=False,
        platform="cpu",
    )
    rng, params = np.random.default_rng(0), transformer.init(model, jax.random.key(0))
    optimizer = optax.adam(1e-3)

    def loss(params, tokens):
        logits = transformer.apply(model, params, tokens[:, :-1]).logits[:, 2 * PAIRS + 1 :: 2]
        values = tokens[:, 2 * PAIRS + 2 :: 2]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, values)
        return losses.mean(), (logits.argmax(-1) == values).mean()

    @jax.jit
    def update(params, state, tokens):
        (_, right), gradient = jax.value_and_grad(loss, has_aux=True)(params, tokens)
        step, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, step), state, right

    state, rights = optimizer.init(params), []
    for _ in range(UPDATES):
        params, state, right = update(params, state, lookups(rng))
        rights.append(right)
    return float(np.mean(rights[-20:]))


@pytest.mark.parametrize(("embedding_std", "low", "high"), [(0.02, 0.3, 0.7), (0.3, 0.95, 1.0)])
def test_lookups_are_found_beside_embeddings_that_begin_large(embedding_std, low, high):
    """Where they begin small, what is left is to exclude the values that were said already."""
    assert low < learned(embedding_std) <= high
