"""Rows that fork: one text, and many short questions put at some of its places.

Each question continues the text up to its place as if it alone came next: its tokens see the text
up to there and each other, no other question, and the text sees none. So ten questions about a
problem cost little more than reading it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.errors import InputError

Question = tuple[int, Sequence[int]]
"""After how many tokens of the text it is put, and its tokens."""


class Forks(NamedTuple):
    """Rows of texts with questions, padded to one shape.

    Attributes:
        tokens, positions: int32[B, T].
        branch: int32[B, T], 0 for the text's tokens, else the number of the token's question.
        seen: int32[B, T], how many tokens of the text a question's token sees.
        ends: int32[B, Q], the place of the last token of each question.
        asked: bool[B, Q], whether there is a question.
    """

    tokens: np.ndarray
    positions: np.ndarray
    branch: np.ndarray
    seen: np.ndarray
    ends: np.ndarray
    asked: np.ndarray


def visible(rows: Forks) -> jax.Array:
    """bool[B, T, T]: which token sees which, for `transformer.apply`."""
    branch, seen = jnp.asarray(rows.branch), jnp.asarray(rows.seen)
    place = jnp.arange(branch.shape[1])
    own = (branch[:, :, None] == branch[:, None, :]) & (place <= place[:, None])
    text = (branch[:, None, :] == 0) & (place < seen[:, :, None])
    return own | text


def fork(
    texts: Sequence[Sequence[int]],
    questions: Sequence[Sequence[Question]],
    length: int,
    most: int,
) -> Forks:
    """Returns the rows.

    Args:
        texts: ids of each text.  questions: those about each.
        length: T.  most: Q.

    Raises:
        InputError: a row does not fit.
    """
    shape, count = (len(texts), length), len(texts)
    tokens, positions = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    branch, seen = np.full(shape, most + 1, np.int32), np.zeros(shape, np.int32)
    ends, asked = np.zeros((count, most), np.int32), np.zeros((count, most), bool)
    for row, (text, put) in enumerate(zip(texts, questions, strict=True)):
        stem = _stem(put)
        if _needed(put) > length or len(put) > most:
            raise InputError(
                f"text {row} with its {len(put)} questions needs {_needed(put)} tokens; a row has "
                f"room for {length} and {most} questions"
            )
        tokens[row, :stem] = text[:stem]
        positions[row, :stem] = np.arange(stem)
        branch[row, :stem] = 0
        end = stem
        for number, (place, ids) in enumerate(put):
            here = slice(end, end + len(ids))
            tokens[row, here], branch[row, here], seen[row, here] = ids, number + 1, place
            positions[row, here] = place + np.arange(len(ids))
            end += len(ids)
            ends[row, number], asked[row, number] = end - 1, True
    return Forks(tokens, positions, branch, seen, ends, asked)


def longest(questions: Sequence[Sequence[Question]]) -> int:
    """Returns the tokens of the longest row."""
    return max(map(_needed, questions), default=0)


def _needed(put: Sequence[Question]) -> int:
    return _stem(put) + sum(len(ids) for _, ids in put)


def _stem(put: Sequence[Question]) -> int:
    """How much of a text its questions see; the rest is left out."""
    return max((place for place, _ in put), default=0)
