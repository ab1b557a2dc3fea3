"""Grammars drawn at random by the recipe behind the published ones, for new miniatures.

For each symbol the number of rules is uniform in a range; for each rule its length, then each
child, uniform; a rule whose right-hand side already occurs in its level is drawn again, and so
is, if asked for, a child that its rule already holds (as in cfg3b).
Source: the authors' published generator (arXiv 2305.13673, appendix on data).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from physlm_jax.data.cfg.grammar import Grammar
from physlm_jax.errors import InputError

_PATIENCE = 10_000


def draw_grammar(
    sizes: Sequence[int],
    degree: tuple[int, int] = (2, 2),
    lengths: tuple[int, int] = (2, 3),
    distinct: bool = False,
    seed: int = 0,
    name: str = "",
) -> Grammar:
    """Returns a random grammar; the same arguments give the same grammar.

    Args:
        sizes: the number of symbols of levels 1..L; sizes[0] must be 1.
        degree: least and greatest number of rules of a symbol.
        lengths: least and greatest length of a rule, within 1..3.
        distinct: whether the symbols of a rule must be pairwise different.
        seed: any integer.
        name: the grammar's name; by default made from the seed.

    Raises:
        InputError: a range is empty or outside what is allowed, or the levels are too small for
            so many different rules.
    """
    _check_ranges(sizes, degree, lengths)
    rng = random.Random(f"physlm-cfg {seed}")
    rules = []
    for size, below in pairwise(sizes):
        seen: set[tuple[int, ...]] = set()
        level = []
        for _ in range(size):
            count = rng.randint(*degree)
            level.append([_draw_rule(rng, below, lengths, distinct, seen) for _ in range(count)])
        rules.append(level)
    return Grammar.from_rules(rules, sizes[-1], name or f"drawn-{seed}")


def _draw_rule(
    rng: random.Random,
    below: int,
    lengths: tuple[int, int],
    distinct: bool,
    seen: set[tuple[int, ...]],
) -> tuple[int, ...]:
    for _ in range(_PATIENCE):
        length = rng.randint(*lengths)
        if distinct and length > below:
            continue
        rhs = (
            tuple(rng.sample(range(below), length))
            if distinct
            else tuple(rng.randrange(below) for _ in range(length))
        )
        if rhs not in seen:
            seen.add(rhs)
            return rhs
    raise InputError(
        f"no new rule left to draw: {len(seen)} rules of lengths {lengths} over {below} symbols; "
        "use larger levels or fewer rules"
    )


def _check_ranges(sizes: Sequence[int], degree: tuple[int, int], lengths: tuple[int, int]) -> None:
    if len(sizes) < 2 or sizes[0] != 1 or min(sizes) < 1:
        raise InputError(f"sizes {list(sizes)}: expected 1, then one positive number per level")
    if not 1 <= degree[0] <= degree[1]:
        raise InputError(f"degree {degree}: expected 1 <= least <= greatest")
    if not 1 <= lengths[0] <= lengths[1] <= 3:
        raise InputError(f"lengths {lengths}: expected 1 <= least <= greatest <= 3")
