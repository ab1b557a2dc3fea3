"""Beam search against a slow twin: whole forward passes, hypotheses as tuples in lists."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.data.ragged import as_ragged
from physlm_jax.decoding import beam as module
from physlm_jax.decoding import hypotheses, interface, rows
from physlm_jax.decoding.beam import beam
from physlm_jax.decoding.sampling import generate
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig

CONFIG = TransformerConfig(vocab_size=6, max_length=24, layers=2, width=16, heads=4, init_std=0.4)
STOP = 5
PROMPTS = [[0], [0, 1, 2, 3, 5, 1], [2, 2], [0, 4, 4, 4], [3, 1, 1]]
LENGTH = 14


@pytest.fixture(scope="module")
def params():
    return transformer.init(CONFIG, jax.random.key(7))


_logits = jax.jit(
    lambda config, params, tokens: transformer.apply(config, params, tokens).logits,
    static_argnums=0,
)


def next_logits(config, params, tokens):
    padded = jnp.array([tokens + [0] * (config.max_length - len(tokens))])
    return np.array(_logits(config, params, padded)[0, len(tokens) - 1], np.float64)


def log_softmax(x):
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


def twin(config, params, prompt, row, key, *, width, stop, max_length, sample=False, **options):
    """Returns (tokens, finished, log_prob, score) of one prompt's best hypothesis."""
    temperature, power = options.get("temperature", 1.0), options.get("length_penalty", 1.0)
    live, pool = [(0.0, 0.0, list(prompt))], []  # of (score, log_prob, tokens)
    for place in range(len(prompt), max_length):
        candidates, noise = [], np.zeros(width * config.vocab_size)
        if sample:
            place_key = jax.random.fold_in(jax.random.fold_in(key, row), place)
            noise = np.array(jax.random.gumbel(place_key, noise.shape))
        for slot, (score, log_prob, tokens) in enumerate(live):
            logits = next_logits(config, params, tokens)
            natural, allowed = log_softmax(logits), logits.copy()
            allowed[list(options.get("forbid", ()))] = -np.inf
            ranked = log_softmax(allowed / temperature)
            for token in np.flatnonzero(np.isfinite(ranked)):
                new = (score + ranked[token], log_prob + natural[token], [*tokens, int(token)])
                drawn = new[0] + noise[slot * config.vocab_size + token]
                candidates.append((drawn, new))
        kept = sorted(candidates, key=lambda c: -c[0])[: 2 * width]
        kept = sorted((new for _, new in kept), key=lambda new: -new[0])
        count = place + 1 - len(prompt)
        for score, log_prob, tokens in kept[:width]:
            if tokens[-1] == stop:
                pool.append((score / count**power, log_prob, tokens))
        pool = sorted(pool, key=lambda h: -h[0])[:width]
        live = [new for new in kept if new[2][-1] != stop][:width]
        if not live or (len(pool) == width and live[0][0] / count**power <= pool[-1][0]):
            break
    else:
        if len(pool) < width:
            score, log_prob, tokens = live[0]
            pool.append((score / count**power, log_prob, tokens))
    score, log_prob, tokens = max(pool, key=lambda h: h[0])
    return tokens, tokens[-1] == stop, log_prob, score


def compare(config, params, prompts, common, batch=64):
    key = jax.random.key(3)
    found = beam(config, params, prompts, key, **common, batch=batch)
    assert found.tokens.shape == (len(prompts), common["max_length"])
    for row, prompt in enumerate(prompts):
        tokens, finished, log_prob, _ = twin(config, params, prompt, row, key, **common)
        assert found.tokens[row, : found.lengths[row]].tolist() == tokens, row
        assert (found.tokens[row, len(tokens) :] == 0).all()
        assert found.finished[row] == finished
        assert found.log_prob[row] == pytest.approx(log_prob, abs=1e-4)
    return found


@pytest.mark.parametrize("sample", [False, True], ids=["best", "drawn"])
@pytest.mark.parametrize(
    "options",
    [
        {"width": 1},
        {"width": 2, "length_penalty": 0.0},
        {"width": 4},
        {"width": 4, "temperature": 0.5, "length_penalty": 2.0},
        {"width": 3, "temperature": 3.0, "length_penalty": -1.0},
        {"width": 4, "forbid": (0, 4)},
        {"width": 3, "forbid": (0, 1, 2, 3)},
        {"width": 7},  # more candidates than the first step has tokens
    ],
    ids=str,
)
def test_equals_the_slow_twin_for_mixed_prompts(params, options, sample):
    common = {"max_length": LENGTH, "stop": STOP, "sample": sample, **options}
    compare(CONFIG, params, PROMPTS, common)
    if options == {"width": 4}:
        compare(CONFIG, params, PROMPTS[1:], common, batch=2)  # some of each prompt is prefilled
