"""All that can be said about people, in pieces: what the writers write and every vocabulary spells.

A piece is a text with the space before it, so that joining pieces gives the text to the letter:
special tokens, marks, the values of every field, what stands before and after the value in every
sentence, the parts of questions, numbers, and what rewritten biographies (bioR) say besides.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from physlm_jax.data.bios import idle_talk
from physlm_jax.data.bios.people import NAMED
from physlm_jax.data.bios.pools import ATTRIBUTES, pools
from physlm_jax.data.bios.questions import DIRECT, HINT, QUESTIONS
from physlm_jax.data.bios.templates import CLOSING, POSSESSIVES, UNNAMED, Template, templates
from physlm_jax.data.bios.words import joined
from physlm_jax.data.bios.writing import Script

PAD, EOS, DOMAIN, MASK = "<pad>", "<eos>", "<domain>", "<mask>"
SPECIALS = (PAD, EOS, HINT, DIRECT, DOMAIN, MASK)
_HIS = tuple(POSSESSIVES.values())
MARKS = (  # in the order of `writing.STOP` and those after it
    *(".", ",", *(" " + word for word in _HIS)),
    *(" he", " she", *(" " + word.lower() for word in _HIS)),
    *(" " + UNNAMED, "'s", " " + CLOSING.partition(" {")[0], " and", ","),
)
DATE_COMMA_PIECE = len(SPECIALS) + 1
LARGEST = 99  # of numbers at least: as great as the differences of the papers' 100 majors
_SLOT = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True)
class Lexicon:
    """The pieces of one set of pools.

    Attributes:
        texts: of all pieces.
        whole: which are values, one token each in the vocabulary of whole values.
        starts: the first piece of each group.
        templates: of each attribute, as pieces (before, after, is possessive).
        chunks: the pieces of the parts of questions, by their text.
    """

    texts: tuple[str, ...]
    whole: tuple[bool, ...]
    starts: Mapping[str, int]
    templates: tuple[tuple[tuple[int, int, bool], ...], ...]
    chunks: Mapping[str, int]

    @cached_property
    def plain(self) -> frozenset[int]:
        """The pieces that biographies are made of, rewritten ones apart."""
        groups = [*NAMED, "templates"]
        values = [self.starts[g] + i for g in groups for i in range(self._sizes[g])]
        return frozenset([*range(len(SPECIALS) + len(MARKS)), *values])

    def special(self, name: str) -> int:
        """The piece of a special token."""
        return SPECIALS.index(name)

    @property
    def zero(self) -> int:
        """The piece of the number 0; the others are around it."""
        return self.starts["number"] + self._sizes["number"] // 2

    @cached_property
    def script(self) -> Script:
        """What there is to say, for compiled code."""
        starts, most = self.starts, max(map(len, self.templates))
        around = np.zeros((len(ATTRIBUTES), most, 3), np.int64)
        for a, found in enumerate(self.templates):
            around[a, : len(found)] = found
        return Script(
            fields=np.array([starts[name] for name in NAMED], np.int64),
            templates=around,
            counts=np.array([len(found) for found in self.templates], np.int64),
            marks=len(SPECIALS),
            he=starts["pronoun"],
            city=starts["birth_city in full"] - starts["birth_city"],
            company_city=starts["company_city in full"] - starts["company_city"],
            idle=starts["idle"],
            idle_count=len(idle_talk.SENTENCES),
        )

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Pieces of each group."""
        begins = [*sorted(self.starts.values()), len(self.texts)]
        following = dict(itertools.pairwise(begins))
        return {name: following[start] - start for name, start in self.starts.items()}

    def form(self, text: str) -> tuple[int | str, ...]:
        """Returns a text with slots as pieces (ints) and the slots' names, in order."""
        return tuple(
            part if i % 2 else self.chunks[part] for i, part in enumerate(_parts(text)) if part
        )


@lru_cache(maxsize=16)
def lexicon(name: str) -> Lexicon:
    """Returns the pieces of the pools "full", "mini" or a file; "mini" has templates of its own."""
    lists = pools(name)
    texts: list[str] = [*SPECIALS, *MARKS]
    whole: list[bool] = [False] * len(texts)
    starts: dict[str, int] = {}

    def add(group: str, found: Sequence[str], values: bool = False) -> int:
        starts[group] = len(texts)
        texts.extend(found)
        whole.extend([values] * len(found))
        return starts[group]

    for field in NAMED:
        add(field, [" " + value for value in lists.values_of(field)], values=True)
    for field in ("birth_city", "company_city"):
        in_full = [" " + idle_talk.in_full(city) for city in lists.values_of(field)]
        add(f"{field} in full", in_full, values=True)
    largest = max(LARGEST, len(lists.major) - 1)
    add("number", [f" {n}" for n in range(-largest, largest + 1)])
    add("answer", [" No", " Yes"])
    add("idle", [" " + text for text in idle_talk.SENTENCES])
    made = _templates(name, len(texts), starts, texts, whole)
    parts = _chunks()
    first = add("questions", parts)
    return Lexicon(
        tuple(texts), tuple(whole), starts, made, {text: first + i for i, text in enumerate(parts)}
    )


def _templates(
    name: str, first: int, starts: dict[str, int], texts: list[str], whole: list[bool]
) -> tuple[tuple[tuple[int, int, bool], ...], ...]:
    """Adds the words around values; returns the templates as pieces."""
    starts["templates"] = first
    place: dict[str, int] = {}

    def piece(text: str) -> int:
        if text not in place:
            place[text] = len(texts)
            texts.append(text)
            whole.append(False)
        return place[text]

    def pieces(template: Template) -> tuple[int, int, bool]:
        after = joined(template.after).removesuffix(".")
        before = piece(" " + joined(template.before))
        return before, piece(" " + after if after else ""), template.is_possessive

    found = templates("mini" if name == "mini" else "full")
    return tuple(tuple(map(pieces, found[attribute])) for attribute in ATTRIBUTES)


def _parts(text: str) -> list[str]:
    """What is between the slots of a text (even places), and the slots' names (odd ones).

    Every value brings the space before it.
    """
    parts = _SLOT.split(" " + text)
    return [part if i % 2 else part.rstrip(" ") for i, part in enumerate(parts)]


def _chunks() -> tuple[str, ...]:
    """The parts of all questions between their slots."""
    texts = [text for q in QUESTIONS.values() for text in (q.prompt, q.answer, q.hint)]
    return tuple(dict.fromkeys(part for text in texts for part in _parts(text)[::2] if part))
