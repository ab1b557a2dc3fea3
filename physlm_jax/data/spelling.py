"""Vocabularies that spell pieces of text as ids, and read and write text to the letter.

A world's writer puts pieces one after another, each a text with the space before it, so that
joining them gives the text. A speller has one or more ids for each piece; its own token names
carry their spaces too. From a text to ids and back gives the text to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from physlm_jax.data import byte_pairs
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError


@dataclass(frozen=True)
class Speller(Vocabulary):
    """A vocabulary that spells pieces.

    Attributes:
        spelling: the ids of every piece of a world.
    """

    spelling: tuple[tuple[int, ...], ...] = ()
    _ends: np.ndarray = field(init=False, repr=False, compare=False)
    _flat: np.ndarray = field(init=False, repr=False, compare=False)
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = [len(ids) for ids in self.spelling]
        object.__setattr__(self, "_ends", np.cumsum(lengths, dtype=np.int64))
        flat = np.array([i for ids in self.spelling for i in ids], np.int32)
        object.__setattr__(self, "_flat", flat)
        longest = sorted(self.names, key=len, reverse=True)
        object.__setattr__(self, "_pattern", re.compile("|".join(map(re.escape, longest))))

    @property
    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all pieces laid end to end, int32[total], and where each ends, int64[n]."""
        return self._flat, self._ends

    def spell(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the ids of pieces, int32[total], and each piece's number of ids.

        None stands for one id each.
        """
        if len(self._flat) == len(self._ends):
            return self._flat[found], None
        lengths = np.diff(self._ends, prepend=0)[found]
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1] if len(ends) else 0)
        shifts = np.repeat(self._ends[found] - ends, lengths)
        return self._flat[places + shifts], lengths

    @property
    def mask(self) -> int:
        """The id of the token that hides another; -1: there is none."""
        return self._ids.get("<mask>", -1)

    def role(self, piece: int) -> int:
        """The id of a piece that has one, such as a special token."""
        return self.spelling[piece][0]

    def encode(self, text: str) -> np.ndarray:
        """int32[n]: the ids of a text, special tokens included.

        Raises:
            InputError: something in it is outside the language.
        """
        found: list[int] = []
        place = 0
        while place < len(text):
            match = self._match(text, place)
            if not match:
                raise InputError(
                    f"the text at character {place + 1} ('{text[place : place + 20]}') is outside "
                    "the vocabulary; words have one space before them"
                )
            found += match[0]
            place = match[1]
        return np.array(found, np.int32)

    def _match(self, text: str, place: int) -> tuple[Sequence[int], int] | None:
        """The ids of what comes next, and where it ends."""
        match = self._pattern.match(text, place)
        return ([self._ids[match[0]]], match.end()) if match else None

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:  # type: ignore[override]
        """Returns the text of ids."""
        return "".join([self.names[int(i)] for i in ids])


@dataclass(frozen=True)
class BytePairSpeller(Speller):
    """GPT-2's vocabulary, with special tokens of the world's own among its rare ids.

    Attributes:
        pairs: its merges.  specials: the ids of special tokens, by their names.
    """

    pairs: byte_pairs.BytePairs | None = None
    specials: Mapping[str, int] = field(default_factory=dict, compare=False)
    _special: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        pattern = "|".join(map(re.escape, self.specials)) or "(?!)"
        object.__setattr__(self, "_special", re.compile(pattern))

    @property
    def mask(self) -> int:
        """The id of the token that hides another; -1: there is none."""
        return self.specials.get("<mask>", -1)

    def _match(self, text: str, place: int) -> tuple[Sequence[int], int] | None:
        assert self.pairs is not None
        special = self._special.search(text, place)
        if special and special.start() == place:
            return (self.specials[special[0]],), special.end()
        match = byte_pairs.PART.match(text, place, special.start() if special else len(text))
        return (self.pairs.encode(match[0]), match.end()) if match else None

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:  # type: ignore[override]
        """Returns the text of ids."""
        assert self.pairs is not None
        names = {i: name for name, i in self.specials.items()}
        return self.pairs.decode([int(i) for i in ids], names)


def spelled(texts: Sequence[str], pairs: byte_pairs.BytePairs) -> tuple[tuple[int, ...], ...]:
    """Returns the byte-pair ids of every piece; pieces begin and end where words do."""
    return tuple(
        tuple(i for part in byte_pairs.PART.findall(text) for i in pairs.encode(part))
        for text in texts
    )
