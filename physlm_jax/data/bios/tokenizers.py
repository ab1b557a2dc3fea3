"""Vocabularies of the biography world: words, whole values, or GPT-2's byte pairs.

`word` has an id for every word (the same in all pools), so a value may take several; `atomic` has
one for every whole value, three for a name and three for a date. Source: section 8 of
knowledge.md; arXiv 2404.05405 counts GPT-2's tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from physlm_jax.data import byte_pairs
from physlm_jax.data.bios.lexicon import (
    DATE_COMMA_PIECE,
    SPECIALS,
    lexicon,
)
from physlm_jax.data.bios.pools import DAYS, YEARS
from physlm_jax.data.bios.words import MARKS, words
from physlm_jax.data.spelling import BytePairSpeller, Speller, spelled
from physlm_jax.errors import InputError

KINDS = ("word", "atomic")
_DAYS, _YEARS = (frozenset(" " + text for text in texts) for texts in (DAYS, YEARS))
_YEAR = re.compile(r",( \d{4})(?!\d)")


@dataclass(frozen=True)
class AtomicSpeller(Speller):
    """A vocabulary of whole values; the comma of a date is understood, not spelled."""

    def _match(self, text: str, place: int) -> tuple[Sequence[int], int] | None:
        year = _YEAR.match(text, place)
        if year and year[1] in _YEARS:
            return [self._ids[year[1]]], year.end()
        return super()._match(text, place)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:  # type: ignore[override]
        """Returns the text of ids."""
        names = [self.names[int(i)] for i in ids]
        before = ["", *names]
        return "".join(
            "," + name if name in _YEARS and day in _DAYS else name
            for day, name in zip(before, names, strict=False)
        )


@lru_cache(maxsize=16)
def tokenizer(pools: str, kind: str = "word") -> Speller:
    """Returns a vocabulary of all that can be said about people of these pools.

    Args:
        pools: "full", "mini" or a file.
        kind: "word", "atomic", or the path of a folder or file with GPT-2's vocabulary.

    Raises:
        InputError: no such vocabulary.
    """
    parts = lexicon(pools)
    texts = parts.texts[len(SPECIALS) :]
    if kind == "word":
        split = [_words(text) for text in texts]
    elif kind == "atomic":
        split = [
            (text,) if whole else _words(text)
            for text, whole in zip(texts, parts.whole[len(SPECIALS) :], strict=True)
        ]
        split[DATE_COMMA_PIECE - len(SPECIALS)] = ()
    elif Path(kind).exists():
        return _byte_pairs(texts, Path(kind))
    else:
        raise InputError(
            f"bios: vocabulary '{kind}' is neither one of {', '.join(KINDS)} nor a folder or file "
            "with GPT-2's"
        )
    pieces = [*((special,) for special in SPECIALS), *split]
    names = tuple(dict.fromkeys(part for piece in pieces for part in piece))
    ids = {name: i for i, name in enumerate(names)}
    spelling = tuple(tuple(ids[part] for part in piece) for piece in pieces)
    made = AtomicSpeller if kind == "atomic" else Speller
    return made(names, bos=1, eos=1, pad=0, separator="", spelling=spelling)


def _words(piece: str) -> tuple[str, ...]:
    """The words of a piece, each with the space before it."""
    return tuple(word if word in MARKS else " " + word for word in words(piece.removeprefix(" ")))


def _byte_pairs(texts: Sequence[str], path: Path) -> Speller:
    pairs = byte_pairs.read(path)
    ids = (50256, 50256, 222, 223, 224, 225)
    spelling = (*((i,) for i in ids), *spelled(texts, pairs))
    specials = dict(zip(SPECIALS, ids, strict=True))
    return BytePairSpeller(pairs.names, 50256, 50256, 50256, "", spelling, pairs, specials)
