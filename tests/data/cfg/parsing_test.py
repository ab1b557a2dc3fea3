"""Parses: trees of the grammar that spell the string, with posterior frequencies."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import cfg
from physlm_jax.data.cfg import reference
from physlm_jax.errors import InputError


def check_tree(grammar, node):
    """Every node of a tree follows a rule; returns the leaves."""
    level, number = grammar.locate(node.symbol)
    assert level == node.level and node.name == grammar.symbols[level - 1][number]
    if level == grammar.levels:
        assert node.children == ()
        return [node.symbol]
    rhs = tuple(grammar.locate(c.symbol)[1] for c in node.children)
    assert rhs in grammar.rules[level - 1][number]
    return [t for c in node.children for t in check_tree(grammar, c)]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(3, 4), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(0, 2**32),
    st.one_of(st.none(), st.integers(0, 9)),
)
def test_parses_are_trees_that_spell_the_string(sizes, shortest, grammar_seed, seed):
    grammar = cfg.draw_grammar((1, *sizes), (1, 3), (shortest, 3), seed=grammar_seed)
    strings = cfg.sample(grammar, 1, 0, 4)
    (trees,) = cfg.parse_all(grammar, strings, seed)
    labels = cfg.label([trees])
    for i, x in enumerate(strings):
        root = trees.tree(i)
        assert check_tree(grammar, root) == x.tolist()
        slow = reference.tree_labels(root)
        here = slice(*labels.offsets[i : i + 2])
        assert labels.ancestor_index[here].T.tolist() == slow.index
        assert labels.boundary[here].T.tolist() == slow.boundary


@pytest.mark.parametrize("name", ["cfg3b", "cfg3e1"])
def test_an_unambiguous_string_has_the_sampled_tree(name):
    grammar = cfg.load(name)
    sampled = cfg.sample(grammar, 2, 0, 150, labels=True)
    parsed = cfg.label(cfg.parse_all(grammar, sampled))
    np.testing.assert_array_equal(parsed.tokens, sampled.tokens)
    for label in ("ancestor_index", "ancestor_symbol", "boundary", "nt_end"):
        np.testing.assert_array_equal(parsed.labels[label], sampled.labels[label])


def test_posterior_frequencies(tiny4):
    # 1 2 | 1 2 | 1 1 2 .. : derivations of one string, listed by sampling from the prior.
    prior = Counter()
    strings = cfg.sample_derivations(tiny4, 5, 0, 30_000)
    target = (1, 2, 1, 1, 2, 1, 1, 2, 1, 2)
    for i, x in enumerate(strings.strings()):
        if tuple(x.tolist()) == target:
            prior[strings.tree(i)] += 1
    (drawn,) = cfg.parse_all(tiny4, [target] * 2000, seed=1)
    posterior = Counter(drawn.tree(i) for i in range(2000))
    assert len(prior) == 2 and set(posterior) == set(prior)
    for tree, count in posterior.items():
        assert count / 2000 == pytest.approx(prior[tree] / sum(prior.values()), abs=0.08)
        assert count / 2000 == pytest.approx(0.5, abs=0.06)  # equal numbers of binary choices


def test_posterior_of_a_string_with_unequal_derivations():
    # 1 1 1 as (1 1) 1 by rule 1 of the root and as 1 (1 1) or 1 1 1 with other weights.
    grammar = cfg.Grammar.from_rules([[[[0, 1], [1, 0], [2]]], [[[0, 0]], [[0]], [[0, 0, 0], [0]]]])
    (drawn,) = cfg.parse_all(grammar, [[1, 1, 1]] * 4000, seed=3)
    first = Counter(len(drawn.tree(i).children) * 10 + len(drawn.tree(i).children[0].children)
                    for i in range(4000))  # fmt: skip
    # Weights 1/3, 1/3 and 1/3 * 1/2: posterior 2/5, 2/5, 1/5.
    shares = {kind: count / 4000 for kind, count in first.items()}
    assert shares == pytest.approx({22: 0.4, 21: 0.4, 13: 0.2}, abs=0.035)
    best = cfg.parse(grammar, [1, 1, 1])
    assert best is not None and len(best.tree().children) == 2


def test_seeds_and_company(tiny4):
    strings = cfg.sample(tiny4, 1, 0, 30)
    once, again = (cfg.label(cfg.parse_all(tiny4, strings, seed=4)) for _ in range(2))
    np.testing.assert_array_equal(once.ancestor_index, again.ancestor_index)
    alone = cfg.parse(tiny4, strings[0], seed=4)
    assert alone is not None
    together = cfg.parse_all(tiny4, strings, seed=4)[0]
    assert alone.tree() == together.tree(0)


def test_strings_without_a_parse(tiny4):
    assert cfg.parse(tiny4, (2, 2, 1)) is None
    assert cfg.parse(tiny4, ()) is None
    with pytest.raises(InputError, match="string 1 "):
        cfg.parse_all(tiny4, [cfg.sample(tiny4, 1, 0, 1)[0].tolist(), [1]])


def test_hidden_terminals_of_an_implicit_language():
    world = cfg.world("cfg3b", under=16, alphabet=30, bags="overlap")
    strings = world.strings(1, 0, 20)
    hidden = cfg.label(cfg.parse_all(world.grammar, strings, emission=world.emission))
    assert cfg.is_valid(world.grammar, hidden).all()
    chances = world.emission[strings.tokens, hidden.tokens - 1]
    assert (chances > 0).all()
