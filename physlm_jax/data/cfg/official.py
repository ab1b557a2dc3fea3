"""The published sampler, bit by bit: the strings that the authors' generator makes of a seed.

Depth first, left to right, before the children of a node: one `randint(0, degree - 1)` of Python's
generator per internal node. One string after the other from one stream, so string i needs all
those before it; training data come from `sampling` instead.
Source: the authors' published generator.
"""

from __future__ import annotations

import random

from physlm_jax.data.cfg.grammar import Grammar
from physlm_jax.data.ragged import Ragged


def official_sample(grammar: Grammar, seed: int, count: int) -> Ragged:
    """Returns the first `count` strings of the published sampler with `random.Random(seed)`."""
    rng = random.Random(seed)
    return Ragged.from_sequences([_expand(grammar, rng, 0, 0) for _ in range(count)])


def _expand(grammar: Grammar, rng: random.Random, level: int, symbol: int) -> list[int]:
    if level == grammar.levels - 1:
        return [symbol + 1]
    rules = grammar.rules[level][symbol]
    rhs = rules[rng.randint(0, len(rules) - 1)]
    return [token for child in rhs for token in _expand(grammar, rng, level + 1, child)]
