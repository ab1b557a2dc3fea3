"""Biographies, written token by token: six sentences in some order, on one person.

What a sentence says is in pieces (see `lexicon`); here they are put one after another, each as the
ids that a vocabulary spells it with, and each id with its role. Compiled code, some 20 ns a token.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from physlm_jax.data.bios.people import (
    CITY,
    COMPANY_CITY,
    DAY,
    EMPLOYER,
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
from physlm_jax.data.compiled import Whole, compiled, draw_below, shuffle

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


class Script(NamedTuple):
    """All that can be said, for compiled code.

    Attributes:
        flat, ends: ids of every piece, laid end to end, and where each ends.
        fields: int64[12], the first piece of each field FIRST..PRONOUN.
        left, right: int64[6, most], pieces before and after the value, by template.
        owns: uint8[6, most], templates whose subject is a possessive.
        counts: int64[6], templates of each attribute.
        marks: int64[..], single pieces: see `lexicon.MARKS`.
        others: int64[2], first pieces of birth and company cities in other words (bioR).
        idle: int64[2], first piece of idle talk, and how many there are.
    """

    flat: np.ndarray
    ends: np.ndarray
    fields: np.ndarray
    left: np.ndarray
    right: np.ndarray
    owns: np.ndarray
    counts: np.ndarray
    marks: np.ndarray
    others: np.ndarray
    idle: np.ndarray


# in `marks`; two forms follow HIS, four HE_LOWER
STOP, DATE_COMMA, HIS, HE_LOWER, PERSON, OWN, CLOSING, AND, COMMA = 0, 1, 2, 4, 8, 9, 10, 11, 12


class Writer(NamedTuple):
    """Where ids go; the caller sees to it that there is room.

    Attributes:
        tokens: int32[room].  roles: uint8[room].  written: int64[1].
    """

    tokens: np.ndarray
    roles: np.ndarray
    written: np.ndarray


class Style(NamedTuple):
    """A `Variant` for compiled code."""

    order: int
    fullname: bool
    name_at: int
    rewritten: bool


@compiled
def put(writer: Writer, script: Script, piece: int, role: int) -> None:
    """Writes a piece."""
    n = writer.written[0]
    for k in range(script.ends[piece - 1] if piece else 0, script.ends[piece]):
        writer.tokens[n] = script.flat[k]
        writer.roles[n] = role
        n += 1
    writer.written[0] = n


@compiled
def put_id(writer: Writer, token: Whole) -> None:
    """Writes an id that is part of nothing."""
    writer.tokens[writer.written[0]] = token
    writer.roles[writer.written[0]] = OTHER
    writer.written[0] += 1


@compiled
def put_field(writer: Writer, script: Script, fields: np.ndarray, field: int, role: int) -> None:
    """Writes one field of a person."""
    put(writer, script, script.fields[field] + fields[field], role)


@compiled
def put_name(writer: Writer, script: Script, fields: np.ndarray) -> None:
    """Writes the full name."""
    for field in (FIRST, MIDDLE, LAST):
        put_field(writer, script, fields, field, NAME)


@compiled
def put_date(writer: Writer, script: Script, fields: np.ndarray) -> None:
    """Writes "October 2, 1996"."""
    put_field(writer, script, fields, MONTH, BIRTH_DATE)
    put_field(writer, script, fields, DAY, BIRTH_DATE)
    put(writer, script, script.marks[DATE_COMMA], BIRTH_DATE)
    put_field(writer, script, fields, YEAR, BIRTH_DATE)


class Scratch(NamedTuple):
    """Room for what is drawn for one biography.

    Attributes:
        state: uint64[1].  chosen, order, idle: int64[6].
    """

    state: np.ndarray
    chosen: np.ndarray
    order: np.ndarray
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
    writer: Writer,
    script: Script,
    style: Style,
    fields: np.ndarray,
    wording: np.uint64,
    ordering: np.uint64,
    scratch: Scratch,
) -> None:
    """Writes one entry of a person.

    Args:
        fields: of the person, FIRST..PRONOUN.
        wording, ordering: keys of the choice of templates and of the order.
    """
    chosen, order, idle, state = scratch.chosen, scratch.order, scratch.idle, scratch.state
    state[0] = ordering
    _draw_order(style.order, state, order)
    state[0] = wording
    for a in range(ATTRIBUTES):
        chosen[a] = draw_below(state, script.counts[a])
    if style.rewritten:
        _draw_places_of_idle_talk(state, idle)
    for k in range(ATTRIBUTES):
        joined = style.rewritten and k > 0 and _is_joined(state, idle[k - 1])
        _write_sentence(writer, script, style, fields, order[k], chosen[order[k]], k, joined, state)
        if style.rewritten:
            for _ in range(idle[k]):
                _write_idle_talk(writer, script, style, fields, state)
    if style.name_at == AT_THE_END:
        put(writer, script, script.marks[CLOSING], OTHER)
        put_name(writer, script, fields)
        put(writer, script, script.marks[STOP], OTHER)


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
    writer: Writer,
    script: Script,
    style: Style,
    fields: np.ndarray,
    attribute: int,
    template: int,
    place: int,
    joined: bool,
    state: np.ndarray,
) -> None:
    """Writes the sentence on one attribute, the place-th of its biography."""
    if joined:
        writer.written[0] -= script.ends[script.marks[STOP]] - script.ends[script.marks[STOP] - 1]
        put(writer, script, script.marks[COMMA], OTHER)
        put(writer, script, script.marks[AND], OTHER)
    owns = script.owns[attribute, template] == 1
    _write_subject(writer, script, style, fields, place, owns, joined)
    put(writer, script, script.left[attribute, template], OTHER)
    if style.rewritten:
        _put_value_freely(writer, script, fields, attribute, state)
    else:
        _put_value(writer, script, fields, attribute)
    put(writer, script, script.right[attribute, template], OTHER)
    put(writer, script, script.marks[STOP], OTHER)


@compiled
def _write_subject(
    writer: Writer,
    script: Script,
    style: Style,
    fields: np.ndarray,
    place: int,
    owns: bool,
    joined: bool,
) -> None:
    """Writes name, pronoun or "The person", and what makes it a possessive."""
    if style.fullname or place == style.name_at:
        put_name(writer, script, fields)
        if owns:
            put(writer, script, script.marks[OWN], OTHER)
    elif place == 0:
        put(writer, script, script.marks[PERSON], OTHER)
        if owns:
            put(writer, script, script.marks[OWN], OTHER)
    else:
        _put_pronoun(writer, script, fields, owns, joined)


@compiled
def _put_pronoun(
    writer: Writer, script: Script, fields: np.ndarray, owns: bool, lower: bool
) -> None:
    """Writes He, She, His or Her, in small letters within a sentence."""
    who = fields[PRONOUN]
    if lower:
        put(writer, script, script.marks[HE_LOWER] + 2 * owns + who, GENDER)
    elif owns:
        put(writer, script, script.marks[HIS] + who, GENDER)
    else:
        put_field(writer, script, fields, PRONOUN, GENDER)


@compiled
def _put_value(writer: Writer, script: Script, fields: np.ndarray, attribute: int) -> None:
    """Writes the value of an attribute 0..5."""
    if attribute == 0:
        put_date(writer, script, fields)
    else:
        field = (MONTH, CITY, UNIVERSITY, MAJOR, EMPLOYER, COMPANY_CITY)[attribute]
        put_field(writer, script, fields, field, BIRTH_DATE + attribute)


@compiled
def _put_value_freely(
    writer: Writer, script: Script, fields: np.ndarray, attribute: int, state: np.ndarray
) -> None:
    """Writes a value in one of two ways: the date's parts turned, the state's name in full."""
    other = draw_below(state, 2) == 1
    if other and attribute == 0:
        put_field(writer, script, fields, DAY, BIRTH_DATE)
        put_field(writer, script, fields, MONTH, BIRTH_DATE)
        put_field(writer, script, fields, YEAR, BIRTH_DATE)
    elif other and attribute == 1:
        put(writer, script, script.others[0] + fields[CITY], BIRTH_CITY)
    elif other and attribute == 5:
        put(writer, script, script.others[1] + fields[COMPANY_CITY], WORKS_IN)
    else:
        _put_value(writer, script, fields, attribute)


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
    writer: Writer, script: Script, style: Style, fields: np.ndarray, state: np.ndarray
) -> None:
    """Writes a sentence that says nothing of the record."""
    if style.fullname:
        put_name(writer, script, fields)
    else:
        _put_pronoun(writer, script, fields, False, False)
    put(writer, script, script.idle[0] + draw_below(state, script.idle[1]), OTHER)
    put(writer, script, script.marks[STOP], OTHER)
