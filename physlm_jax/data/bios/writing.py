"""Biographies, written piece by piece: six sentences in some order, on one person.

What a sentence says is in pieces (see `lexicon`); here they are put on a sheet one after another,
each with its role; `Speller.spelled` makes ids of them. Compiled code, half a microsecond a
biography. It passes plain arrays and numbers: numba counts the references to every array in a
tuple, which took two thirds of the time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from physlm_jax.data.bios.people import (
    CITY,
    COMPANY_CITY,
    DAY,
    EMPLOYER,
    FIELDS,
    FIRST,
    LAST,
    MAJOR,
    MIDDLE,
    MONTH,
    PRONOUN,
    UNIVERSITY,
    YEAR,
)
from physlm_jax.data.bios.variants import COUPLED, PERMUTED
from physlm_jax.data.bios.variants import LAST as AT_THE_END
from physlm_jax.data.compiled import compiled, draw_below, shuffle
from physlm_jax.data.ragged import Ragged

# roles of tokens: what each is part of
OTHER, NAME, GENDER = 0, 1, 8
BIRTH_DATE, BIRTH_CITY, STUDIED_AT, STUDIED, WORKS_FOR, WORKS_IN = range(2, 8)
ROLES = (
    *("other", "name", "birth date", "birth city", "university", "major", "employer"),
    *("company city", "pronoun"),
)
ATTRIBUTES = 6  # sentences of a biography, of roles BIRTH_DATE..WORKS_IN in this order
MERGED = 0.4  # of sentences of bioR that are joined to the one before: our choice
IDLE = 3  # most sentences of idle talk in a biography of bioR
MOST_PIECES = 100  # of a biography: six sentences of 14 at most and three of idle talk, of 5


class Script(NamedTuple):
    """All that can be said, for compiled code.

    Attributes:
        fields: int64[12], the first piece of each field FIRST..PRONOUN.
        templates: int64[6, most, 3], the pieces before and after the value, and 1 where the
            subject is a possessive.
        counts: int64[6], templates of each attribute.
        marks: the piece of the first of `lexicon.MARKS`.  he: of "He".
        city, company_city: from the piece of a city to that of the same in full (bioR).
        idle, idle_count: the first piece of idle talk, and how many there are.
    """

    fields: np.ndarray
    templates: np.ndarray
    counts: np.ndarray
    marks: int
    he: int
    city: int
    company_city: int
    idle: int
    idle_count: int


# from `marks` on; two forms follow HIS, four HE_LOWER
STOP, DATE_COMMA, HIS, HE_LOWER, PERSON, OWN, CLOSING, AND, COMMA = 0, 1, 2, 4, 8, 9, 10, 11, 12


class Style(NamedTuple):
    """A `Variant` for compiled code."""

    order: int
    fullname: bool
    name_at: int
    rewritten: bool


@compiled
def new_sheet(room: int) -> np.ndarray:
    """int32[1 + room, 2]: a sheet with nothing on it.

    Row 0 holds how many pieces there are, then each has a row: the piece and its role. The caller
    sees to it that there is room.
    """
    sheet = np.empty((1 + room, 2), np.int32)
    sheet[0, 0] = 0
    return sheet


def as_ragged(sheet: np.ndarray, offsets: np.ndarray) -> Ragged:
    """Returns what is on a sheet, pieces with the label role, cut where examples begin."""
    said = sheet[1 : 1 + offsets[-1]]
    return Ragged(said[:, 0], offsets, {"role": said[:, 1]})


@compiled
def put(sheet: np.ndarray, piece: int, role: int) -> None:
    """Writes a piece on a sheet."""
    n = sheet[0, 0] + 1
    sheet[n, 0] = piece
    sheet[n, 1] = role
    sheet[0, 0] = n


@compiled
def find_pieces(script: Script, places: np.ndarray, record: np.ndarray) -> None:
    """Writes a record as pieces, int64[12], from a person's places in the pools FIRST..PRONOUN."""
    for field in range(FIELDS):
        record[field] = script.fields[field] + places[field]


@compiled
def put_name(sheet: np.ndarray, record: np.ndarray) -> None:
    """Writes the full name."""
    put(sheet, record[FIRST], NAME)
    put(sheet, record[MIDDLE], NAME)
    put(sheet, record[LAST], NAME)


@compiled
def put_date(sheet: np.ndarray, record: np.ndarray, marks: int) -> None:
    """Writes "October 2, 1996"."""
    put(sheet, record[MONTH], BIRTH_DATE)
    put(sheet, record[DAY], BIRTH_DATE)
    put(sheet, marks + DATE_COMMA, BIRTH_DATE)
    put(sheet, record[YEAR], BIRTH_DATE)


class Scratch(NamedTuple):
    """Room for what is drawn for one biography.

    Attributes:
        state: uint64[1].  order, chosen, idle: int64[6], sentences, templates, idle talk.
    """

    state: np.ndarray
    order: np.ndarray
    chosen: np.ndarray
    idle: np.ndarray


@compiled
def new_scratch() -> Scratch:
    """Returns room for one biography at a time."""
    six = ATTRIBUTES
    return Scratch(
        np.zeros(1, np.uint64),
        np.zeros(six, np.int64),
        np.zeros(six, np.int64),
        np.zeros(six, np.int64),
    )


@compiled
def write_biography(
    sheet: np.ndarray,
    script: Script,
    style: Style,
    record: np.ndarray,
    wording: np.uint64,
    ordering: np.uint64,
    scratch: Scratch,
) -> None:
    """Writes one entry of a person, at most `MOST_PIECES`.

    Args:
        record: of the person, see `find_pieces`.
        wording, ordering: keys of the choice of templates and of the order.
    """
    state, order, chosen, idle = scratch.state, scratch.order, scratch.chosen, scratch.idle
    state[0] = ordering
    _draw_order(style.order, state, order)
    state[0] = wording
    for a in range(ATTRIBUTES):
        chosen[a] = draw_below(state, script.counts[a])
    if style.rewritten:
        _draw_places_of_idle_talk(state, idle)
    for k in range(ATTRIBUTES):
        joined = style.rewritten and k > 0 and _is_joined(state, idle[k - 1])
        _write_sentence(sheet, script, style, record, order[k], chosen[order[k]], k, joined, state)
        if style.rewritten:
            for _ in range(idle[k]):
                _write_idle_talk(sheet, script, style, record, state)
    if style.name_at == AT_THE_END:
        put(sheet, script.marks + CLOSING, OTHER)
        put_name(sheet, record)
        put(sheet, script.marks + STOP, OTHER)


@compiled
def _draw_order(kind: int, state: np.ndarray, order: np.ndarray) -> None:
    """Puts the attributes 0..5 in order."""
    for a in range(ATTRIBUTES):
        order[a] = a
    if kind == PERMUTED:
        shuffle(state, order, ATTRIBUTES)
    elif kind == COUPLED:
        shuffle(state, order[:3], 3)
        for i in range(2, -1, -1):
            order[2 * i + 1], order[2 * i] = 2 * order[i] + 1, 2 * order[i]


@compiled
def _write_sentence(
    sheet: np.ndarray,
    script: Script,
    style: Style,
    record: np.ndarray,
    attribute: int,
    template: int,
    place: int,
    joined: bool,
    state: np.ndarray,
) -> None:
    """Writes the sentence on one attribute, the place-th of its biography."""
    marks = script.marks
    if joined:
        sheet[0, 0] -= 1  # the full stop
        put(sheet, marks + COMMA, OTHER)
        put(sheet, marks + AND, OTHER)
    owns = script.templates[attribute, template, 2] == 1
    gender = record[PRONOUN] - script.he
    _write_subject(sheet, marks, style, record, gender, place, owns, joined)
    put(sheet, script.templates[attribute, template, 0], OTHER)
    if style.rewritten:
        _put_value_freely(sheet, script, record, attribute, state)
    else:
        _put_value(sheet, marks, record, attribute)
    put(sheet, script.templates[attribute, template, 1], OTHER)
    put(sheet, marks + STOP, OTHER)


@compiled
def _write_subject(
    sheet: np.ndarray,
    marks: int,
    style: Style,
    record: np.ndarray,
    gender: int,
    place: int,
    owns: bool,
    joined: bool,
) -> None:
    """Writes name, pronoun or "The person", and what makes it a possessive."""
    if style.fullname or place == style.name_at:
        put_name(sheet, record)
        if owns:
            put(sheet, marks + OWN, OTHER)
    elif place == 0:
        put(sheet, marks + PERSON, OTHER)
        if owns:
            put(sheet, marks + OWN, OTHER)
    elif joined:
        put(sheet, marks + HE_LOWER + 2 * owns + gender, GENDER)
    elif owns:
        put(sheet, marks + HIS + gender, GENDER)
    else:
        put(sheet, record[PRONOUN], GENDER)


@compiled
def _put_value(sheet: np.ndarray, marks: int, record: np.ndarray, attribute: int) -> None:
    """Writes the value of an attribute 0..5."""
    if attribute == 0:
        put_date(sheet, record, marks)
    else:
        field = (MONTH, CITY, UNIVERSITY, MAJOR, EMPLOYER, COMPANY_CITY)[attribute]
        put(sheet, record[field], BIRTH_DATE + attribute)


@compiled
def _put_value_freely(
    sheet: np.ndarray, script: Script, record: np.ndarray, attribute: int, state: np.ndarray
) -> None:
    """Writes a value in one of two ways: the date's parts turned, the state's name in full."""
    other = draw_below(state, 2) == 1
    if other and attribute == 0:
        put(sheet, record[DAY], BIRTH_DATE)
        put(sheet, record[MONTH], BIRTH_DATE)
        put(sheet, record[YEAR], BIRTH_DATE)
    elif other and attribute == 1:
        put(sheet, record[CITY] + script.city, BIRTH_CITY)
    elif other and attribute == 5:
        put(sheet, record[COMPANY_CITY] + script.company_city, WORKS_IN)
    else:
        _put_value(sheet, script.marks, record, attribute)


@compiled
def _draw_places_of_idle_talk(state: np.ndarray, places: np.ndarray) -> None:
    """Puts how many idle sentences follow each sentence: 1 to `IDLE` in all."""
    places[:] = 0
    for _ in range(1 + draw_below(state, IDLE)):
        places[draw_below(state, ATTRIBUTES)] += 1


@compiled
def _is_joined(state: np.ndarray, idle_before: int) -> bool:
    """Whether a sentence goes on after the one before."""
    return draw_below(state, 1000) < 1000 * MERGED and idle_before == 0


@compiled
def _write_idle_talk(
    sheet: np.ndarray, script: Script, style: Style, record: np.ndarray, state: np.ndarray
) -> None:
    """Writes a sentence that says nothing of the record."""
    if style.fullname:
        put_name(sheet, record)
    else:
        put(sheet, record[PRONOUN], GENDER)
    put(sheet, script.idle + draw_below(state, script.idle_count), OTHER)
    put(sheet, script.marks + STOP, OTHER)
