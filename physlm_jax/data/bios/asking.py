"""Questions as token streams: who is asked about, in what order, with a hint or without.

A task's texts (see `questions`) become lists of pieces and slots, written by compiled code. An
example is EOS, prompt, [<hint> or <direct>], [hint], answer, EOS; the control token stands where
the task has hints. Sources: arXiv 2309.14316, section 2.2; 2309.14402, sections 3 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from physlm_jax.data.bios.lexicon import Lexicon, lexicon
from physlm_jax.data.bios.people import (
    DAY,
    FIELDS,
    FIRST,
    MAJOR,
    MONTH,
    NAMED,
    YEAR,
    Sizes,
    draw_person,
)
from physlm_jax.data.bios.questions import DIRECT, HINT, QUESTIONS, RULES
from physlm_jax.data.bios.writing import (
    Script,
    find_pieces,
    new_sheet,
    put,
    put_date,
    put_name,
)
from physlm_jax.data.compiled import compiled

PROMPT, ANSWER = 0, 1  # roles of tokens
NO_HINT, PLAIN, HINTED = range(3)  # the task has no hints; it has, and none or one is given
_NAME, _DATE, _RESULT = range(FIELDS, FIELDS + 3)  # slots after the fields
_SECOND = 20  # added to the slots of the second person
_STATE, _EVEN, _MODULO, _NUMBER, _LATER, _DIFFERENCE, _FIND = range(len(RULES))
_END = -1000
_SLOT_PIECES = 4  # at most: the date


class Forms(NamedTuple):
    """Tasks for compiled code.

    Attributes:
        prompt, hint, answer: int64[tasks, most]: pieces, slots as -1 - slot, then `_END`.
        rule, field, modulus: int64[tasks].
        zero, no: the pieces of 0, among the other numbers, and of No, before Yes.
        hinted, direct: the control tokens' pieces.
    """

    prompt: np.ndarray
    hint: np.ndarray
    answer: np.ndarray
    rule: np.ndarray
    field: np.ndarray
    modulus: np.ndarray
    zero: int
    no: int
    hinted: int
    direct: int


@lru_cache(maxsize=64)
def forms(pools: str, tasks: tuple[str, ...]) -> Forms:
    """Returns tasks, of `QUESTIONS`, as the pools' pieces."""
    parts = lexicon(pools)
    asked = [QUESTIONS[task] for task in tasks]
    return Forms(
        _padded(parts, [q.prompt for q in asked]),
        _padded(parts, [q.hint for q in asked]),
        _padded(parts, [q.answer for q in asked]),
        np.array([list(RULES).index(q.rule) for q in asked]),
        np.array([_slot(q.fields[0]) if q.rule != "find" else 0 for q in asked]),
        np.array([q.modulus for q in asked]),
        parts.zero,
        parts.starts["answer"],
        parts.special(HINT),
        parts.special(DIRECT),
    )


def _padded(parts: Lexicon, texts: Sequence[str]) -> np.ndarray:
    made = [
        [item if isinstance(item, int) else -1 - _slot(item) for item in parts.form(text)]
        for text in texts
    ]
    most = 1 + max(map(len, made))
    return np.array([row + [_END] * (most - len(row)) for row in made], np.int64)


def _slot(name: str) -> int:
    """The number of a slot: {n}, {A.major}, {birth_month}, .."""
    who, dot, rest = name.rpartition(".")
    if dot or name in ("A", "B"):
        return _slot(rest if dot else "n") + _SECOND * ((who or name) == "B")
    plain = {"n": _NAME, "birth_date": _DATE, "result": _RESULT}
    plain |= {"birth_month": MONTH, "birth_day": DAY, "birth_year": YEAR, "first": FIRST}
    return plain[name] if name in plain else NAMED.index(name)


@compiled
def result(forms: Forms, task: int, one: np.ndarray, other: np.ndarray) -> int:
    """The piece of a computed answer: a number, or No or Yes.

    Months count from 1, days from 1, majors from 0 (luckiness).
    """
    field, rule = forms.field[task], forms.rule[task]
    first = 0 if field == MAJOR else 1
    a, b = one[field] + first, other[field] + first
    if rule == _EVEN:
        return forms.no + (a % 2 == 0)
    if rule == _LATER:
        return forms.no + (a > b)
    number = a
    if rule == _MODULO:
        number = a % forms.modulus[task]
    elif rule == _DIFFERENCE:
        number = a - b
    return forms.zero + number


@compiled
def _say(
    sheet: np.ndarray,
    marks: int,
    form: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    computed: int,
    role: int,
) -> None:
    """Writes a form with its slots filled."""
    first = sheet[0, 0] + 1
    for item in form:
        if item == _END:
            break
        if item >= 0:
            put(sheet, item, role)
            continue
        slot = -1 - item
        who = other if slot >= _SECOND else one
        slot %= _SECOND
        if slot == _NAME:
            put_name(sheet, who)
        elif slot == _DATE:
            put_date(sheet, who, marks)
        elif slot == _RESULT:
            put(sheet, computed, role)
        else:
            put(sheet, who[slot], role)
    sheet[first : sheet[0, 0] + 1, 1] = role


@compiled
def write_questions(
    script: Script,
    forms: Forms,
    sizes: Sizes,
    asked: np.ndarray,
    eos: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Writes examples.

    Args:
        asked: int64[n, 4]: task, number of the person, number of the second, and NO_HINT..HINTED.
        eos: its piece.
    Returns:
        a sheet, with roles PROMPT and ANSWER, and int64[n + 1], where each example begins.
    """
    count = len(asked)
    offsets = np.zeros(count + 1, np.int64)
    most = forms.prompt.shape[1] + forms.hint.shape[1] + forms.answer.shape[1]
    sheet = new_sheet(count * (_SLOT_PIECES * most + 3))
    one, other = np.empty(FIELDS, np.int32), np.empty(FIELDS, np.int32)
    record, second = np.empty(FIELDS, np.int64), np.empty(FIELDS, np.int64)
    for i in range(count):
        task, hint = asked[i, 0], asked[i, 3]
        draw_person(sizes, asked[i, 1], one)
        draw_person(sizes, asked[i, 2], other)
        computed = result(forms, task, one, other)
        find_pieces(script, one, record)
        find_pieces(script, other, second)
        put(sheet, eos, PROMPT)
        _say(sheet, script.marks, forms.prompt[task], record, second, computed, PROMPT)
        if hint != NO_HINT:
            put(sheet, forms.hinted if hint == HINTED else forms.direct, PROMPT)
        if hint == HINTED:
            _say(sheet, script.marks, forms.hint[task], record, second, computed, ANSWER)
        _say(sheet, script.marks, forms.answer[task], record, second, computed, ANSWER)
        put(sheet, eos, ANSWER)
        offsets[i + 1] = sheet[0, 0]
    return sheet, offsets
