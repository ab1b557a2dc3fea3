"""The float32 oracles on the accelerator against the float64 ones on the host."""

import numpy as np
import pytest

from physlm_jax.data import cfg
from physlm_jax.data.cfg import device


def compare(grammar, strings, emission=None):
    tokens, lengths = device.pad(strings)
    valid = np.asarray(device.is_valid(grammar, tokens, lengths, emission))
    np.testing.assert_array_equal(valid, cfg.is_valid(grammar, strings, emission))
    log_p = np.asarray(device.log_prob(grammar, tokens, lengths, emission))
    np.testing.assert_allclose(log_p, cfg.log_prob(grammar, strings, emission), rtol=1e-6)
    rows = np.asarray(device.next_token_probs(grammar, tokens, lengths, emission))
    for fast, slow in zip(rows, cfg.next_token_probs_of(grammar, strings, emission), strict=True):
        np.testing.assert_allclose(fast[: len(slow)], slow, atol=1e-6)
        assert np.isnan(fast[len(slow) :]).all()
    return valid


def edited(grammar, count):
    """Valid strings, each followed by itself with one token changed, cut and prolonged."""
    strings = []
    for x in cfg.sample(grammar, 1, 0, count):
        y = x.copy()
        y[len(x) // 2] = y[len(x) // 2] % grammar.terminals + 1
        strings += [x.tolist(), y.tolist(), x[:-1].tolist(), [*x.tolist(), 1, 99]]
    return strings


@pytest.mark.parametrize(("name", "under"), [("cfg3b", 16), ("cfg3f", 17), ("cfg3i", 17)])
def test_subgrammars(name, under):
    grammar = cfg.load(name).under(under)
    valid = compare(grammar, edited(grammar, 6))
    assert valid[::4].all() and not valid.all()


def test_tiny_grammar_and_no_tokens(tiny4):
    compare(tiny4, [*edited(tiny4, 8), []])


def test_unit_rules():
    grammar = cfg.draw_grammar((1, 3, 3, 3), (2, 3), (1, 3), seed=4)
    compare(grammar, edited(grammar, 6))


def test_whole_strings():
    compare(cfg.load("cfg3f"), cfg.official_sample(cfg.load("cfg3f"), 7711, 1))


def test_implicit_alphabet():
    world = cfg.world("cfg3f", under=17, alphabet=30, bags="overlap", bag_weights="linear")
    strings = [x.tolist() for x in world.strings(1, 0, 4)]
    compare(world.grammar, [*strings, strings[0][:-1]], world.emission)


def test_padding_values_do_not_matter(tiny4):
    tokens, lengths = device.pad([[1, 2, 1, 1, 2, 1, 1, 2, 1, 2], [1, 2]], length=14)
    assert tokens.shape == (2, 14)
    filled = np.where(tokens == 0, 1, tokens)
    for oracle in (device.log_prob, device.is_valid):
        np.testing.assert_array_equal(
            oracle(tiny4, tokens, lengths), oracle(tiny4, filled, lengths)
        )
