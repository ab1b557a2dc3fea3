"""Words and back: examples, every text of the world, texts made up."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physlm_jax.data.bios.pools import LISTS, MONTHS, pools
from physlm_jax.data.bios.questions import QUESTIONS
from physlm_jax.data.bios.templates import CLOSING, templates
from physlm_jax.data.bios.words import ABBREVIATIONS, MARKS, joined, words
from physlm_jax.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Duluth, MN", "Duluth , MN"),
        ("St. Olan College", "St. Olan College"),
        ("He left St. Cloud, MN.", "He left St. Cloud , MN ."),
        ("Mara Quill's birthday", "Mara Quill 's birthday"),
        ("James's birth", "James 's birth"),
        ("Hobb's Mill.", "Hobb 's Mill ."),
        ("Dalton's.", "Dalton 's ."),
        ("October 2, 1996.", "October 2 , 1996 ."),
        ("Work for? Answer:", "Work for ? Answer :"),
        ("Menlo Park, CA; Barley & Finch.", "Menlo Park , CA ; Barley & Finch ."),
        ("Is it {n}'s, or {A.major};", "Is it {n} 's , or {A.major} ;"),
        ("Dance; Law. -71.", "Dance ; Law . -71 ."),
    ],
)
def test_examples(text, expected):
    assert words(text) == tuple(expected.split())
    assert joined(words(text)) == text


@pytest.mark.parametrize("text", [" a", "a ", "a  b", "a , b", "a .", "Mara 's", " ", "a .'s"])
def test_refuses_what_would_not_come_back(text):
    with pytest.raises(InputError, match=r"is not words with one space between them"):
        words(text)


def test_every_text_of_the_world():
    full = pools()
    values = [v for field in (*LISTS, "company_city") for v in full.values_of(field)]
    dates = [f"{month} {day}, 1996" for month in MONTHS for day in range(1, 29)]
    sentences = [str(t) for p in ("full", "mini") for ts in templates(p).values() for t in ts]
    asked = [text for q in QUESTIONS.values() for text in (q.prompt, q.answer, q.hint)]
    for text in (*values, *dates, *sentences, *asked, CLOSING):
        assert joined(words(text)) == text
        assert not text or all(words(text))


def test_a_text_has_the_words_of_its_parts():
    """Whatever follows a value or a name, it keeps its words: ids can be put together in pieces."""
    full = pools()
    for field in (*LISTS, "company_city"):
        marks = MARKS if field in ("first", "middle", "last") else MARKS[:-1]
        for value in full.values_of(field):
            for mark in marks:
                assert words(f"at {value}{mark} So") == ("at", *words(value), mark, "So")
            assert words(f"at {value} so") == ("at", *words(value), "so")


PLAIN = st.text("abcXYZ019&-{}", min_size=1, max_size=6)
TOKENS = st.lists(PLAIN | st.sampled_from([*MARKS, *sorted(ABBREVIATIONS)]), max_size=12)


def is_well_formed(tokens):
    """It begins with a word, and no full stop makes the word before it an abbreviation."""
    made = any(b == "." and f"{a}." in ABBREVIATIONS for a, b in itertools.pairwise(tokens))
    return bool(tokens) and tokens[0] not in MARKS and not made


@given(TOKENS.filter(is_well_formed))
def test_words_of_joined(tokens):
    assert words(joined(tokens)) == tuple(tokens)


@given(st.text("aS t.,'s:;?", max_size=12))
def test_made_up_texts_come_back_or_are_refused(text):
    try:
        found = words(text)
    except InputError:
        return
    assert joined(found) == text and all(found)
