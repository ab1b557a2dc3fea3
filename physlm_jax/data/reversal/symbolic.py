"""Pairs of code words: the smallest world in which the reversal curse shows (section 4.1).

Entities a_i and b_i, each of several random code words, are paired at random. Training strings are
all forward facts `a has a feature b` and the backward facts `b is a feature of a` of half the
pairs; asked are the other backward facts. To answer, "a has b" must have taught "b is of a".
"""

import functools

import numpy as np

from physlm_jax.data.hashing import stream_key
from physlm_jax.data.permutation import permuted
from physlm_jax.data.questions import Questions
from physlm_jax.data.reversal.source import Listed, special
from physlm_jax.errors import InputError

HAS, IS_OF = ["has", "a", "feature"], ["is", "a", "feature", "of"]


def symbolic(pairs: int = 400, codes: int = 50, length: int = 2, seed: int = 0) -> Listed:
    """Returns the source of the symbolic task.

    Args:
        pairs: N.  codes: V, code words of each side.  length: L, words of an entity.
        seed: of the entities and of which backward facts are held out.
    Raises:
        InputError: fewer than two pairs, or more than there are entities (V ** L).
    """
    if pairs < 2 or length < 1 or codes < 1:
        raise InputError(
            f"symbolic task: needs pairs >= 2, length >= 1 and codes >= 1, got {pairs}, {length} "
            f"and {codes}"
        )
    if pairs > codes**length or codes**length >= 2**62:
        raise InputError(
            f"symbolic task: {pairs} pairs of different entities need {pairs} <= codes ** length "
            f"= {codes} ** {length} < 2 ** 62"
        )
    left, right = (_entities(side, pairs, codes, length, seed) for side in "ab")
    names = [f"{side}{i}" for side in "ab" for i in range(codes)]
    vocabulary = special([*dict.fromkeys([*HAS, *IS_OF]), *names])
    known = pairs - pairs // 2
    first, second = (0, length), (length + len(HAS), 2 * length + len(HAS))
    forward = [([*a, *HAS, *b], [first, second], True) for a, b in zip(left, right, strict=True)]
    other = (length + len(IS_OF), 2 * length + len(IS_OF))
    backward = [([*b, *IS_OF, *a], [first, other], True) for a, b in zip(left, right, strict=True)]

    ask = functools.partial(Questions.worded, vocabulary)
    of_b = [([*b, *IS_OF], a) for a, b in zip(left, right, strict=True)]
    asked = {
        "forward": ask([([*a, *HAS], b) for a, b in zip(left, right, strict=True)]),
        "seen backward": ask(of_b[:known]),
        "held-out backward": ask(of_b[known:]),
    }
    return Listed.of(vocabulary, [*forward, *backward[:known]], asked)


def _entities(side: str, pairs: int, codes: int, length: int, seed: int) -> list[list[str]]:
    """Different tuples of code words, in random order."""
    drawn = permuted(np.arange(pairs), codes**length, stream_key(seed, "symbolic", side))
    digits = drawn[:, None] // codes ** np.arange(length) % codes
    return [[f"{side}{d}" for d in row] for row in digits.tolist()]
