"""Fitting: what can be read is read, what is not there is not found, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.probes import fitting
from physlm_jax.probes.fitting import Chunk, FitConfig

SIZES = (3, 2)
N, T, D = 240, 6, 8
FAST = FitConfig(
    masks=("full", "diagonal"),
    heads=2,
    head_dim=4,
    steps=60,
    batch=40,
    reuse=10,
    learning_rate=3e-2,
)


def truth(seed):
    """Lengths and classes of N strings; class 0 of the first group is the commonest."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, T + 1, N).astype(np.int32)
    first = rng.choice(3, (N, T), p=[0.6, 0.3, 0.1])
    return lengths, np.stack([first, rng.integers(0, 2, (N, T))], -1).astype(np.int32)


def one_hot(classes):
    """Hidden states that hold the classes: [1, N, T, D]."""
    states = np.zeros((1, N, T, D), np.float32)
    states[0, ..., :3] = np.eye(3)[classes[..., 0]]
    states[0, ..., 3:5] = np.eye(2)[classes[..., 1]]
    return jnp.asarray(states)


def noise(seed):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((1, N, T, D)), jnp.float32)


def accuracy(config, chunk, test):
    """float[masks, groups]: over the real positions of the test strings."""
    probes = fitting.fit(config, SIZES, [chunk])
    found = fitting.predict(config.deltas, SIZES, probes, test.states, test.lengths)[:, 0]
    inside = np.arange(T) < test.lengths[:, None]
    return (np.asarray(found) == test.classes)[:, inside].mean(1)


def test_a_probe_finds_what_the_states_hold():
    lengths, classes = truth(0)
    chunk = Chunk(one_hot(classes), lengths, classes)
    assert (accuracy(FAST, chunk, chunk)[1] == 1).all()
    fresh = Chunk(one_hot(truth(1)[1]), *truth(1))
    found = accuracy(FAST, chunk, fresh)
    assert (found[1] == 1).all()  # diagonal
    assert found[0, 0] > 0.7  # through the whole string it needs longer


def test_noise_is_answered_with_the_commonest_class():
    lengths, classes = truth(2)
    test = Chunk(noise(4), *truth(3))
    found = accuracy(FAST, Chunk(noise(3), lengths, classes), test)
    inside = np.arange(T) < test.lengths[:, None]
    majority = (test.classes[..., 0] == 0)[inside].mean()
    assert np.abs(found[:, 0] - majority).max() < 0.1
    assert found[:, 1].max() < 0.62  # of two equally common ones


def test_layers_and_masks_do_not_disturb_each_other():
    lengths, classes = truth(0)
    layers = jnp.concatenate([one_hot(classes), noise(1)])
    both = fitting.fit(FAST, SIZES, [Chunk(layers, lengths, classes)])
    alone = fitting.fit(
        FitConfig(**{**vars(FAST), "masks": ("diagonal",)}),
        SIZES,
        [Chunk(layers[:1], lengths, classes)],
    )
    for name in ("map", "constant"):
        np.testing.assert_allclose(both[1][name][0], alone[0][name][0], rtol=1e-3, atol=1e-4)


def test_fitting_is_determined_by_the_seed():
    lengths, classes = truth(0)

    def fitted(seed):
        config = FitConfig(**{**vars(FAST), "seed": seed, "steps": 5})
        return fitting.fit(config, SIZES, [Chunk(one_hot(classes), lengths, classes)])

    a, b, c = (jax.tree.leaves(fitted(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(a, c, strict=True))


def test_fitting_uses_as_many_strings_and_steps_as_asked(monkeypatch):
    lengths, classes = truth(0)
    counts = []
    monkeypatch.setattr(
        fitting, "_updates", lambda *a: counts.append((a[-2], a[-1])) or a[2]
    )  # slots unchanged
    config = FitConfig(steps=8, batch=80, reuse=2)
    chunk = Chunk(one_hot(classes), lengths, classes)
    fitting.fit(config, SIZES, iter([chunk, chunk, chunk]))
    assert [count for _, count in counts] == [6, 2]
    for order, _ in counts:
        assert order.shape == (6, 80)
        assert (np.bincount(order.ravel(), minlength=N) == 2).all()
        assert (np.bincount(order[:3].ravel(), minlength=N) == 1).all()  # pass by pass
    assert not np.array_equal(counts[0][0], counts[1][0])
    with pytest.raises(ValueError, match="6 of 8 steps"):
        fitting.fit(config, SIZES, [chunk])


@pytest.mark.parametrize(
    "steps, reuse, cache", [(400, 8, 256), (7, 2, 1), (30000, 1, 64), (1, 9, 1)]
)
def test_chunks_hold_enough_strings_in_the_memory_given(steps, reuse, cache):
    config = FitConfig(steps=steps, reuse=reuse, cache_mb=cache, batch=60)
    batches = fitting.batches_per_chunk(config, 3, 100, 32)
    assert batches == 1 or batches * 60 * 3 * 100 * 32 * 4 <= cache * 2**20
    chunks = -(-steps // (batches * reuse))
    assert chunks * (batches - 1) * reuse < steps  # none is needlessly large


MODEL = transformer.TransformerConfig(vocab_size=6, max_length=9, layers=2, width=16, heads=2)


def test_hidden_states_are_the_models_own():
    params = transformer.init(MODEL, jax.random.key(0))
    params["final_norm"]["scale"] = params["final_norm"]["scale"] * jnp.linspace(0.5, 2, 16)
    tokens = np.random.default_rng(0).integers(0, 6, (3, 4, 9)).astype(np.int32)
    raw = fitting.hidden_states(MODEL, params, tokens, (0, 2), False)
    normed = fitting.hidden_states(MODEL, params, tokens, (2,), True)
    assert raw.shape == (2, 12, 8, 16)
    expected = transformer.apply(MODEL, params, tokens.reshape(12, 9), hidden=True)
    np.testing.assert_allclose(raw, expected.hidden[np.array([0, 2])][:, :, 1:], atol=1e-5)
    logits = normed[0] @ params["embedding"].T
    np.testing.assert_allclose(logits, expected.logits[:, 1:], atol=1e-4)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"masks": ("diagnal",)}, "did you mean 'diagonal'"),
        ({"masks": ()}, "no mask"),
        ({"decay": "cosine"}, "unknown decay"),
        ({"batch": 0}, "batch must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        FitConfig(**wrong)


def test_layers_and_masks_by_name():
    assert FitConfig(masks=("full", "diagonal", "tridiagonal", "4")).deltas == (None, 0, 1, 4)
    assert FitConfig(layers=()).blocks(3) == (0, 1, 2, 3)
    assert FitConfig(layers=(-1, 0, 2)).blocks(3) == (3, 0, 2)
    with pytest.raises(InputError, match="no layer 4"):
        FitConfig(layers=(4,)).blocks(3)
