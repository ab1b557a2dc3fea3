"""The languages as worlds: framing, corruption, implicit alphabets, configs."""

import subprocess
import sys

import numpy as np
import pytest

from physlm_jax.data import cfg, open_world
from physlm_jax.data.cfg import reference
from physlm_jax.errors import InputError


def test_plain_world():
    world = open_world({"world": "cfg", "grammar": "cfg3b", "under": 16})
    plain = cfg.sample(world.grammar, 5, 2**40, 30)
    framed = world.examples(5, 2**40, 30)
    assert world.mean_length == 50.75
    assert (world.vocabulary.bos, world.vocabulary.eos, world.mask) == (0, 4, 5)
    assert world.vocabulary.names == ("<bos>", "1", "2", "3", "<eos>", "<mask>")
    for x, y in zip(plain, framed, strict=True):
        assert y.tolist() == [0, *x.tolist(), 4]


@pytest.mark.parametrize(
    "options",
    [
        {"corruption": "nt_random", "corruption_fraction": 0.5},
        {"alphabet": 30, "bags": "overlap", "bag_weights": "linear"},
    ],
)
def test_examples_depend_on_their_index_alone(options):
    world = cfg.world("cfg3b", under=16, **options)
    whole = world.examples(3, 2**64 - 50, 50)
    part = world.examples(3, 2**64 - 20, 10)
    np.testing.assert_array_equal(whole.slice(30, 40).tokens, part.tokens)


def test_numpy_alone_makes_the_data():
    code = (
        "import sys; from physlm_jax.data import cfg;"
        "w = cfg.world('cfg3b', corruption='t_random');"
        "w.examples(0, 0, 2); cfg.is_valid(w.grammar, [[1]]); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grammar": "cfg3bb"}, "did you mean 'cfg3b'"),
        ({"grammar": "cfg3b", "under": 2}, "terminal"),
        ({"corruption": "t_randon"}, "did you mean 't_random'"),
        ({"corruption": "t_random", "corruption_rate": 1.5}, "rate"),
        ({"corruption_fraction": -0.5}, "fraction"),
        ({"alphabet": 2}, "at least 3"),
        ({"alphabet": 9, "bags": "overlapping"}, "bags"),
        ({"alphabet": 9, "bag_weights": "none"}, "weights"),
        ({"gramar": "cfg3b"}, "did you mean 'grammar'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message) as error:
        open_world({"world": "cfg", **options})
    assert "\n" not in str(error.value)


# Corruption


def unequal(a, b):
    """bool[n]: strings that differ between two Raggeds."""
    return np.array([x.tolist() != y.tolist() for x, y in zip(a, b, strict=True)])


@pytest.mark.parametrize("kind", ["t_random", "nt_random", "nt_deterministic"])
def test_a_fraction_of_the_strings_is_corrupted(kind):
    grammar, n = cfg.load("cfg3b"), 1000
    clean = cfg.sample(grammar, 3, 0, n)
    for fraction in (0.0, 0.3, 1.0):
        noisy = cfg.sample_corrupted(grammar, cfg.Corruption.of_paper(kind, fraction), 3, 0, n)
        changed = unequal(clean, noisy)
        # At the lowest rate .95^118, two in a thousand, of the chosen strings escape.
        assert changed.mean() == pytest.approx(fraction, abs=0.05 if fraction == 0.3 else 0.006)
        assert fraction > 0 or not changed.any()
        np.testing.assert_array_equal(cfg.is_valid(grammar, noisy), ~changed)
    again = cfg.sample_corrupted(grammar, cfg.Corruption.of_paper(kind, 1.0), 3, 500, 9)
    np.testing.assert_array_equal(again.tokens, noisy.slice(500, 509).tokens)


def test_tokens_are_replaced_at_the_rate():
    grammar = cfg.load("cfg3b")
    clean = cfg.sample(grammar, 1, 0, 500)
    noisy = cfg.sample_corrupted(grammar, cfg.Corruption("t_random", 0.15), 1, 0, 500)
    np.testing.assert_array_equal(clean.offsets, noisy.offsets)
    changed = clean.tokens != noisy.tokens
    assert changed.mean() == pytest.approx(0.15 * 2 / 3, abs=0.004)  # a third stays as it was
    pairs = np.unique(np.stack([clean.tokens, noisy.tokens])[:, changed], axis=1)
    assert pairs.shape[1] == 6


def test_a_cycle_moves_symbols_of_the_last_nonterminal_level():
    # One rule per symbol, so that the symbols show in the tokens.
    grammar = cfg.Grammar.from_rules([[[[0, 1], [1, 0]]], [[[0, 0]], [[1, 1]], [[2, 2]]]])
    noisy = cfg.sample_corrupted(grammar, cfg.Corruption("nt_deterministic", 1.0), 1, 0, 50)
    clean = cfg.sample(grammar, 1, 0, 50)
    np.testing.assert_array_equal(noisy.tokens, clean.tokens % 3 + 1)
    rate = cfg.sample_corrupted(grammar, cfg.Corruption("nt_deterministic", 0.2), 1, 0, 4000)
    moved = rate.tokens != cfg.sample(grammar, 1, 0, 4000).tokens
    assert moved.mean() == pytest.approx(0.2, abs=0.02)
    assert (moved[::2] == moved[1::2]).all()
    random = cfg.sample_corrupted(grammar, cfg.Corruption("nt_random", 1.0), 1, 0, 4000)
    np.testing.assert_allclose(
        np.bincount(random.tokens)[1:] / len(random.tokens), 1 / 3, atol=0.02
    )
    assert (random.tokens[::2] == random.tokens[1::2]).all()


def test_corrupted_prefixes():
    grammar = cfg.load("cfg3b")
    prefixes = np.stack([x[:50] for x in cfg.sample(grammar, 1, 0, 400)])
    noisy = cfg.corrupt_prefix(grammar, prefixes, rate=0.15, seed=2)
    assert noisy.shape == prefixes.shape and noisy.dtype == np.int32
    assert noisy.min() >= 1 and noisy.max() <= 3
    assert (noisy != prefixes).mean() == pytest.approx(0.10, abs=0.012)
    np.testing.assert_array_equal(noisy[:7], cfg.corrupt_prefix(grammar, prefixes[:7], 0.15, 2))
    np.testing.assert_array_equal(cfg.corrupt_prefix(grammar, prefixes, rate=0.0), prefixes)
    assert not np.array_equal(noisy, cfg.corrupt_prefix(grammar, prefixes, 0.15, 3))


# Implicit alphabets


def test_disjoint_bags():
    alphabet = cfg.Alphabet(3, 10)
    assert [m.tolist() for m in alphabet.members] == [[3, 6, 9], [1, 4, 7, 10], [2, 5, 8]]
    assert alphabet.emission[4].tolist() == [0, 0.25, 0]
    linear = cfg.Alphabet(3, 10, weights="linear").emission
    np.testing.assert_allclose(linear[[1, 4, 7, 10], 1], [0.1, 0.2, 0.3, 0.4])


def test_overlapping_bags_have_the_published_size():
    alphabet = cfg.Alphabet(3, 300, "overlap")
    sizes = [len(m) for m in alphabet.members]
    assert all(105 <= s <= 131 for s in sizes)  # 150 draws from 300: about 118 are distinct
    assert alphabet == cfg.Alphabet(3, 300, "overlap")
    other = cfg.Alphabet(3, 300, "overlap", seed=1)
    assert not np.array_equal(other.emission, alphabet.emission)
    np.testing.assert_allclose(alphabet.emission.sum(0), 1.0)
    assert (alphabet.emission > 0).sum(1).max() == 3


@pytest.mark.parametrize("bags", ["disjoint", "overlap"])
@pytest.mark.parametrize("weights", ["uniform", "linear"])
def test_observable_tokens_follow_their_emission(bags, weights):
    world = cfg.world("cfg3f", under=16, alphabet=12, bags=bags, bag_weights=weights)
    assert (world.vocabulary.eos, world.mask, len(world.vocabulary)) == (13, 14, 15)
    hidden = cfg.sample(world.grammar, 1, 0, 3000)
    seen = world.strings(1, 0, 3000)
    np.testing.assert_array_equal(hidden.offsets, seen.offsets)
    for t in (1, 2, 3):
        counts = np.bincount(seen.tokens[hidden.tokens == t], minlength=13)
        np.testing.assert_allclose(counts / counts.sum(), world.emission[:, t - 1], atol=0.012)
    assert cfg.is_valid(world.grammar, seen.slice(0, 100), world.emission).all()
    assert not cfg.is_valid(world.grammar, [[13, 1, 2]], world.emission).any()


def test_probabilities_of_an_implicit_language(tiny4):
    # With disjoint uniform bags a string's probability is that of its terminals times 1/|bag|s.
    alphabet = cfg.Alphabet(2, 5)
    keys = np.arange(20, dtype=np.uint64)
    hidden = cfg.sample(tiny4, 1, 0, 20)
    seen = alphabet.observe(keys, hidden.tokens, hidden.offsets)
    strings = [seen[a:b] for a, b in zip(hidden.offsets, hidden.offsets[1:], strict=False)]
    bags = alphabet.emission[seen, hidden.tokens - 1]
    expected = cfg.log_prob(tiny4, hidden) + np.add.reduceat(np.log(bags), hidden.offsets[:-1])
    np.testing.assert_allclose(
        cfg.log_prob(tiny4, strings, alphabet.emission), expected, rtol=1e-12
    )
    rows = cfg.next_token_probs(tiny4, strings[0], alphabet.emission)
    plain = cfg.next_token_probs(tiny4, hidden[0])
    assert rows.shape == (len(strings[0]) + 1, 6)
    np.testing.assert_allclose(rows.sum(1), 1.0, atol=1e-12)
    np.testing.assert_allclose(rows[:, 0], plain[:, 0], atol=1e-13)
    np.testing.assert_allclose(rows[:, 1:], plain[:, 1:] @ alphabet.emission[1:].T, atol=1e-13)


def test_overlapping_bags_sum_over_hidden_strings(tiny4):
    alphabet = cfg.Alphabet(2, 4, "overlap", seed=3)
    keys = np.arange(30, dtype=np.uint64)
    hidden = cfg.sample(tiny4, 1, 0, 30)
    seen = alphabet.observe(keys, hidden.tokens, hidden.offsets)
    shared = (alphabet.emission > 0).all(1).any()
    assert shared  # else this checks nothing new
    short = int(np.argmin(hidden.lengths))
    x = seen[hidden.offsets[short] : hidden.offsets[short + 1]]
    total = sum(
        float(p) * np.prod(alphabet.emission[x, np.array(h) - 1])
        for h, p in reference.language(tiny4).items()
        if len(h) == len(x)
    )
    assert cfg.log_prob(tiny4, [x], alphabet.emission)[0] == pytest.approx(np.log(total))
