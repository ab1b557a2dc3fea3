"""Grammars: structure of the published ones, official ids, sub-grammars, checks."""

import pytest

from physlm_jax.data import cfg
from physlm_jax.errors import InputError

# Levels and rules of the published tables.
SHAPES = {
    "cfg3b": (7, 32), "cfg3i": (7, 32), "cfg3h": (7, 39), "cfg3g": (7, 48), "cfg3f": (7, 54),
    "cfg3e1": (7, 444), "cfg3e2": (7, 228), "cfg3j": (8, 57), "cfg3k": (8, 68),
}  # fmt: skip


def ids(grammar, level, number):
    """The rules of one symbol in official ids."""
    rules = grammar.rules[level - 1][number]
    return [[grammar.symbol_id(level + 1, c) for c in rhs] for rhs in rules]


def test_the_nine_published_grammars_are_on_offer():
    assert sorted(cfg.names()) == sorted(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_levels_rules_and_their_distinctness(name):
    grammar = cfg.load(name)
    assert (grammar.levels, cfg.statistics(grammar).rules) == SHAPES[name]
    assert grammar.sizes[0] == 1 and len(grammar.rules) == grammar.levels - 1
    for level in grammar.rules:
        flat = [rhs for symbol in level for rhs in symbol]
        assert len(set(flat)) == len(flat)
        assert {len(rhs) for rhs in flat} <= {2, 3}


def test_rules_of_the_tables_in_official_ids():
    b, f, k = (cfg.load(n) for n in ("cfg3b", "cfg3f", "cfg3k"))
    assert ids(b, 1, 0) == [[21, 20], [20, 19]]
    assert ids(b, 2, 0) == [[16, 17, 18], [17, 18, 16]]
    assert ids(b, 6, 2) == [[3, 2, 1], [2, 1]]
    # A widely copied note lists these rules of cfg3f under the name cfg3b.
    assert ids(f, 1, 0) == [[20, 21], [20, 19, 21], [21, 19, 19], [20, 20]]
    assert ids(f, 6, 1) == [[3, 1, 1], [1, 2], [3, 3, 1]]
    assert ids(k, 1, 0) == [[22, 23], [24, 24], [24, 23]]
    assert b.symbol_id(1, 0) == 22 and k.symbol_id(1, 0) == 25
    assert (b.bos, b.eos, b.mask) == (0, 4, 5)


def test_within_a_rule_of_cfg3b_symbols_differ():
    rules = [r for level in cfg.load("cfg3b").rules for symbol in level for r in symbol]
    assert all(len(set(rhs)) == len(rhs) for rhs in rules)


@pytest.mark.parametrize("name", ["cfg3b", "cfg3e1", "cfg3k"])
def test_locate_inverts_symbol_id(name):
    grammar = cfg.load(name)
    places = [(k + 1, a) for k, n in enumerate(grammar.sizes) for a in range(n)]
    found = [grammar.symbol_id(*p) for p in places]
    assert [grammar.locate(i) for i in found] == places
    terminals = grammar.terminals
    assert sorted(found) == [
        *range(1, terminals + 1), *range(terminals + 4, terminals + 4 + sum(grammar.sizes[:-1]))
    ]  # fmt: skip


def test_under_a_symbol():
    whole = cfg.load("cfg3b")
    small = whole.under(13)
    assert small.levels == 4 and small.symbol_id(1, 0) == 13
    assert cfg.derivations(small) == 512
    assert cfg.derivations(whole.under(14)) == 8192
    assert cfg.derivations(whole.under(16)) == 2**35 + 2**22  # 13 15 14 and 15 13
    assert ids(small, 2, 1) == ids(whole, 5, 1) == [[8, 7, 9], [7, 8, 9]]
    assert whole.under(22) is whole
    assert whole.under(8).levels == 2
    for symbol in (2, 5, 23, -1):
        with pytest.raises(InputError, match=str(symbol)):
            whole.under(symbol)


def test_equal_rules_make_equal_grammars(tiny4):
    again = cfg.Grammar.from_rules(tiny4.rules, name="another")
    assert again == tiny4 and hash(again) == hash(tiny4)
    assert cfg.load("cfg3b") != cfg.load("cfg3i")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([], "no rules"),
        ([[]], "no rules"),
        ([[[[0]], [[0]]]], "root alone"),
        ([[[]]], "without rules"),
        ([[[[0, 1]]], [[[0]]]], "not in the next level"),
        ([[[[0, -1]]]], "not in the next level"),
        ([[[[0, 0, 0, 0]]]], "a rule of 4 symbols"),
        ([[[[]]]], "a rule of 0 symbols"),
        ([[[[0, 0], [0, 0]]]], "occurs twice"),
    ],
)
def test_wrong_rules_are_refused_in_one_line(rules, message):
    with pytest.raises(InputError, match=message) as error:
        cfg.Grammar.from_rules(rules)
    assert "\n" not in str(error.value)
