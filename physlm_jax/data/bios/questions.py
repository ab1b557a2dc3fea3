"""What is asked about people: the wordings, what the answers are, and what guessing gets right.

Slots: {n} the full name; {A} and {B} those of two people; {result} what `Question.rule` says; else
a field of the person, in hints on two people {A.major}. Fields are `pools.ATTRIBUTES`, birth_month,
birth_day, birth_year and first. `words` keeps a slot as one word. Drawing people and computing
results is the task of others.

The prompts of extraction, classification and of months and majors compared are the papers', and so
are those on birth day and year, company with city, and `three_to_*`; the others are our own.

Source: arXiv 2309.14316, section 2 (extraction); 2309.14402, Results 1-2 (retrieval), 3-6
(classification, comparison, hints) and 7-9 (inverse search).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from physlm_jax.data.bios.pools import ATTRIBUTES, Pools
from physlm_jax.errors import unknown

__all__ = ["DIRECT", "GROUPS", "HINT", "QUESTIONS", "RULES", "Question", "chance"]

HINT, DIRECT = "<hint>", "<direct>"  # after the prompt: which kind of answer is wanted

# A month's number is 1..12, a day's 1..28, a major's its place in the list, from 0 (its luckiness).
RULES = {
    "state": "the values of the fields, as they are written",
    "even": "Yes if the number is even, else No",
    "modulo": "the number modulo `modulus`",
    "number": "the number",
    "later": "Yes if A's number is greater than B's, else No; so of equal ones No",
    "difference": "A's number minus B's",
    "find": "the name of the person whose fields these are",
}


@dataclass(frozen=True)
class Question:
    """One task: how it is asked and what counts as right.

    Attributes:
        prompt, answer: with slots.
        rule: of `RULES`.
        fields: what the answer depends on; of "find", what is given.
        modulus: of "modulo".
        hint: what an answer with a hint has before it: the fields, as they are written; "" where
            the papers have none.
    """

    prompt: str
    answer: str
    rule: str
    fields: tuple[str, ...]
    modulus: int = 0
    hint: str = ""

    @property
    def is_pair(self) -> bool:
        """It is asked of two people."""
        return self.rule in ("later", "difference")


def _stated(prompt: str, *fields: str) -> Question:
    return Question(prompt, "; ".join(f"{{{f}}}" for f in fields) + ".", "state", fields)


def _computed(prompt: str, rule: str, field: str, modulus: int = 0) -> Question:
    return Question(prompt, "{result}.", rule, (field,), modulus, f"{{{field}}}.")


def _compared(prompt: str, rule: str, field: str) -> Question:
    return Question(prompt, "{result}.", rule, (field,), hint=f"{{A.{field}}}; {{B.{field}}}.")


EXTRACTION = {
    "birth_date": _stated("What is the birth date of {n}? Answer:", "birth_date"),
    "birth_city": _stated("What is the birth city of {n}? Answer:", "birth_city"),
    "university": _stated("Which university did {n} study? Answer:", "university"),
    "major": _stated("What major did {n} study? Answer:", "major"),
    "employer": _stated("Which company did {n} work for? Answer:", "employer"),
    "company_city": _stated("Where did {n} work? Answer:", "company_city"),
}

PARTIAL = {
    "birth_day": _stated("What is the birth day of {n}?", "birth_day"),
    "birth_year": _stated("What is the birth year of {n}?", "birth_year"),
}

DUAL = {
    "birth_city+employer": _stated(
        "Which birth city and which employer belong to {n}?", "birth_city", "employer"
    ),
    "employer+birth_city": _stated(
        "Which employer and which birth city belong to {n}?", "employer", "birth_city"
    ),
    "university+major": _stated(
        "Which university and which major did {n} choose?", "university", "major"
    ),
    "major+university": _stated(
        "Which major and which university did {n} choose?", "major", "university"
    ),
    "company_city+employer": _stated(
        "Where and which company did {n} work for?", "company_city", "employer"
    ),
    "employer+company_city": _stated(
        "Which company and where did {n} work for?", "employer", "company_city"
    ),
}

CLASSIFICATION = {
    "month %2": _computed("Was {n} born in an even month?", "even", "birth_month"),
    "month %6": _computed("What is {n}'s birth month mod 6?", "modulo", "birth_month", 6),
    "month %12": _computed("What is {n}'s birth month in numerics?", "number", "birth_month"),
    **{
        f"major %{p}": _computed(
            f"What is the luckiness of {{n}}'s major modular {p}?", "modulo", "major", p
        )
        for p in (5, 20, 100)
    },
}

COMPARISON = {
    "month rank": _compared(
        "Was {A} born in a month in a year later than {B}?", "later", "birth_month"
    ),
    "month subtract": _compared(
        "What is {A}'s birth month minus {B}'s birth month?", "difference", "birth_month"
    ),
    "major rank": _compared("Did {A} major in a field luckier than {B}?", "later", "major"),
    "major subtract": _compared(
        "How luckier is {A}'s major compared with {B}'s major?", "difference", "major"
    ),
    "day rank": _compared(
        "Was {A} born on a later day of the month than {B}?", "later", "birth_day"
    ),
    "day subtract": _compared(
        "What is {A}'s birth day minus {B}'s birth day?", "difference", "birth_day"
    ),
}

_GIVEN = {
    "bdate": ("whose birth date is {birth_date}", ("birth_date",)),
    "birth": ("born on {birth_date} in {birth_city}", ("birth_date", "birth_city")),
    "three": (
        "who studied {major} at {university} and worked for {employer}",
        ("major", "university", "employer"),
    ),
    "four": (
        "who was born in {birth_city}, studied {major} at {university} and worked for {employer}",
        ("birth_city", "major", "university", "employer"),
    ),
    "all": (
        "born on {birth_date} in {birth_city} who studied {major} at {university} "
        "and worked for {employer} in {company_city}",
        ATTRIBUTES,
    ),
}
INVERSE = {
    f"{given}_to_{wanted}": Question(
        f"Give me the {wanted} name of the person {clause}?", answer, "find", fields
    )
    for given, (clause, fields) in _GIVEN.items()
    for wanted, answer in (("first", "{first}."), ("full", "{n}."))
}

GROUPS = {
    "extraction": EXTRACTION,
    "partial": PARTIAL,
    "dual": DUAL,
    "classification": CLASSIFICATION,
    "comparison": COMPARISON,
    "inverse": INVERSE,
}
QUESTIONS = {task: question for group in GROUPS.values() for task, question in group.items()}


def chance(task: str, pools: Pools) -> float:
    """Returns the share of right answers of the best constant answer, people being uniform.

    Args:
        task: a key of `QUESTIONS`.
    Raises:
        InputError: no such task.
    """
    if task not in QUESTIONS:
        raise unknown("task", task, QUESTIONS, "the questions about people")
    question = QUESTIONS[task]
    if question.rule == "find":
        return 1 / (pools.names if question.answer == "{n}." else pools.sizes["first"])
    if question.rule == "state":
        return _most_frequent(question.fields, pools)
    size = pools.sizes[question.fields[0].removeprefix("birth_")]
    if question.rule in ("even", "modulo"):
        return math.ceil(size / (question.modulus or 2)) / size
    return (size + 1) / (2 * size) if question.rule == "later" else 1 / size


def _most_frequent(fields: tuple[str, ...], pools: Pools) -> float:
    """The share of the most frequent combination of values."""
    if fields == ("company_city",):
        return max(Counter(pools.headquarters).values()) / pools.sizes["employer"]
    parts = {"birth_date": ("month", "day", "year"), "birth_day": ("day",), "birth_year": ("year",)}
    free = [field for field in fields if field != "company_city"]  # the employer's
    return 1 / math.prod(pools.sizes[p] for field in free for p in parts.get(field, (field,)))
