"""Biographies as training data: which person's which entry, at each place of the stream.

The stream goes through all entries pass by pass, each pass in an order of its own, so that
exposures are exact: after i passes every entry was shown i times. Entries of one person stand next
to each other by chance alone (else a model copies from its window instead of storing).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from physlm_jax.data.bios.lexicon import DOMAIN, EOS, lexicon
from physlm_jax.data.bios.people import FIELDS, Person, Population, Sizes, draw_person
from physlm_jax.data.bios.tokenizers import tokenizer
from physlm_jax.data.bios.variants import Variant, as_variant
from physlm_jax.data.bios.writing import (
    MOST_PIECES,
    OTHER,
    ROLES,
    Script,
    Style,
    as_ragged,
    find_pieces,
    new_scratch,
    new_sheet,
    put,
    write_biography,
)
from physlm_jax.data.compiled import compiled, mix_word
from physlm_jax.data.hashing import example_numbers, stream_key
from physlm_jax.data.passes import shown_at
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.spelling import Speller
from physlm_jax.errors import InputError

_MEASURED = 4000  # entries whose mean length is taken for all


class Span(NamedTuple):
    """A stretch of a text.

    Attributes:
        role: what it is: one of `writing.ROLES`.  start, end: characters.
    """

    role: str
    start: int
    end: int


@dataclass(frozen=True)
class Text:
    """A biography as text.

    Attributes:
        text: it begins with a space.
        spans: the name, pronouns and values in it, in order.
    """

    text: str
    spans: tuple[Span, ...]

    def of(self, role: str) -> list[str]:
        """The stretches of one role."""
        return [self.text[s.start : s.end] for s in self.spans if s.role == role]


@dataclass(frozen=True)
class Biographies:
    """A stream of biographies.

    Attributes:
        groups: of people, of one seed and without common numbers; their entries are one pool.
        variants: of each group.
        kind: of the vocabulary: "word", "atomic" or the path of GPT-2's files.
        marked: each biography begins with the token of its domain.

    Raises:
        InputError: groups that overlap or differ in seed or pools, or cannot be one pool; no such
            variant or vocabulary.
    """

    groups: tuple[Population, ...]
    variants: tuple[str, ...]
    kind: str = "word"
    marked: bool = False

    def __post_init__(self) -> None:
        if len(self.groups) != len(self.variants) or not self.groups:
            raise InputError("bios: every group of people needs one variant")
        if len({(group.pools, group.seed) for group in self.groups}) > 1:
            raise InputError("bios: groups must share their pools and their seed")
        if self.kind.endswith("-plain") and any(v.rewritten for v in self._made):
            raise InputError(f"bios: vocabulary '{self.kind}' has no words to rewrite with (bioR)")
        ordered = sorted(self.groups, key=lambda group: group.start)
        if any(a.start + a.n > b.start for a, b in itertools.pairwise(ordered)):
            raise InputError("bios: groups must not share people")
        if len(self.groups) > 1 and 0 in (v.entries for v in self._made):
            raise InputError("bios: multi-infinity has no entries to mix with another group's")
        if sum(g.n * v.entries for g, v in zip(self.groups, self._made, strict=True)) >= 2**62:
            raise InputError("bios: people with 2**62 entries or more are not on offer")
        tokenizer(self.groups[0].pools, self.kind)  # or says what is wrong with it

    @property
    def _made(self) -> tuple[Variant, ...]:
        return tuple(map(as_variant, self.variants))

    @property
    def fresh(self) -> bool:
        """Every presentation is worded anew (multi-infinity)."""
        return self._made[0].entries == 0

    @property
    def vocabulary(self) -> Speller:
        """Of the pools, templates and questions."""
        return tokenizer(self.groups[0].pools, self.kind)

    @property
    def table(self) -> Groups:
        """The groups for compiled code."""
        columns = [
            (
                g.start,
                g.n,
                max(v.entries, 1),
                v.reworded,
                v.order,
                v.fullname,
                v.name_at,
                v.rewritten,
            )
            for g, v in zip(self.groups, self._made, strict=True)
        ]
        return Groups(*(np.array(column, np.int64) for column in zip(*columns, strict=True)))

    @property
    def size(self) -> int:
        """Entries of a pass."""
        return int((self.table.people * self.table.entries).sum())

    @cached_property
    def mean_length(self) -> float:
        """Expected tokens of an example, from some of them."""
        return float(self.examples(0, 0, _MEASURED).lengths.mean())

    def presented(self, seed: int, start: int, count: int) -> np.ndarray:
        """int64[count, 3]: group, person and entry that each example of a stream shows.

        The entry of multi-infinity is the number of the pass.
        """
        index = example_numbers(start, count)
        return _presented(index, self.table, self.fresh, np.uint64(stream_key(seed, "passes")))

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns EOS, biography, EOS; see `World`. Label: role, uint8, of `writing.ROLES`."""
        return self.entries(self.presented(seed, start, count), seed)

    def entries(self, shown: np.ndarray, seed: int = 0) -> Ragged:
        """Returns the examples of rows (group, person, entry), int64[n, 3]; see `examples`."""
        parts = lexicon(self.groups[0].pools)
        sheet, offsets = _write(
            parts.script,
            self.table,
            self.groups[0].sizes,
            shown,
            np.uint64(stream_key(seed, "wording") if self.fresh else 0),
            parts.special(EOS),
            parts.special(DOMAIN) if self.marked else -1,
        )
        return self.vocabulary.spelled(as_ragged(sheet, offsets))


class Groups(NamedTuple):
    """Groups of people and their variants, int64[groups] each."""

    start: np.ndarray
    people: np.ndarray
    entries: np.ndarray
    reworded: np.ndarray
    order: np.ndarray
    fullname: np.ndarray
    name_at: np.ndarray
    rewritten: np.ndarray


@compiled
def _presented(index: np.ndarray, groups: Groups, fresh: bool, key: np.uint64) -> np.ndarray:
    shown = np.empty((len(index), 3), np.int64)
    size = np.uint64((groups.people * groups.entries).sum())
    for i in range(len(index)):
        turn, left = shown_at(index[i], size, key)
        group = 0
        while left >= groups.people[group] * groups.entries[group]:
            left -= groups.people[group] * groups.entries[group]
            group += 1
        shown[i, 0] = group
        shown[i, 1] = left % groups.people[group]
        shown[i, 2] = np.int64(turn) if fresh else left // groups.people[group]
    return shown


@compiled
def _style(groups: Groups, g: int) -> Style:
    return Style(
        groups.order[g], groups.fullname[g] == 1, groups.name_at[g], groups.rewritten[g] == 1
    )


@compiled
def entry_keys(
    person: np.uint64, reworded: bool, entry: int, stream: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """The keys of an entry's wording and order.

    Args:
        person: the person's key.  stream: of a stream that words everything anew, else 0.
    """
    own = mix_word(person ^ stream)
    wording = mix_word(own + np.uint64(2 * entry if reworded else 0))
    return wording, mix_word(own + np.uint64(2 * entry + 1))


@compiled
def _write(
    script: Script,
    groups: Groups,
    sizes: Sizes,
    shown: np.ndarray,
    stream: np.uint64,
    eos: int,
    mark: int,
) -> tuple[np.ndarray, np.ndarray]:
    """A sheet with examples, and where each of them begins."""
    count = len(shown)
    offsets = np.zeros(count + 1, np.int64)
    sheet = new_sheet(count * (MOST_PIECES + 3))
    places, record = np.empty(FIELDS, np.int32), np.empty(FIELDS, np.int64)
    scratch = new_scratch()
    for i in range(count):
        g = shown[i, 0]
        person = draw_person(sizes, groups.start[g] + shown[i, 1], places)
        find_pieces(script, places, record)
        keys = entry_keys(person, groups.reworded[g] == 1, shown[i, 2], stream)
        put(sheet, eos, OTHER)
        if mark >= 0:
            put(sheet, mark, OTHER)
        style = _style(groups, g)
        write_biography(sheet, script, style, record, keys[0], keys[1], scratch)
        put(sheet, eos, OTHER)
        offsets[i + 1] = sheet[0, 0]
    return sheet, offsets


def biography(person: Person, variant: str, seed: int = 0, presentation: int = 0) -> Text:
    """Returns the text of one entry of a person.

    Args:
        person: of a `Population`.
        variant: see `variants`.
        seed: of the stream, which words multi-infinity.
        presentation: number of the entry; with few entries they come again and again.

    Raises:
        InputError: an unknown variant.
    """
    kind = as_variant(variant)
    parts = lexicon(person.pools)
    sheet = new_sheet(MOST_PIECES)
    entry = presentation % kind.entries if kind.entries else presentation
    stream = np.uint64(0 if kind.entries else stream_key(seed, "wording"))
    wording, ordering = entry_keys(np.uint64(person.key), kind.reworded, entry, stream)
    style = Style(kind.order, kind.fullname, kind.name_at, kind.rewritten)
    record = np.empty(FIELDS, np.int64)
    find_pieces(parts.script, np.array(person.fields, np.int32), record)
    keys = np.uint64(wording), np.uint64(ordering)  # numba returns plain ints
    write_biography(sheet, parts.script, style, record, *keys, new_scratch())
    return _text(parts.texts, sheet[1 : 1 + sheet[0, 0]])


def _text(texts: Sequence[str], said: np.ndarray) -> Text:
    """The text of pieces; pieces of one role that stand together are one span."""
    text, spans = "", list[Span]()
    for piece, role in said.tolist():
        start, text = len(text), text + texts[piece]
        if role == OTHER:
            continue
        if spans and spans[-1].end == start and spans[-1].role == ROLES[role]:
            spans[-1] = spans[-1]._replace(end=len(text))
        else:
            spans.append(Span(ROLES[role], start + 1, len(text)))  # without the space before it
    return Text(text, tuple(spans))
