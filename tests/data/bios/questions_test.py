"""The questions: given wordings, slots, and chance against counting all cases."""

import itertools
import re
from collections import Counter

import pytest

from physlm_jax.data.bios.pools import ATTRIBUTES, pools
from physlm_jax.data.bios.questions import (
    DIRECT,
    GROUPS,
    HINT,
    QUESTIONS,
    RULES,
    chance,
)
from physlm_jax.data.bios.words import joined, words
from physlm_jax.errors import InputError

FULL, MINI = pools(), pools("mini")
FIELDS = {*ATTRIBUTES, "birth_month", "birth_day", "birth_year"}


def test_groups():
    sizes = {group: len(questions) for group, questions in GROUPS.items()}
    groups = ("extraction", "partial", "dual", "classification", "comparison", "inverse")
    assert sizes == dict(zip(groups, (6, 2, 6, 6, 6, 10), strict=True))
    assert len(QUESTIONS) == 36 == len({q.prompt for q in QUESTIONS.values()})
    assert tuple(GROUPS["extraction"]) == ATTRIBUTES


@pytest.mark.parametrize(
    ("task", "prompt", "answer"),
    [
        ("birth_date", "What is the birth date of {n}? Answer:", "{birth_date}."),
        ("birth_city", "What is the birth city of {n}? Answer:", "{birth_city}."),
        ("university", "Which university did {n} study? Answer:", "{university}."),
        ("major", "What major did {n} study? Answer:", "{major}."),
        ("employer", "Which company did {n} work for? Answer:", "{employer}."),
        ("company_city", "Where did {n} work? Answer:", "{company_city}."),
        ("birth_day", "What is the birth day of {n}?", "{birth_day}."),
        ("birth_year", "What is the birth year of {n}?", "{birth_year}."),
        (
            "company_city+employer",
            "Where and which company did {n} work for?",
            "{company_city}; {employer}.",
        ),
        (
            "employer+company_city",
            "Which company and where did {n} work for?",
            "{employer}; {company_city}.",
        ),
        ("month %2", "Was {n} born in an even month?", "{result}."),
        ("month %6", "What is {n}'s birth month mod 6?", "{result}."),
        ("month %12", "What is {n}'s birth month in numerics?", "{result}."),
        ("major %20", "What is the luckiness of {n}'s major modular 20?", "{result}."),
        ("month rank", "Was {A} born in a month in a year later than {B}?", "{result}."),
        (
            "month subtract",
            "What is {A}'s birth month minus {B}'s birth month?",
            "{result}.",
        ),
        ("major rank", "Did {A} major in a field luckier than {B}?", "{result}."),
        (
            "major subtract",
            "How luckier is {A}'s major compared with {B}'s major?",
            "{result}.",
        ),
        (
            "three_to_full",
            "Give me the full name of the person who studied {major} at {university} and worked "
            "for {employer}?",
            "{n}.",
        ),
    ],
)
def test_given_wordings(task, prompt, answer):
    assert (QUESTIONS[task].prompt, QUESTIONS[task].answer) == (prompt, answer)


def slots(text):
    return re.findall(r"\{([^}]*)\}", text)


@pytest.mark.parametrize("task", QUESTIONS)
def test_slots(task):
    question = QUESTIONS[task]
    assert question.rule in RULES and set(question.fields) <= FIELDS
    asked, answered, hinted = map(slots, (question.prompt, question.answer, question.hint))
    (field, *_) = question.fields
    if question.rule == "find":
        assert sorted(asked) == sorted(question.fields)
        assert answered == (["first"] if task.endswith("first") else ["n"])
    elif question.rule == "state":
        assert asked == ["n"] and tuple(answered) == question.fields
    elif question.is_pair:
        assert (asked, answered, hinted) == (["A", "B"], ["result"], [f"A.{field}", f"B.{field}"])
    else:
        assert (asked, answered, hinted) == (["n"], ["result"], [field])
    assert (question.modulus > 0) == (question.rule == "modulo")
    for text in (question.prompt, question.answer, question.hint):
        assert joined(words(text)) == text
        assert [w for w in words(text) if "{" in w] == [f"{{{slot}}}" for slot in slots(text)]
    assert words(question.answer)[-1] == "." and words(question.prompt)[-1] in "?:"
    assert not {HINT, DIRECT} & {*words(question.prompt)}


def test_clues_of_inverse_search():
    given = {
        "bdate": {"birth_date"},
        "birth": {"birth_date", "birth_city"},
        "three": {"major", "university", "employer"},
        "four": {"birth_city", "major", "university", "employer"},
        "all": {*ATTRIBUTES},
    }
    assert list(GROUPS["inverse"]) == [f"{g}_to_{w}" for g in given for w in ("first", "full")]
    for task, question in GROUPS["inverse"].items():
        assert {*question.fields} == given[task.split("_")[0]]


@pytest.mark.parametrize(
    ("task", "percent"),
    [
        *[("month %2", 50), ("month %6", 16.7), ("month %12", 8.3)],
        *[("major %5", 20), ("major %20", 5), ("major %100", 1)],
        *[("month rank", 54.2), ("month subtract", 8.3)],
        *[("major rank", 50.5), ("major subtract", 1)],
        *[("day rank", 51.8), ("day subtract", 3.6)],
        *[("company_city", 13.7), ("bdate_to_first", 0.25), ("all_to_first", 0.25)],
    ],
)
def test_chance_of_the_papers(task, percent):
    assert 100 * chance(task, FULL) == pytest.approx(percent, abs=0.05)


def test_chance_of_stated_values():
    mini = [100 * chance(task, MINI) for task in ATTRIBUTES]
    assert mini == pytest.approx([100 / 67200, 2, 2, 4, 100 / 60, 10])
    assert chance("birth_day", FULL) == 1 / 28 and chance("birth_year", FULL) == 1 / 200
    assert chance("employer+company_city", FULL) == 1 / 263 == chance("employer", FULL)
    assert chance("birth_city+employer", FULL) == pytest.approx(1 / (200 * 263))
    assert chance("university+major", MINI) == pytest.approx(1 / (50 * 25))
    assert chance("three_to_full", MINI) == 1 / 160_000


RESULTS = {
    "even": lambda q, a: a % 2 == 0,
    "modulo": lambda q, a: a % q.modulus,
    "number": lambda q, a: a,
    "later": lambda q, a, b: a > b,
    "difference": lambda q, a, b: a - b,
}


@pytest.mark.parametrize("pool", [FULL, MINI], ids=["full", "mini"])
@pytest.mark.parametrize("task", [*GROUPS["classification"], *GROUPS["comparison"]])
def test_chance_by_counting(task, pool):
    question = QUESTIONS[task]
    field = question.fields[0].removeprefix("birth_")
    numbers = range(field != "major", pool.sizes[field] + (field != "major"))
    cases = [*itertools.product(numbers, repeat=1 + question.is_pair)]
    counts = Counter(RESULTS[question.rule](question, *case) for case in cases)
    assert chance(task, pool) == pytest.approx(max(counts.values()) / len(cases))


def test_unknown_task():
    with pytest.raises(InputError, match=r"^unknown task 'month' in the questions about people"):
        chance("month", FULL)
