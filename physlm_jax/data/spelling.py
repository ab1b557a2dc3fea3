"""Vocabularies that spell pieces of text as ids, and read and write text to the letter.

A world's writer puts pieces one after another, each a text with the space before it, so that
joining them gives the text. A speller has one or more ids for each piece; its own token names
carry their spaces too. From a text to ids and back gives the text to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from physlm_jax.data import byte_pairs
from physlm_jax.data.compiled import compiled
from physlm_jax.data.ragged import Ragged
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

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = [len(ids) for ids in self.spelling]
        object.__setattr__(self, "_ends", np.cumsum(lengths, dtype=np.int64))
        flat = np.array([i for ids in self.spelling for i in ids], np.int32)
        object.__setattr__(self, "_flat", flat)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(_longest_of(self.names))

    def spell(self, found: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the ids of pieces, int32[total], and each piece's number of ids.

        None stands for one id each.
        """
        each = np.diff(self._ends, prepend=0)
        if (each == 1).all():
            return self._flat[found], None
        lengths = each[found]
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1] if len(ends) else 0)
        shifts = np.repeat(self._ends[found] - ends, lengths)
        return self._flat[places + shifts], lengths

    def spelled(self, said: Ragged) -> Ragged:
        """Returns sequences of pieces as sequences of ids.

        Args:
            said: pieces, int32, with the label role, int[pieces], which the ids get too.
        """
        tokens, roles, offsets = _spelled(
            said.tokens, said.role, said.offsets, self._flat, self._ends
        )
        return Ragged(tokens, offsets, {"role": roles})

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
                    f"the text at character {place + 1} ({text[place : place + 20]!r}) is outside "
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


def _longest_of(texts: Sequence[str]) -> str:
    """A pattern of the longest of some texts that fits: a tree of what they begin with.

    Alternatives side by side would be tried one by one, hundreds for every token.
    """
    rests: dict[str, list[str]] = {}
    for text in texts:
        if text:
            rests.setdefault(text[0], []).append(text[1:])
    if not rests:
        return ""
    branches = [re.escape(first) + _longest_of(rest) for first, rest in rests.items()]
    pattern = branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
    return f"(?:{pattern})?" if "" in texts else pattern


def spelled(texts: Sequence[str], pairs: byte_pairs.BytePairs) -> tuple[tuple[int, ...], ...]:
    """Returns the byte-pair ids of every piece; pieces begin and end where words do."""
    return tuple(
        tuple(i for part in byte_pairs.PART.findall(text) for i in pairs.encode(part))
        for text in texts
    )


@compiled
def _spelled(
    pieces: np.ndarray, roles: np.ndarray, offsets: np.ndarray, flat: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids of pieces, their roles, and where each sequence begins."""
    total = 0
    for piece in pieces:
        total += ends[piece] - (ends[piece - 1] if piece else 0)
    ids, found = np.empty(total, np.int32), np.empty(total, np.uint8)
    starts = np.zeros(len(offsets), np.int64)
    n = 0
    for sequence in range(len(offsets) - 1):
        for i in range(offsets[sequence], offsets[sequence + 1]):
            piece = pieces[i]
            for k in range(ends[piece - 1] if piece else 0, ends[piece]):
                ids[n] = flat[k]
                found[n] = roles[i]
                n += 1
        starts[sequence + 1] = n
    return ids, found, starts
