"""Which token ids a stream can contain: of the embedding's rows, capacity counts these alone.

What is said is known piece by piece: the values of the people there are, the words of templates and
questions. Where every presentation is worded anew, whatever can be said will be; else a person has
a few texts for good, and what is in none of them never occurs. Source: arXiv 2404.05405, section 3
(embeddings of tokens that do not occur are no parameters).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from physlm_jax.data.bios.biographies import Biographies
from physlm_jax.data.bios.diversity import Diversity
from physlm_jax.data.bios.idle_talk import SENTENCES
from physlm_jax.data.bios.lexicon import DOMAIN, EOS, SPECIALS, Lexicon, lexicon
from physlm_jax.data.bios.people import (
    DAY,
    FIRST,
    LAST,
    MIDDLE,
    MONTH,
    NAMED,
    PRONOUN,
    YEAR,
    Population,
)
from physlm_jax.data.bios.questions import DIRECT, HINT, QUESTIONS, Question
from physlm_jax.data.bios.tasks import Tasks
from physlm_jax.data.bios.variants import COUPLED, FIXED, Variant, as_variant
from physlm_jax.data.bios.variants import LAST as AT_THE_END
from physlm_jax.data.bios.writing import (
    AND,
    ATTRIBUTES,
    CLOSING,
    COMMA,
    DATE_COMMA,
    HE_LOWER,
    HIS,
    OWN,
    PERSON,
    STOP,
)
from physlm_jax.data.mixture import Mixture
from physlm_jax.errors import InputError

_CHUNK = 20_000  # people at once
_NAME, _DATE = (FIRST, MIDDLE, LAST), (MONTH, DAY, YEAR)
_SLOTS: dict[str, tuple[int, ...]] = {"n": _NAME, "A": _NAME, "B": _NAME, "birth_date": _DATE}
_SLOTS |= {"birth_month": (MONTH,), "birth_day": (DAY,), "birth_year": (YEAR,)}


def used_ids(stream: Biographies | Tasks | Diversity | Mixture) -> np.ndarray:
    """int64[V_used], ascending: the ids that examples of a stream can contain.

    Of questions on two people every result counts that the pools allow.

    Raises:
        InputError: a mixture of other worlds than these.
    """
    parts = stream.parts if isinstance(stream, Mixture) else (stream,)
    return np.unique(np.concatenate([_of(part) for part in parts]))


def _of(part: object) -> np.ndarray:
    if isinstance(part, Tasks):
        return _ids(part, _asked(part))
    if isinstance(part, Diversity):
        return _of_pass(part)
    if not isinstance(part, Biographies):
        raise InputError(f"bios: {type(part).__name__} is no stream of people")
    possible = _ids(part, _told(part))
    return possible if part.fresh else _occurring(part, possible)


def _ids(part: Biographies | Tasks, pieces: Iterable[int]) -> np.ndarray:
    spelling = part.vocabulary.spelling
    return np.array(sorted({i for piece in pieces for i in spelling[piece]}), np.int64)


def _told(world: Biographies) -> set[int]:
    """The pieces that biographies can contain."""
    parts = lexicon(world.groups[0].pools)
    found = {parts.special(EOS)} | ({parts.special(DOMAIN)} if world.marked else set())
    for group, name in zip(world.groups, world.variants, strict=True):
        variant, values = as_variant(name), _values(group)
        fields = [f for f in range(len(NAMED)) if f != PRONOUN or not variant.fullname]
        found |= _pieces(parts, values, fields)
        found |= _wording(parts, variant, values[PRONOUN])
        if variant.rewritten:
            for field in ("birth_city", "company_city"):
                first = parts.starts[f"{field} in full"]
                found |= {first + int(v) for v in values[NAMED.index(field)]}
    return found


def _values(people: Population) -> list[np.ndarray]:
    """The values of every field that somebody has, ascending."""
    sizes = [people.lists.sizes[name] for name in NAMED]
    seen = [np.zeros(size, bool) for size in sizes]
    for start in range(0, people.n, _CHUNK):
        fields = people.fields(np.arange(start, min(start + _CHUNK, people.n)))
        for mark, column in zip(seen, fields.T, strict=True):
            mark[column] = True
        if all(mark.all() for mark in seen):
            break
    return [np.flatnonzero(mark) for mark in seen]


def _pieces(parts: Lexicon, values: list[np.ndarray], fields: Iterable[int]) -> set[int]:
    return {parts.starts[NAMED[f]] + int(v) for f in fields for v in values[f]}


def _wording(parts: Lexicon, variant: Variant, genders: np.ndarray) -> set[int]:
    """The pieces of a biography that are no values; a pronoun's other forms too."""
    marks = {STOP, DATE_COMMA}
    for place in range(ATTRIBUTES):
        marks |= {*_subject(parts, variant, genders, place)}
    if variant.name_at == AT_THE_END:
        marks.add(CLOSING)
    found = {piece for made in parts.templates for t in made for piece in t[:2]}
    if variant.rewritten:
        marks |= {COMMA, AND}
        found |= {parts.starts["idle"] + i for i in range(len(SENTENCES))}
    return found | {len(SPECIALS) + mark for mark in marks}


def _subject(parts: Lexicon, variant: Variant, genders: np.ndarray, place: int) -> Iterator[int]:
    """The marks that can be in the subject of the sentence at a place."""
    here = range(ATTRIBUTES)
    if variant.order == FIXED:
        here = range(place, place + 1)
    elif variant.order == COUPLED:
        here = range(place % 2, ATTRIBUTES, 2)
    owning = any(owns for attribute in here for _, _, owns in parts.templates[attribute])
    named = variant.fullname or place == variant.name_at
    if named or place == 0:
        yield from [OWN] * owning + [PERSON] * (not named)
        return
    for gender in genders.tolist():
        yield from [HIS + gender] * owning
        if variant.rewritten:
            yield from [HE_LOWER + gender, *[HE_LOWER + 2 + gender] * owning]


def _occurring(world: Biographies, possible: np.ndarray) -> np.ndarray:
    """The possible ids that are in some entry of somebody."""
    seen = np.zeros(len(world.vocabulary), bool)
    groups = zip(world.table.people, world.table.entries, strict=True)
    for number, (people, entries) in enumerate(groups):
        for start in range(0, people * entries, _CHUNK):
            place = np.arange(start, min(start + _CHUNK, people * entries))
            shown = np.stack([np.full_like(place, number), place % people, place // people], 1)
            seen[world.entries(shown).tokens] = True
            if seen[possible].all():
                return possible
    return np.flatnonzero(seen)


def _of_pass(world: Diversity) -> np.ndarray:
    """The ids of everybody's paragraphs, which differ from pass to pass in their order alone."""
    seen = np.zeros(len(world.vocabulary), bool)
    for start in range(0, world.people.n, _CHUNK):
        members = np.arange(start, min(start + _CHUNK, world.people.n))
        seen[world.paragraphs(np.stack([members, 0 * members], 1)).tokens] = True
    return np.flatnonzero(seen)


def _asked(tasks: Tasks) -> set[int]:
    """The pieces that questions and their answers can contain."""
    parts, values = lexicon(tasks.people.pools), _values(tasks.people)
    found = {parts.special(EOS)}
    for question in (QUESTIONS[task] for task in tasks.tasks):
        texts = [question.prompt, question.answer]
        if question.hint and tasks.hints:
            texts.append(question.hint)
            found |= {parts.special(HINT)} | ({parts.special(DIRECT)} if tasks.hints < 1 else set())
        for item in (item for text in texts for item in parts.form(text)):
            if isinstance(item, int):
                found.add(item)
            elif item == "result":
                found |= _results(parts, question, tasks.people)
            else:
                name = item.rpartition(".")[2]
                fields = _SLOTS.get(name) or (NAMED.index(name),)
                found |= _pieces(parts, values, fields)
                found |= {len(SPECIALS) + DATE_COMMA} if fields == _DATE else set()
    return found


def _results(parts: Lexicon, question: Question, people: Population) -> set[int]:
    """The pieces of all results that a question can have."""
    if question.rule in ("even", "later"):
        return {parts.starts["answer"], parts.starts["answer"] + 1}  # No, Yes
    field = question.fields[0].removeprefix("birth_")
    size, first = people.lists.sizes[field], int(field != "major")
    numbers = [first + i for i in range(size)]
    if question.rule == "modulo":
        numbers = [number % question.modulus for number in numbers]
    if question.rule == "difference":
        numbers = [a - b for a in numbers for b in numbers]
    return {parts.zero + number for number in numbers}
