"""Vocabularies: how the pieces of the language are spelled as token ids.

Three: whole names ("items"), the words of names ("words"), and GPT-2's byte pairs, from files that
the user has. Going from a text to ids and back gives the text to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from physlm_jax.data.igsm import byte_pairs
from physlm_jax.data.igsm.language import END, PAD, PIECES, PROBLEM, ROLES, pieces
from physlm_jax.data.igsm.spec import Spec
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError

KINDS = ("items", "words")
_ROLE = re.compile("|".join(map(re.escape, ROLES)))
_WORD = re.compile("'s| ?(?:(?!'s)[^ ,.;?])+|[,.;?]")


@dataclass(frozen=True)
class Tokenizer(Vocabulary):
    """A vocabulary that spells pieces, and reads and writes text to the letter.

    Attributes:
        spelling: the ids of every piece of a world: see `language.pieces`.
        world: the names of that world.
    """

    spelling: tuple[tuple[int, ...], ...] = ()
    world: tuple[str, ...] = ()
    _ends: np.ndarray = field(init=False, repr=False, compare=False)
    _flat: np.ndarray = field(init=False, repr=False, compare=False)
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = [len(ids) for ids in self.spelling]
        object.__setattr__(self, "_ends", np.cumsum(lengths))
        flat = np.array([i for ids in self.spelling for i in ids], np.int32)
        object.__setattr__(self, "_flat", flat)
        longest = sorted(self.names, key=len, reverse=True)
        object.__setattr__(self, "_pattern", re.compile("|".join(map(re.escape, longest))))

    def check(self, spec: Spec) -> None:
        """Checks that this vocabulary is one of a specification's.

        Raises:
            InputError: it has other names.
        """
        if self.world != spec.all_names:
            raise InputError("iGSM: the vocabulary was made for another specification's names")

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

    def role(self, piece: int) -> int:
        """The id of a role such as `language.SOLUTION`."""
        return self.spelling[piece][0]

    def encode(self, text: str) -> np.ndarray:
        """int32[n]: the ids of a text, a role such as <solution> included.

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
class BytePairTokenizer(Tokenizer):
    """GPT-2's vocabulary; roles are ids 222.. and 50256, as in the papers."""

    pairs: byte_pairs.BytePairs | None = None

    def _match(self, text: str, place: int) -> tuple[Sequence[int], int] | None:
        assert self.pairs is not None
        role = _ROLE.search(text, place)
        if role and role.start() == place:
            return self.spelling[ROLES.index(role[0])], role.end()
        match = byte_pairs.PART.match(text, place, role.start() if role else len(text))
        return (self.pairs.encode(match[0]), match.end()) if match else None

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:  # type: ignore[override]
        """Returns the text of ids."""
        assert self.pairs is not None
        roles = {self.spelling[piece][0]: role for piece, role in enumerate(ROLES)}
        return self.pairs.decode([int(i) for i in ids], roles)


@lru_cache(maxsize=16)
def tokenizer(spec: Spec, kind: str = "items") -> Tokenizer:
    """Returns a vocabulary of a specification.

    Args:
        kind: "items", every name one token; "words", every word of a name; or the path of a folder
            or file with GPT-2's vocabulary (vocab.json and merges.txt, or tokenizer.json).

    Raises:
        InputError: no such vocabulary.
    """
    texts = pieces(spec.all_names)
    if kind == "items":
        parts = [(text,) for text in texts]
    elif kind == "words":
        fixed = [(text,) for text in PIECES]
        parts = [*fixed, *(tuple(_WORD.findall(text)) for text in texts[len(PIECES) :])]
    elif Path(kind).exists():
        return _byte_pairs(spec, texts, Path(kind))
    else:
        raise InputError(
            f"iGSM: vocabulary '{kind}' is neither one of {', '.join(KINDS)} nor a folder or file "
            "with GPT-2's"
        )
    names = tuple(dict.fromkeys(part for piece in parts for part in piece))
    ids = {name: i for i, name in enumerate(names)}
    spelling = tuple(tuple(ids[part] for part in piece) for piece in parts)
    return Tokenizer(names, PROBLEM, END, PAD, "", spelling, spec.all_names)


def _byte_pairs(spec: Spec, texts: Sequence[str], path: Path) -> Tokenizer:
    pairs = byte_pairs.read(path)
    roles = ((50256,), (222,), (223,), (224,), (50256,), (225,), (227,), (226,))
    spelled = tuple(
        tuple(i for part in byte_pairs.PART.findall(text) for i in pairs.encode(part))
        for text in texts[len(ROLES) :]
    )
    return BytePairTokenizer(
        pairs.names, 222, 50256, 50256, "", (*roles, *spelled), spec.all_names, pairs=pairs
    )
