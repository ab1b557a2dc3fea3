"""Exact verdicts and probabilities against enumeration, textbook twins and published figures."""

from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import cfg
from physlm_jax.data.cfg import reference, spans
from physlm_jax.errors import InputError

X = (1, 2, 1, 1, 2, 1, 1, 2, 1, 2)

# [EOS, 1, 2] after k tokens of X, by enumerating its 174 strings.
ROWS = [
    [0, 1, 0], [0, F(1, 4), F(3, 4)], [0, 1, 0], [0, F(1, 2), F(1, 2)], [0, F(1, 6), F(5, 6)],
    [0, 1, 0], [0, F(2, 5), F(3, 5)], [0, F(1, 4), F(3, 4)], [0, 1, 0], [0, F(1, 6), F(5, 6)],
    [F(1, 5), F(4, 5), 0],
]  # fmt: skip

# The published sampler's first strings for seed 7711: length, ln p, first 20 tokens.
OFFICIAL = {
    "cfg3b": (278, -117.8350206952, "2 1 3 1 3 1 2 3 1 2 3 1 2 1 3 2 1 2 3 3"),
    "cfg3f": (305, -222.4929583235, "3 3 3 3 1 1 2 1 3 1 2 3 2 2 1 2 3 3 1 2"),
    "cfg3i": (351, -142.3828540872, "1 2 1 1 3 1 1 3 1 2 2 3 1 3 1 2 1 1 3 1"),
    "cfg3k": (625, -517.6193973710, "1 3 1 1 3 1 2 1 3 1 1 1 2 2 1 1 1 2 1 1"),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_first_strings_of_the_published_sampler(name):
    strings = cfg.official_sample(cfg.load(name), 7711, 1)
    length, log_p, tokens = OFFICIAL[name]
    assert strings.lengths.tolist() == [length]
    assert strings[0][:20].tolist() == [int(t) for t in tokens.split()]
    assert cfg.log_prob(cfg.load(name), strings)[0] == pytest.approx(log_p, abs=1e-9)


def test_next_tokens_of_the_worked_example(tiny4):
    rows = cfg.next_token_probs(tiny4, X)
    np.testing.assert_allclose(rows, np.array(ROWS, float), atol=1e-14)
    assert np.exp(cfg.log_prob(tiny4, [X])) == pytest.approx(1 / 64, rel=1e-14)


def test_verdicts_of_the_worked_example(tiny4):
    strings = [X, X[:-1], (1, 2, 1, 1, 2, 1, 1, 2, 1, 1), (2, 2, 1), (*X, 1), ()]
    assert cfg.is_valid(tiny4, strings).tolist() == [True, False, False, False, True, False]
    assert cfg.first_error(tiny4, strings).tolist() == [0, 10, 11, 1, 0, 1]


def test_all_strings_of_the_tiny_language(tiny4):
    exact = reference.language(tiny4)
    log_p = cfg.log_prob(tiny4, list(exact))
    np.testing.assert_allclose(log_p, np.log([float(p) for p in exact.values()]), rtol=1e-13)
    entropy = -sum(float(p) * v for p, v in zip(exact.values(), log_p, strict=True)) / np.log(2)
    assert entropy == pytest.approx(7.083869824, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=18))
def test_any_string_against_enumeration(tiny4, string):
    exact = reference.language(tiny4)
    alive = [k for k in range(len(string) + 1) if any(s[:k] == tuple(string[:k]) for s in exact)]
    valid = tuple(string) in exact
    assert cfg.is_valid(tiny4, [string]).tolist() == [valid]
    assert cfg.first_error(tiny4, [string]).tolist() == [0 if valid else max(alive) + 1]
    rows = cfg.next_token_probs(tiny4, string)
    for k in range(len(string) + 1):
        if k in alive:
            expected = [float(p) for p in reference.next_tokens(exact, string[:k], 2)]
            np.testing.assert_allclose(rows[k], expected, atol=1e-13)
        else:
            assert np.isnan(rows[k]).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(3, 4), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(0, 2**32),
    st.data(),
)
def test_random_grammars_against_the_recursive_inside(sizes, shortest, seed, data):
    grammar = cfg.draw_grammar((1, *sizes), (1, 3), (shortest, 3), seed=seed)
    strings = [x.tolist() for x in cfg.sample(grammar, seed, 0, 3)]
    for x in list(strings):
        y = list(x)
        y[data.draw(st.integers(0, len(y) - 1))] = data.draw(st.integers(1, grammar.terminals))
        strings.append(y)
    exact = [float(reference.inside(grammar, x)) for x in strings]
    np.testing.assert_allclose(np.exp(cfg.log_prob(grammar, strings)), exact, rtol=1e-12)
    assert cfg.is_valid(grammar, strings).tolist() == [reference.cyk(grammar, x) for x in strings]
    assert cfg.is_valid(grammar, strings)[:3].all()


@pytest.mark.parametrize("name", cfg.names())
def test_sampled_strings_are_valid_and_rows_sum_to_one(name):
    grammar = cfg.load(name)
    strings = cfg.sample(grammar, 9, 0, 40)
    assert cfg.is_valid(grammar, strings).all()
    assert (cfg.first_error(grammar, strings) == 0).all()
    rows = cfg.next_token_probs(grammar, strings[0])
    np.testing.assert_allclose(rows.sum(1), 1.0, atol=1e-12)
    steps = [*strings[0].tolist(), 0]
    chain = sum(np.log(rows[k, t]) for k, t in enumerate(steps))
    assert chain == pytest.approx(cfg.log_prob(grammar, strings)[0], abs=1e-9)


# Ambiguity H_tree - H(x) in bits with a tolerance for 200 strings, from 40 strings.
AMBIGUITY = {
    "cfg3b": (0.0, 0.0), "cfg3i": (2.3, 0.5), "cfg3h": (0.08, 0.1), "cfg3g": (1.9, 0.5),
    "cfg3f": (0.4, 0.25), "cfg3e2": (0.0, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", AMBIGUITY)
def test_ambiguity(name):
    grammar = cfg.load(name)
    trees = cfg.sample_derivations(grammar, 4, 0, 200)
    bits = (cfg.log_prob(grammar, trees.strings()) - trees.log_prob()) / np.log(2)
    mean, tolerance = AMBIGUITY[name]
    assert bits.min() > -1e-9
    assert bits.mean() == pytest.approx(mean, abs=max(tolerance, 1e-9))


@pytest.mark.parametrize(("name", "least", "most"), [("cfg3b", 0, 2), ("cfg3f", 10, 60)])
def test_single_edits_are_not_always_errors(name, least, most):
    grammar = cfg.load(name)
    strings = [x.tolist() for x in cfg.sample(grammar, 21, 0, 200)]
    for i, x in enumerate(strings):
        place = (7919 * i) % len(x)
        x[place] = x[place] % grammar.terminals + 1
    valid = cfg.is_valid(grammar, strings)
    assert least <= valid.sum() <= most
    broken = cfg.first_error(grammar, strings)
    assert ((broken == 0) == valid).all()
    places = np.array([(7919 * i) % len(x) + 1 for i, x in enumerate(strings)])
    assert (broken[~valid] >= places[~valid]).all()
    # The first error shows soon after the edit.
    assert np.median((broken - places)[~valid]) < 10


@pytest.mark.parametrize("name", ["cfg3b", "cfg3f"])
def test_long_strings_against_the_textbook_table(name):
    grammar = cfg.load(name).under(19)
    strings = [x.tolist() for x in cfg.sample(grammar, 2, 0, 2)]
    strings += [[*x[:40], x[40] % 3 + 1, *x[41:]] for x in strings]
    expected = [reference.cyk(grammar, x) for x in strings]
    assert cfg.is_valid(grammar, strings).tolist() == expected
    assert expected[:2] == [True, True]


def test_very_long_and_very_ambiguous_strings():
    # All strings of 1 to 2^7 ones, in astronomically many ways.
    chain = cfg.Grammar.from_rules([[[[0, 0], [0]]]] * 7)
    total = np.logaddexp.reduce(cfg.log_prob(chain, [[1] * n for n in range(1, 129)]))
    assert total == pytest.approx(0.0, abs=1e-12)
    binary = cfg.Grammar.from_rules([[[[0, 0]]]] * 11)
    assert cfg.log_prob(binary, [[1] * 2048]).tolist() == [0.0]
    steep = cfg.Grammar.from_rules([[[[0, 0]]]] * 10 + [[[[t] for t in range(20)]]])
    assert cfg.log_prob(steep, [[5] * 1024])[0] == pytest.approx(-1024 * np.log(20), rel=1e-12)


def test_joins_in_small_blocks(monkeypatch):
    grammar = cfg.load("cfg3i").under(19)
    strings = cfg.sample(grammar, 1, 0, 4)
    whole = cfg.log_prob(grammar, strings)
    monkeypatch.setattr(spans, "_BLOCK", 40)
    np.testing.assert_allclose(cfg.log_prob(grammar, strings), whole, rtol=1e-13)


def test_order_and_company_do_not_matter():
    grammar = cfg.load("cfg3g").under(20)
    strings = [x.tolist() for x in cfg.sample(grammar, 1, 0, 300)]
    together = cfg.log_prob(grammar, strings)
    alone = [cfg.log_prob(grammar, [x])[0] for x in strings[::30]]
    np.testing.assert_allclose(together[::30], alone, rtol=1e-13)
    rows = cfg.next_token_probs_of(grammar, strings[:5])
    for x, r in zip(strings, rows, strict=False):
        np.testing.assert_allclose(r, cfg.next_token_probs(grammar, x), atol=1e-13)


def test_nothing_to_judge(tiny4):
    assert cfg.is_valid(tiny4, []).shape == cfg.log_prob(tiny4, []).shape == (0,)
    assert cfg.first_error(tiny4, []).shape == (0,)
    assert cfg.next_token_probs_of(tiny4, []) == []


def test_wrong_arguments(tiny4):
    with pytest.raises(InputError, match="sequence of sequences"):
        cfg.is_valid(tiny4, ["ab"])
    with pytest.raises(InputError, match="emission"):
        cfg.log_prob(tiny4, [X], np.ones((4, 3)))
