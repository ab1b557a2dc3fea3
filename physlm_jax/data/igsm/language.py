"""The words of the language, as pieces: what the renderer writes and every vocabulary spells.

A text is a string of pieces, each with the space before it, so that joining pieces gives the text
to the letter. Pieces 0..NAMES-1 are the same in every world (roles, words, marks, numbers 0..22,
letters); the names of categories and items follow. Letters are apart from words: " a" is a symbol.
"""

import re
from collections.abc import Sequence

import numpy as np

ROLES = (
    "<pad>",
    "<problem>",  # begins an example
    "<solution>",
    "<answer>",
    "<end>",  # ends an example
    "<start>",  # around what a probe asks about
    "<mid>",
    "<stop>",
)
PAD, PROBLEM, SOLUTION, ANSWER, END, START, MID, STOP = range(len(ROLES))

_TEXT = (
    "The number of each equals more than the sum and difference times as much How many does have "
    "Define so BACK"
)
WORDS = tuple(" " + word for word in _TEXT.split())
MARKS = ("'s", ",", ".", ";", "?", " =", " +", " -", " *")
NUMBERS = tuple(f" {n}" for n in range(23))
LETTERS = tuple(" " + chr(c) for c in (*range(ord("a"), ord("z") + 1), *range(65, 91)))
PIECES = (*ROLES, *WORDS, *MARKS, *NUMBERS, *LETTERS)
NUMBER = len(ROLES) + len(WORDS) + len(MARKS)  # the piece " 0"
LETTER = NUMBER + len(NUMBERS)  # the piece " a"
NAMES = len(PIECES)  # the first name

_IDS = {piece: i for i, piece in enumerate(PIECES)}
_PART = re.compile("'s| ?[A-Za-z]+| ?[-+*=]|[,.;?]")


def phrase(text: str) -> np.ndarray:
    """int32[n]: the pieces of a text of words and marks, with the space before its first word."""
    return np.array([_IDS[part] for part in _PART.findall(" " + text)], np.int32)


def mark(text: str) -> int:
    """The piece of one mark, such as ',' or '='."""
    return _IDS[text if text in _IDS else " " + text]


def pieces(names: Sequence[str]) -> tuple[str, ...]:
    """Every piece's text: the fixed ones, then the names."""
    return (*PIECES, *(" " + name for name in names))
