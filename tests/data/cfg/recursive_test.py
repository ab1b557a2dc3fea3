"""Recursive grammars from rule files, against the definition by brute force."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from physlm_jax.data import cfg
from physlm_jax.data.cfg import recursive
from physlm_jax.errors import InputError

TOY = """
S: NP VP            # the root comes first
NP: d n | NP PP | X
X: NP | n | d n n p
VP: v NP | v
PP: p NP
"""


def write(tmp_path, text):
    path = tmp_path / "rules.txt"
    path.write_text(text)
    return path


def least_fixed_point(grammar, string, rounds=200):
    """The definition: probabilities of all (symbol, span) iterated up from zero."""
    n = len(string)
    words = [grammar.terminals[t - 1] for t in string]
    spans = [(i, j) for i in range(n) for j in range(i + 1, n + 1)]
    value = {(a, *s): 0.0 for a in grammar.rules for s in spans}

    def chance(word, i, j):
        if word in grammar.rules:
            return value[word, i, j]
        return float(j == i + 1 and words[i] == word)

    def spelled(rhs, i, j):
        inner = itertools.combinations(range(i + 1, j), len(rhs) - 1)
        return sum(
            np.prod([chance(w, a, b) for w, a, b in zip(rhs, (i, *c), (*c, j), strict=True)])
            for c in inner
        )

    for _ in range(rounds):
        value = {
            (a, i, j): sum(spelled(r, i, j) for r in grammar.rules[a]) / len(grammar.rules[a])
            for a in grammar.rules
            for i, j in spans
        }
    return value[next(iter(grammar.rules)), 0, n]


def test_probabilities_with_cyclic_unit_rules(tmp_path):
    grammar = recursive.load_rules(write(tmp_path, TOY))
    token = {word: i for i, word in enumerate(grammar.terminals, 1)}
    texts = ["n v", "d n v", "n p n v", "n v d n n p", "n v n p d n", "v n", "n v v"]
    strings = [[token[w] for w in text.split()] for text in texts]
    expected = [least_fixed_point(grammar, x, rounds=60) for x in strings]
    found = recursive.log_prob(grammar, strings)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-9, atol=1e-15)
    assert recursive.is_valid(grammar, strings).tolist() == [True] * 5 + [False] * 2


def test_closed_form_of_a_chain(tmp_path):
    # S -> a S | a: p(a^n) = 2^-n; long strings must not underflow.
    grammar = recursive.load_rules(write(tmp_path, "S: a S | a\n"))
    lengths = [1, 2, 7, 60]
    found = recursive.log_prob(grammar, [[1] * n for n in lengths])
    np.testing.assert_allclose(found, np.array(lengths) * np.log(0.5), rtol=1e-12)


def test_catalan_numbers(tmp_path):
    # S -> S S | a: p(a^n) = Catalan(n - 1) 2^-(2n - 1).
    grammar = recursive.load_rules(write(tmp_path, "S: S S | a\n"))
    catalan = [1]
    for k in range(1, 12):
        catalan.append(sum(catalan[i] * catalan[k - 1 - i] for i in range(k)))
    expected = [float(Fraction(c, 2 ** (2 * k + 1))) for k, c in enumerate(catalan)]
    found = recursive.log_prob(grammar, [[1] * (k + 1) for k in range(12)])
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-12)


def test_strings_that_fit_nowhere(tmp_path):
    grammar = recursive.load_rules(write(tmp_path, "S: a S | a\n"))
    assert recursive.is_valid(grammar, [[], [0], [2], [1, -1], [1]]).tolist() == [False] * 4 + [
        True
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rules"),
        ("S a b\n", "line 1: expected"),
        ("S T: a\n", "line 1: expected"),
        ("S: a b\nT: a |\n", "line 2: an empty rule of 'T'"),
        ("S: a b | c | a b\n", "line 1: the rule 'a b' of 'S' occurs twice"),
    ],
)
def test_slips(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        recursive.load_rules(write(tmp_path, text))


def test_world_of_a_rule_file(tmp_path):
    text = "S: NP v | NP v NP | NP v X p NP\nNP: d n | n\nX: S | n\n"
    world = cfg.world(rules=str(write(tmp_path, text)))
    words = world.vocabulary
    assert (words.bos, words.eos, world.mask, len(words)) == (0, 5, 6, 7)
    strings, n = world.strings(2, 2**63, 3000), 3000
    assert recursive.is_valid(world.grammar, strings.slice(0, 60)).all()
    # NP: 1.5. S = 1.5 + 1 + (0 + 1.5 + (S / 2 + 1 / 2 + 1 + 1.5)) / 3, so 5/6 S = 4.
    assert world.mean_length == pytest.approx(4.8 + 2)
    lengths = strings.lengths
    assert abs(lengths.mean() - 4.8) < 4.5 * lengths.std() / n**0.5
    bits = -recursive.log_prob(world.grammar, strings.slice(0, 200))
    assert np.isfinite(bits).all()
    part = world.examples(2, 2**63 + 7, 3)
    for i, x in enumerate(part, 7):
        assert x.tolist() == [0, *strings[i].tolist(), 5]


def test_worlds_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="expected length of a string is infinite"):
        cfg.world(rules=str(write(tmp_path, "S: S S | a\n")))
    with pytest.raises(InputError, match="combined"):
        cfg.world(rules=str(write(tmp_path, "S: S a | a | b\n")), under=3)


def test_endless_unit_chains_are_refused(tmp_path):
    grammar = recursive.load_rules(write(tmp_path, "S: A | a\nA: B\nB: A\n"))
    with pytest.raises(InputError, match="never ends"):
        recursive.log_prob(grammar, [[1]])
    with pytest.raises(InputError, match="not readable"):
        recursive.load_rules(tmp_path / "missing.txt")
