"""The sentences: counts and shapes, grammar's outward marks, one reading, words put together."""

import itertools
import math
import re
from collections import Counter

import pytest

from physlm_jax.data.bios.pools import ATTRIBUTES, pools
from physlm_jax.data.bios.templates import (
    CLOSING,
    UNNAMED,
    Template,
    parse,
    templates,
)
from physlm_jax.data.bios.words import MARKS, joined, words
from physlm_jax.errors import InputError

FULL = templates()
NAME = ("Mara", "Quill", "Tennant")
SUBJECTS = (NAME, ("He",), ("She",), words(UNNAMED))
SHAPES = {  # templates, value last, words besides subject and value: mean, least, most
    "birth_date": (46, 33, 6.6, 2, 13),
    "birth_city": (49, 46, 4.8, 2, 8),
    "university": (49, 45, 8.0, 2, 13),
    "major": (52, 36, 4.7, 1, 9),
    "employer": (48, 36, 5.6, 2, 10),
    "company_city": (47, 45, 6.0, 2, 11),
}


def values(attribute):
    if attribute == "birth_date":
        return ("October 2, 1996", "May 28, 1900", "March 10, 2099")
    return pools().values_of(attribute)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_shapes(attribute):
    found = FULL[attribute]
    lengths = [sum(w not in MARKS for w in (*t.before, *t.after)) for t in found]
    count, last, mean, least, most = SHAPES[attribute]
    assert (len(found), sum(t.after == (".",) for t in found)) == (count, last)
    assert (min(lengths), max(lengths)) == (least, most)
    assert sum(lengths) / count == pytest.approx(mean, abs=0.4)


def test_entropy_of_the_choice():
    """What a perfect model still loses on the wordings: ln 6! and the choice of each template."""
    choices = sum(math.log(len(FULL[attribute])) for attribute in ATTRIBUTES)
    assert choices == pytest.approx(23.28, abs=0.01)


def test_all_are_different():
    every = [t for ts in FULL.values() for t in ts]
    assert len(every) == 291 and len(set(every)) == 291 and len(set(map(str, every))) == 291
    bags = [frozenset(Counter((*t.before, *t.after)).items()) for t in every]
    assert len(set(bags)) == 291


def test_grammar():
    """The outward marks of sentences that fit He, She, a name and "The person" alike."""
    for preset, attribute in itertools.product(("full", "mini"), ATTRIBUTES):
        for template in templates(preset)[attribute]:
            text = str(template)
            assert re.fullmatch(r"\{subject\}('s)? [a-z ,]+ \{value\}( [a-z ]+)?\.", text), text
            assert not re.search(r"\b(he|she|his|her|they|them|I|was was|the the)\b", text), text
            assert not set(template.before) & {"are", "were", "have", "do", "{value}"}, text
            assert template.after.count(".") == 1


def test_possessives():
    own = [t for t in FULL["birth_date"] if t.is_possessive]
    assert len(own) == 3 == sum(t.is_possessive for ts in FULL.values() for t in ts)
    template = parse("{subject}'s date of birth is {value}.")
    said = [joined(template.sentence(s, words("May 2, 1996"))) for s in SUBJECTS]
    rest = " date of birth is May 2, 1996."
    assert said == [f"{s}{rest}" for s in ("Mara Quill Tennant's", "His", "Her", "The person's")]
    assert FULL["major"][0].subject(("She",)) == ("She",)


def test_closing():
    assert words(CLOSING) == ("The", "person", "'s", "name", "is", "{name}", ".")


def test_words_of_all_sentences():
    """The text of a sentence has the words that it was put together from."""
    for attribute, subject in itertools.product(ATTRIBUTES, SUBJECTS):
        some = values(attribute)
        pairs = [(t, v) for t in FULL[attribute] for v in some[:3]]
        pairs += [(t, v) for t in FULL[attribute][:1] for v in some]
        for template, value in pairs:
            assert parse(str(template)) == template
            sentence = template.sentence(subject, words(value))
            assert words(joined(sentence)) == sentence


def readings(sentence, start):
    """Every (attribute, template, value) that a sentence without its subject can be."""
    for attribute in ATTRIBUTES:
        for template in FULL[attribute]:
            before, after = template.before, template.after
            value = joined(sentence[start + len(before) : len(sentence) - len(after)])
            if (
                sentence[start : start + len(before)] == before
                and sentence[-len(after) :] == after
                and value in values(attribute)
            ):
                yield attribute, template, value


def test_one_reading():
    """Also of the city of birth and of work, whose values are partly the same."""
    for attribute in ATTRIBUTES:
        some = values(attribute)
        if "city" in attribute:
            some = sorted(set(values("birth_city")) & set(values("company_city")))
        for i, template in enumerate(FULL[attribute]):
            value = some[i % len(some)]
            sentence = template.sentence(("He",), words(value))
            assert [*readings(sentence, 1)] == [(attribute, template, value)]


def test_mini():
    found = templates("mini")
    assert list(found) == list(ATTRIBUTES) == list(FULL)
    every = [t for ts in found.values() for t in ts]
    assert [len(ts) for ts in found.values()] == [16] * 6 and len(set(every)) == 96
    for of_attribute in found.values():
        openings, closings = zip(*(t.before for t in of_attribute), strict=True)
        assert len(set(openings)) == len(set(closings)) == 4
        assert all(t.after == (".",) and len(t.before) == 2 for t in of_attribute)
    assert len({word for t in every for word in t.before}) == 48
    assert templates("mini") is found


def test_a_biography_of_mini_has_34_tokens():
    atoms = {a: (a.upper(),) for a in ATTRIBUTES} | {"birth_date": ("May", "2", "1996")}
    sentences = [t[0].sentence(("She",), atoms[a]) for a, t in templates("mini").items()]
    first = templates("mini")["birth_date"][0].sentence(NAME, atoms["birth_date"])
    assert len([*first, *itertools.chain(*sentences[1:])]) == 34


def test_parse():
    text = "{subject} made {value} the base of a long career."
    assert parse(text) == Template(("made",), words("the base of a long career."))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{value} was {subject}.", r"needs \{subject\} first and one \{value\} after it"),
        ("{subject} was born.", r"needs \{subject\} first and one"),
        ("", r"needs \{subject\} first and one"),
        ("{subject} was {value}, or {value}.", r"needs \{subject\} first and one"),
        ("{subject} was {subject} in {value}.", r"needs \{subject\} first and one"),
        ("{subject} was in {value}", r"a full stop last"),
        ("{subject} {value}.", r"needs a word before \{value\}"),
        ("{subject}'s {value}.", r"needs a word before \{value\}"),
        ("{subject} went to New {value}.", r"the word 'New' is not lower-case"),
        ("{subject}  was in {value}.", r"is not words with one space"),
    ],
)
def test_parse_refuses(text, message):
    with pytest.raises(InputError, match=message):
        parse(text)


def test_unknown_preset():
    with pytest.raises(InputError, match=r"^unknown templates 'tiny'"):
        templates("tiny")
