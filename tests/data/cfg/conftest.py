"""The tiny grammar whose facts are known by enumeration."""

import pytest

from physlm_jax.data.cfg import Grammar

TINY4 = [
    [[[0, 1], [1, 0]]],  # r -> A B | B A
    [[[0, 1], [1, 1, 0]], [[0, 0, 1], [1, 0]]],  # A -> C D | D D C; B -> C C D | D C
    [[[0, 1], [0, 1, 0]], [[0, 1], [0, 0, 1]]],  # C -> 1 2 | 1 2 1; D -> 1 2 | 1 1 2
]


@pytest.fixture(scope="session")
def tiny4() -> Grammar:
    return Grammar.from_rules(TINY4, name="tiny4")
