"""Vocabularies of the biography world: words, whole values, or GPT-2's byte pairs.

`word` has an id for every word (the same in all pools), so a value may take several; `atomic` has
one for every whole value, three for a name and three for a date. `word-plain` and `atomic-plain`
know biographies alone, neither questions nor rewriting: fewer ids for the smallest models. Source:
section 8 of knowledge.md; arXiv 2404.05405 counts GPT-2's tokens.
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

KINDS = ("word", "atomic", "word-plain", "atomic-plain")
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
        kind: of `KINDS`, or the path of a folder or file with GPT-2's vocabulary.

    Raises:
        InputError: no such vocabulary.
    """
    parts = lexicon(pools)
    if kind not in KINDS:
        if Path(kind).exists():
            return _byte_pairs(parts.texts[len(SPECIALS) :], Path(kind))
        raise InputError(
            f"bios: vocabulary '{kind}' is neither one of {', '.join(KINDS)} nor a folder or file "
            "with GPT-2's"
        )
    base, _, plain = kind.partition("-")
    pieces = [
        (text,) if i < len(SPECIALS) or (base == "atomic" and whole) else _words(text)
        for i, (text, whole) in enumerate(zip(parts.texts, parts.whole, strict=True))
    ]
    if base == "atomic":
        pieces[DATE_COMMA_PIECE] = ()
    if plain:
        pieces = [p if i in parts.plain else () for i, p in enumerate(pieces)]
    names = tuple(dict.fromkeys(part for piece in pieces for part in piece))
    ids = {name: i for i, name in enumerate(names)}
    spelling = tuple(tuple(ids[part] for part in piece) for piece in pieces)
    made = AtomicSpeller if base == "atomic" else Speller
    return made(names, bos=1, eos=1, pad=0, separator="", spelling=spelling)


def _words(piece: str) -> tuple[str, ...]:
    """The words of a piece, each with the space before it."""
    return tuple(word if word in MARKS else " " + word for word in words(piece.removeprefix(" ")))


def _byte_pairs(texts: Sequence[str], path: Path) -> Speller:
    pairs = byte_pairs.read(path)
    ids = (50256, 50256, 188, 189, 190, 191)  # the end of a text; bytes 0..3, which no text holds
    spelling = (*((i,) for i in ids), *spelled(texts, pairs))
    specials = dict(zip(SPECIALS, ids, strict=True))
    return BytePairSpeller(pairs.names, 50256, 50256, 50256, "", spelling, pairs, specials)
