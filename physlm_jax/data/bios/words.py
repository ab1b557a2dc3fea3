"""Text as words and back: one rule for values, sentences, questions and answers alike.

A word is what stands between two spaces, but that the marks of `MARKS` at its end are words of
their own: "Duluth, MN" is three words, "Mara's" two. A full stop at the end belongs to the word in
the abbreviations of `ABBREVIATIONS` alone: "St. Olan College." is St. / Olan / College / . So a
whole text has the words of its parts, one after the other, and no list of values is needed to read
it; the pools see to it that no value ends in what a following full stop would change.

Source: this project; the papers leave the cutting to the tokenizers of GPT2 and LLaMA.
"""

from __future__ import annotations

from collections.abc import Iterable

from physlm_jax.errors import InputError

__all__ = ["ABBREVIATIONS", "MARKS", "joined", "words"]

MARKS = (",", ".", "?", ":", ";", "'s")  # written without a space before them
_STOPPED = "St Ste Mt Ft Pt Dr Mr Mrs Jr Sr Inc Co Corp Ltd Bros Dept"
ABBREVIATIONS = frozenset(f"{word}." for word in _STOPPED.split())


def words(text: str) -> tuple[str, ...]:
    """Returns the words of a text; `joined` undoes it.

    Raises:
        InputError: the text has a space at an end, two in a row, or one before a mark: it could
            not come back.
    """
    if not text:
        return ()
    found = tuple(word for chunk in text.split(" ") for word in _cut(chunk))
    if not all(found) or joined(found) != text:
        raise InputError(f"{text!r} is not words with one space between them and none before marks")
    return found


def joined(tokens: Iterable[str]) -> str:
    """Returns the text of words: one space before each but the first and the marks."""
    first, *rest = [*tokens] or [""]
    return first + "".join(token if token in MARKS else f" {token}" for token in rest)


def _cut(chunk: str) -> list[str]:
    """What stands between two spaces, as a word and the marks after it."""
    marks: list[str] = []
    while chunk not in ABBREVIATIONS and (mark := _mark_after(chunk)):
        chunk = chunk.removesuffix(mark)
        marks.append(mark)
    return [chunk, *reversed(marks)]


def _mark_after(chunk: str) -> str:
    return next((mark for mark in MARKS if chunk.endswith(mark) and chunk != mark), "")
