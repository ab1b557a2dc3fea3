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


def test_twin_meets_every_ending(params):
    """The test above is worth something: some rows stop and some fill up."""
    common = {"max_length": LENGTH, "stop": STOP, "width": 4, "length_penalty": 2.0}
    ends = [twin(CONFIG, params, p, 0, None, **common)[:2] for p in PROMPTS]
    assert {finished for _, finished in ends} == {True, False}
    assert any(finished and len(tokens) < LENGTH for tokens, finished in ends)


def test_one_beam_is_greedy_decoding(params):
    prompts = [[a, b] for a in range(6) for b in range(6)] + PROMPTS
    common = {"max_length": 20, "stop": STOP}
    greedy = generate(CONFIG, params, prompts, jax.random.key(0), temperature=0.0, **common)
    found = beam(CONFIG, params, prompts, width=1, **common)
    np.testing.assert_array_equal(found.tokens, greedy.tokens)
    np.testing.assert_array_equal(found.finished, greedy.finished)
    np.testing.assert_allclose(found.log_prob, greedy.log_prob, rtol=1e-5)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_a_beam_as_wide_as_the_world_finds_the_best_string(params, power):
    """36 beams hold every string of two tokens, so the best of at most three is found."""
    hypotheses = []
    for n in (1, 2, 3):
        for inner in itertools.product(range(5), repeat=n - 1):
            for last in range(6) if n == 3 else (STOP,):  # without a stop where the row is full
                tokens, total = [0, *inner, last], 0.0
                for end in range(1, n + 1):
                    total += log_softmax(next_logits(CONFIG, params, tokens[:end]))[tokens[end]]
                hypotheses.append((total / n**power, tokens))
    best, tokens = max(hypotheses)
    found = beam(CONFIG, params, [[0]], width=36, max_length=4, stop=STOP, length_penalty=power)
    assert found.tokens[0, : found.lengths[0]].tolist() == tokens
    assert found.log_prob[0] / (len(tokens) - 1) ** power == pytest.approx(best, abs=1e-4)


def test_candidates_are_drawn_without_replacement():
    """One beam keeps two of four tokens: each pair as often as two draws in turn give it."""
    chances = np.array([0.1, 0.2, 0.3, 0.4])
    n = 20000
    beams = hypotheses.first_beams(jnp.zeros((n, 3), jnp.int32), 1)
    ranked = jnp.broadcast_to(jnp.log(chances), (n, 1, 4))
    noise = jax.random.gumbel(jax.random.key(5), (n, 4))
    found = hypotheses.choose(beams, ranked, ranked, noise)
    assert (found.score[:, 0] >= found.score[:, 1]).all()
    counts = np.zeros((4, 4))
    np.add.at(counts, tuple(np.sort(np.array(found.token), axis=1).T), 1)
    chi_square = 0.0
    for a, b in itertools.combinations(range(4), 2):
        p, q = chances[a], chances[b]
        expected = n * (p * q / (1 - p) + q * p / (1 - q))
        chi_square += (counts[a, b] - expected) ** 2 / expected
    assert counts.sum() == n and np.triu(counts, 1).sum() == n
    assert chi_square < 20.5  # the 0.999 quantile for 5 degrees of freedom


def test_drawn_first_tokens_follow_the_distribution(params):
    """One place to fill: the likelier of two tokens that are drawn is returned."""
    n = 4000
    found = beam(
        CONFIG,
        params,
        np.zeros((n, 1), np.int64),
        jax.random.key(11),
        width=1,
        max_length=2,
        stop=STOP,
        sample=True,
        batch=n,
        forbid=(STOP,),
    )
    chances = np.exp(log_softmax(next_logits(CONFIG, params, [0])[:STOP]))
    expected = np.zeros(5)
    for a, b in itertools.permutations(range(5), 2):
        likelier = a if chances[a] > chances[b] else b
        expected[likelier] += n * chances[a] * chances[b] / (1 - chances[a])
    counts = np.bincount(found.tokens[:, 1], minlength=6)[:5]
    kept = expected > 0
    assert (counts[~kept] == 0).all() and kept.sum() == 4
    assert ((counts - expected)[kept] ** 2 / expected[kept]).sum() < 16.3  # 0.999, 3 degrees


@pytest.mark.parametrize("sample", [False, True], ids=["best", "drawn"])
def test_a_prompt_does_not_depend_on_the_others(params, sample):
    common = {"width": 3, "max_length": LENGTH, "stop": STOP, "sample": sample}
    key = jax.random.key(2)
    whole = beam(CONFIG, params, PROMPTS, key, **common)
    for batch in (1, 2):
        parts = beam(CONFIG, params, PROMPTS, key, batch=batch, **common)
        np.testing.assert_array_equal(parts.tokens, whole.tokens)
        np.testing.assert_allclose(parts.log_prob, whole.log_prob, rtol=1e-4)
    others = [PROMPTS[0], [4, 4], *PROMPTS[2:3]]
    np.testing.assert_array_equal(
        beam(CONFIG, params, others, key, **common).tokens[[0, 2]], whole.tokens[[0, 2]]
    )


@pytest.mark.parametrize(
    "variant",
    [
        {"position": "learned", "parallel": True},
        {"kv_heads": 2, "mlp": "gated", "norm": "rmsnorm", "tied": False},
        {"window": 3, "unroll": 1},
    ],
    ids=str,
)
def test_variants_of_the_model(variant):
    config = dataclasses.replace(CONFIG, **variant)
    params = transformer.init(config, jax.random.key(1))
    compare(config, params, [[0, 1, 2, 3, 4], [2, 1, 0]], {"width": 3, "max_length": 12, "stop": 5})


def test_the_cache_grows_without_a_trace(params, monkeypatch):
    prompts = [[0, 1, 2], [0] * 6]
    common = {"width": 3, "max_length": 23, "stop": STOP, "forbid": (STOP,)}
    whole = beam(CONFIG, params, prompts, **common)
    monkeypatch.setattr(rows, "FIRST_CACHE", 4)
    module._run.clear_cache()
    grown = beam(CONFIG, params, prompts, **common)
    module._run.clear_cache()
    assert (whole.lengths == 23).all()
    np.testing.assert_array_equal(whole.tokens, grown.tokens)


def test_as_a_sampler(params):
    ragged = as_ragged(PROMPTS)
    sampler = interface.beam_sampler(CONFIG, params, stop=STOP, width=2, sample=True, max_length=12)
    one, again, other = sampler(ragged, 1), sampler(ragged, 1), sampler(ragged, 2)
    np.testing.assert_array_equal(one.tokens, again.tokens)
    assert not np.array_equal(one.tokens, other.tokens)
    assert len(sampler(as_ragged([]), 0)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, r"width 0: expected at least 1"),
        ({"temperature": 0.0}, r"temperature 0.0: expected a number above 0"),
        ({"temperature": float("nan")}, r"temperature"),
        ({"length_penalty": float("inf")}, r"length_penalty inf"),
        ({"sample": True}, r"give a key"),
        ({"max_length": 25}, r"max_length 25"),
        ({"batch": 0}, r"batch"),
        ({"stop": 6}, r"stop"),
        ({"forbid": range(6)}, r"every token"),
        ({"prompts": [[0], []]}, r"prompt 1 has 0 tokens"),
        ({"prompts": [[0] * 20]}, r"prompt 0 has 20 tokens"),
        ({"config": dataclasses.replace(CONFIG, causal=False)}, r"causal"),
        (
            {"config": dataclasses.replace(CONFIG, vocab_size=1), "stop": 0},
            r"at least 2 tokens",
        ),
    ],
)
def test_bad_arguments_give_one_line(params, change, message):
    arguments = {
        "config": CONFIG,
        "params": params,
        "prompts": [[0]],
        "width": 2,
        "max_length": 20,
        "stop": STOP,
    } | change
    with pytest.raises(InputError, match=message) as error:
        beam(**arguments)
    assert "\n" not in str(error.value)
