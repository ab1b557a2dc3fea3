"""Grammar files: both formats, and one clear line for every slip."""

import json
import warnings

import pytest

from physlm_jax.data import cfg
from physlm_jax.errors import InputError

TEXT = """
# two levels of two symbols
L1  r: A B | B A
L2  A: C D | D D C
L2  B: C C D | D C     # a level may go on
L3  C: 1 2 | 1 2 1 ; D: 2 2 | 1 1 2
"""


def write(tmp_path, text, name="own.txt"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_text_file(tmp_path):
    grammar = cfg.load(write(tmp_path, TEXT))
    assert grammar.name == "own" and grammar.sizes == (1, 2, 2, 2)
    assert grammar.rules[1] == (((0, 1), (1, 1, 0)), ((0, 0, 1), (1, 0)))
    assert grammar.rules[2] == (((0, 1), (0, 1, 0)), ((1, 1), (0, 0, 1)))
    assert grammar.symbols == (("r",), ("A", "B"), ("C", "D"), ("1", "2"))


def test_text_of_a_published_table(tmp_path):
    text = """
L1  22: 21 20 | 20 19
L2  19: 16 17 18 | 17 18 16  ;  20: 17 16 18 | 16 17  ;  21: 18 16 | 16 18 17
L3  16: 15 13 | 13 15 14  ;  17: 14 13 15 | 15 13 14  ;  18: 15 14 13 | 14 13
L4  13: 11 12 | 12 11  ;  14: 11 10 12 | 10 11 12  ;  15: 12 11 10 | 11 12 10
L5  10: 7 9 8 | 9 8 7  ;  11: 8 7 9 | 7 8 9  ;  12: 8 9 7 | 9 7 8
L6  7: 3 1 | 1 2 3  ;  8: 3 2 | 3 1 2  ;  9: 3 2 1 | 2 1
"""
    assert cfg.load(write(tmp_path, text)) == cfg.load("cfg3b")


@pytest.mark.parametrize("name", ["cfg3e2", "cfg3k"])
def test_json_file(tmp_path, name):
    grammar = cfg.load(name)
    entry = {"L": grammar.levels, "sizes": grammar.sizes, "rules": grammar.rules}
    assert cfg.load(write(tmp_path, json.dumps(entry), "own.json")) == grammar


def test_unknown_name_offers_the_nearest():
    with pytest.raises(InputError, match=r"cfg3ff.*did you mean 'cfg3f'"):
        cfg.load("cfg3ff")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("# nothing\n", "no rules"),
        ("L1  r: A B | B A\nL2  A: 1 2\n", "line 1: 'B' has no rules at level 2"),
        ("L1  r: A C\nL2  A: C C\nL3  C: 1 2\n", "line 1: 'C' of level 3 .* level 1"),
        ("L1  r: A A\nL2  A: 1 r\n", "line 2: 'r' of level 1 in a rule of level 2"),
        ("L1  r: A A\nL2  A: 1 2 | 2 | 1 2\n", "line 2: the rule '1 2' .* twice"),
        ("L1  r: A B\nL2  A: 1 2\nL2  B: 1 2\n", "line 3: the rule '1 2' of 'B' .* under 'A'"),
        ("L1  r: A A\nL2  A: 1 2 1 2\n", "line 2: .* 4 symbols"),
        ("L1  r: A |\nL2  A: 1 2\n", "line 1: .* 0 symbols"),
        ("L1  r: A A\nL3  A: 1 2\n", "line 2: level 3 cannot follow level 1"),
        ("L1  r: A A\nA: 1 2\n", "line 2: expected 'L<level>"),
        ("L1  r: A A\nL2  A = 1 2\n", "line 2: bad symbol"),
        ("L1  r: A A: B\nL2  A: 1 2\n", "line 1: bad symbol 'A:'"),
        ("L1  r: A A\nL2  A: 1 2 ; A B: 2\n", "line 2: bad symbol 'A B'"),
        ("L1  r: A A ; s: A\nL2  A: 1 2\n", "level 1 must hold one symbol"),
        ("L1  r: A A\nL2  A: r2 1\nL2  r: 2\n", "line 3: 'r' is already a symbol of level 1"),
        ("{", "line 1: not JSON"),
        ('{"rule": []}', "key 'rules'"),
        ('{"rules": [[[["a"]]]]}', "whole number"),
        ('{"rules": 3}', "whole number"),
        ('{"rules": [[[[0.5]]]]}', "whole number"),
        ('{"rules": [[[[0, 0]]]], "L": 3}', "L is 3"),
        ('{"rules": [[[[0, 1]]], [[[0]], []]]}', r"rules\[1\]\[1\]: a symbol without rules"),
        ('{"rules": [[[[0, 1]]], [[[0]], [[0]]]]}', r"twice in one level"),
        ('{"rules": [[[[0, 5]]], [[[0]]]]}', "child 5 is not in the next level"),
        ('{"rules": [[[[0, 0]]]], "sizes": [2, 1]}', "sizes"),
    ],
)
def test_slips_are_named_with_file_and_place(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as error:
        cfg.load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_unreachable_symbols_are_only_warned_about(tmp_path):
    with pytest.warns(UserWarning, match="no derivation reaches B"):
        grammar = cfg.load(write(tmp_path, "L1 r: A A\nL2 A: 1 2 ; B: 2 1\n"))
    assert len(grammar.unreachable()) == 1
    assert len(cfg.load("cfg3e1").unreachable()) == 13
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cfg.load("cfg3e1")
