"""Rows that fork: texts, and many short questions put at some of their places.

Each question continues its text up to its place as if it alone came next: its tokens see the text
up to there and each other, no other question, and the text sees none. So ten questions about a
problem cost little more than reading it once. A row holds as many texts as have room, none of which
sees another.
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
    """N texts with up to Q questions each, in B rows of one shape.

    Attributes:
        tokens, positions: int32[B, T].
        branch: int32[B, T], the number, in its row, of the text or question that a token is of;
            -1 where there is none.
        stem: int32[B, T], the branch of a question's text; of a text its own.
        seen: int32[B, T], the place in the row up to which a question's token sees its text.
        ends: int32[N, Q], the last token of each question: its row times T, plus its place.
        asked: bool[N, Q], whether there is a question.
    """

    tokens: np.ndarray
    positions: np.ndarray
    branch: np.ndarray
    stem: np.ndarray
    seen: np.ndarray
    ends: np.ndarray
    asked: np.ndarray


def visible(rows: Forks) -> jax.Array:
    """bool[B, T, T]: which token sees which, for `transformer.apply`."""
    branch, stem, seen = (jnp.asarray(x) for x in (rows.branch, rows.stem, rows.seen))
    place = jnp.arange(branch.shape[1])
    own = (branch[:, :, None] == branch[:, None, :]) & (place <= place[:, None])
    text = (branch[:, None, :] == stem[:, :, None]) & (place < seen[:, :, None])
    return own | text


def fork(
    texts: Sequence[Sequence[int]],
    questions: Sequence[Sequence[Question]],
    length: int,
    most: int,
    rows: int = 0,
) -> Forks:
    """Returns the rows.

    Args:
        texts: ids of each text.  questions: those about each.
        length: T.  most: Q.  rows: B; 0: as many as are needed.

    Raises:
        InputError: a text does not fit into a row, or all do not fit into the rows.
    """
    for number, put in enumerate(questions):
        if (needed := row_length(put)) > length or len(put) > most:
            raise InputError(
                f"text {number} with its {len(put)} questions needs {needed} tokens; a row has "
                f"room for {length} and {most} questions"
            )
    row, start = arrange(questions, length)
    used = int(row.max(initial=-1)) + 1
    if rows and used > rows:
        raise InputError(f"{len(texts)} texts need {used} rows of {length} tokens, not {rows}")
    shape = (rows or used, length)
    tokens, positions, seen = (np.zeros(shape, np.int32) for _ in range(3))
    branch, stem = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    ends, asked = np.zeros((len(texts), most), np.int32), np.zeros((len(texts), most), bool)
    for n, (text, put) in enumerate(zip(texts, questions, strict=True)):
        r, first, size = row[n], start[n], _stem(put)
        here, own = slice(first, first + size), n * (most + 1)
        tokens[r, here], positions[r, here] = text[:size], np.arange(size)
        branch[r, here] = stem[r, here] = own
        end = first + size
        for number, (place, ids) in enumerate(put):
            here = slice(end, end + len(ids))
            tokens[r, here], branch[r, here], stem[r, here] = ids, own + number + 1, own
            positions[r, here], seen[r, here] = place + np.arange(len(ids)), first + place
            end += len(ids)
            ends[n, number], asked[n, number] = r * length + end - 1, True
    return Forks(tokens, positions, branch, stem, seen, ends, asked)


def arrange(questions: Sequence[Sequence[Question]], length: int) -> tuple[np.ndarray, np.ndarray]:
    """int[N] twice: in which row each text is, and where it begins; the longest first."""
    sizes = np.array([row_length(put) for put in questions], int)
    row, start = np.zeros(len(sizes), int), np.zeros(len(sizes), int)
    filled = np.zeros(len(sizes), int)
    for n in np.argsort(-sizes, kind="stable"):
        row[n] = np.argmax(filled + sizes[n] <= length)
        start[n] = filled[row[n]]
        filled[row[n]] += sizes[n]
    return row, start


def row_count(questions: Sequence[Sequence[Question]], length: int) -> int:
    """Returns how many rows texts with these questions need."""
    return int(arrange(questions, length)[0].max(initial=-1)) + 1


def longest(questions: Sequence[Sequence[Question]]) -> int:
    """Returns the tokens of the longest text with its questions."""
    return max(map(row_length, questions), default=0)


def row_length(put: Sequence[Question]) -> int:
    """Returns the tokens of a text, as far as it is seen, with its questions."""
    return _stem(put) + sum(len(ids) for _, ids in put)


def _stem(put: Sequence[Question]) -> int:
    """How much of a text its questions see; the rest is left out."""
    return max((place for place, _ in put), default=0)
