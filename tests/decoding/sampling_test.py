"""Sampling against a slow twin that recomputes every prefix, row by row, in plain Python."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.decoding import rows, sampling
from physlm_jax.decoding.sampling import generate
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig

CONFIG = TransformerConfig(vocab_size=6, max_length=24, layers=2, width=16, heads=4, init_std=0.4)
STOP = 5
PROMPTS = [[0], [0, 1, 2, 3, 5, 1], [2, 2], [0, 4, 4, 4], [3, 1, 1]]


@pytest.fixture(scope="module")
def params():
    return transformer.init(CONFIG, jax.random.key(7))


def twin(config, params, prompts, key, *, max_length, stop, temperature=1.0, top_k=0, forbid=()):
    """Yields (tokens, finished, log_prob) of each row, one whole forward pass per token."""
    for row, prompt in enumerate(prompts):
        tokens, total, finished = list(prompt), 0.0, False
        while len(tokens) < max_length and not finished:
            # the whole prefix at a fixed length: what follows it cannot be seen from it
            padded = jnp.array([tokens + [0] * (max_length - len(tokens))])
            logits = np.array(_logits(config, params, padded)[0, len(tokens) - 1])
            allowed = logits.copy()
            allowed[list(forbid)] = -np.inf
            if top_k:
                allowed[np.argsort(-allowed, kind="stable")[top_k:]] = -np.inf
            token = _pick(jax.random.fold_in(key, row), len(tokens), allowed, temperature, top_k)
            total += logits[token] - np.log(np.exp(logits).sum())
            tokens.append(token)
            finished = token == stop
        yield tokens, finished, total


_logits = jax.jit(
    lambda config, params, tokens: transformer.apply(config, params, tokens).logits,
    static_argnums=0,
)


def _pick(row_key, place, allowed, temperature, top_k):
    if temperature == 0:
        return int(allowed.argmax())
    key = jax.random.fold_in(row_key, place)
    if not top_k:
        return int(jax.random.categorical(key, jnp.array(allowed / temperature)))
    order = np.argsort(-allowed, kind="stable")[:top_k]
    return int(order[int(jax.random.categorical(key, jnp.array(allowed[order] / temperature)))])


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {},
        {"temperature": 0.3},
        {"top_k": 2, "temperature": 2.0},
        {"forbid": (0, 4)},
    ],
    ids=str,
)
def test_equals_the_slow_twin_for_mixed_prompts(params, options):
    common = {"max_length": 20, "stop": STOP, **options}
    for how in ({"cache": True}, {"cache": False}):
        _compare_with_twin(params, PROMPTS, common, how)


@pytest.mark.parametrize("batch", [1, 2])
def test_batches_prefilling_and_the_last_partial_batch_change_nothing(params, batch):
    prompts = [[0, 1, 2, 3], [0, 4, 4], [2, 2, 1, 0, 5, 1]]
    _compare_with_twin(params, prompts, {"max_length": 20, "stop": STOP}, {"batch": batch})


def _compare_with_twin(params, prompts, common, how):
    key = jax.random.key(3)
    found = generate(CONFIG, params, prompts, key, **common, **how)
    assert found.tokens.shape == (len(prompts), 20)
    for row, expected in enumerate(twin(CONFIG, params, prompts, key, **common)):
        tokens, finished, log_prob = expected
        assert found.tokens[row].tolist() == tokens + [0] * (20 - len(tokens)), (how, row)
        assert found.lengths[row] == len(tokens)
        assert found.finished[row] == finished
        assert found.log_prob[row] == pytest.approx(log_prob, rel=1e-4)
        stop = len(tokens) - finished
        assert found.continuations[row].tolist() == tokens[len(prompts[row]) : stop]


def test_twin_meets_both_endings(params):
    """The test above is worth something: some rows stop and some fill up."""
    rows = list(twin(CONFIG, params, PROMPTS, jax.random.key(3), max_length=20, stop=STOP))
    assert {finished for _, finished, _ in rows} == {True, False}


@pytest.mark.parametrize(
    "variant",
    [
        {"position": "learned", "parallel": True},
        {"kv_heads": 2, "mlp": "gated", "norm": "rmsnorm", "tied": False},
        {"position": "none", "unroll": 1},
    ],
    ids=str,
)
def test_cache_changes_nothing_in_variants_of_the_model(variant):
    config = dataclasses.replace(CONFIG, **variant)
    params = transformer.init(config, jax.random.key(1))
    args = (config, params, PROMPTS, jax.random.key(4))
    fast, slow = (generate(*args, max_length=24, stop=STOP, cache=c) for c in (True, False))
    np.testing.assert_array_equal(fast.tokens, slow.tokens)
    np.testing.assert_allclose(fast.log_prob, slow.log_prob, rtol=1e-4)


def test_the_cache_grows_without_a_trace(params, monkeypatch):
    args = (CONFIG, params, [[0, 1, 2], [0] * 6], jax.random.key(5))
    whole = generate(*args, max_length=23, stop=STOP, forbid=(STOP,))
    monkeypatch.setattr(rows, "FIRST_CACHE", 4)
    sampling._run.clear_cache()
    grown = generate(*args, max_length=23, stop=STOP, forbid=(STOP,))
    sampling._run.clear_cache()
    assert (whole.lengths == 23).all()
    np.testing.assert_array_equal(whole.tokens, grown.tokens)


def test_bfloat16_runs_and_keeps_its_own_samples():
    config = dataclasses.replace(CONFIG, dtype="bfloat16")
    params = transformer.init(config, jax.random.key(1))
    args = (config, params, PROMPTS, jax.random.key(4))
    first, again = (generate(*args, max_length=12, stop=STOP, batch=b) for b in (256, 256))
    np.testing.assert_array_equal(first.tokens, again.tokens)
    assert np.isfinite(first.log_prob).all()


def test_another_key_gives_other_samples(params):
    prompts = np.zeros((16, 1), np.int64)
    one, two = (
        generate(CONFIG, params, prompts, jax.random.key(k), max_length=12, stop=STOP)
        for k in (0, 1)
    )
    assert not np.array_equal(one.tokens, two.tokens)
    assert len({row.tobytes() for row in one.tokens}) > 8  # and rows differ from each other


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 0), (0.5, 0), (2.0, 4)])
def test_first_tokens_follow_the_distribution(params, temperature, top_k):
    n = 8000
    found = generate(
        CONFIG,
        params,
        np.zeros((n, 1), np.int64),
        jax.random.key(11),
        max_length=2,
        stop=STOP,
        temperature=temperature,
        top_k=top_k,
        batch=n,
    )
    logits = np.array(transformer.apply(CONFIG, params, jnp.zeros((1, 1), int)).logits[0, 0])
    if top_k:
        logits[np.argsort(-logits)[top_k:]] = -np.inf
    expected = np.exp(logits / temperature)
    expected *= n / expected.sum()
    counts = np.bincount(found.tokens[:, 1], minlength=6)
    assert (counts[expected == 0] == 0).all()  # never outside the top k
    kept = expected > 0
    chi_square = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    assert chi_square < 20.5  # the 0.999 quantile for 5 degrees of freedom


def test_nothing_to_sample(params):
    found = generate(CONFIG, params, [], jax.random.key(0), max_length=5, stop=STOP)
    assert len(found) == 0 and len(found.continuations) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": 7}, "top_k 7"),
        ({"max_length": 25}, "max_length 25"),
        ({"batch": 0}, "batch"),
        ({"stop": 6}, "stop"),
        ({"forbid": (9,)}, "forbid"),
        ({"forbid": range(6)}, "every token"),
        ({"prompts": [[0], [0, 8]]}, "token 8 in a prompt"),
        ({"prompts": [[0], []]}, "prompt 1 has 0 tokens"),
        ({"prompts": [[0] * 20]}, "prompt 0 has 20 tokens"),
        ({"config": dataclasses.replace(CONFIG, causal=False)}, "causal"),
    ],
)
def test_bad_arguments_give_one_line(params, change, message):
    arguments = {
        "config": CONFIG,
        "params": params,
        "prompts": [[0]],
        "key": jax.random.key(0),
        "max_length": 20,
        "stop": STOP,
    } | change
    with pytest.raises(InputError, match=message) as error:
        generate(**arguments)
    assert "\n" not in str(error.value)
