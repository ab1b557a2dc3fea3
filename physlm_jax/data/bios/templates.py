"""The sentences of biographies: one for each attribute, in one of many wordings.

A template has the slot {subject} first and the slot {value} once after it; the words between them
and after are lower-case, so that a sentence has one reading. The subject is a name, a pronoun or
"The person"; some birth dates belong to it ("{subject}'s date of birth is {value}."), of a pronoun
then His or Her, where the authors' code writes "He's".

The wordings in `templates.json` are this project's own, as many as the authors' and alike in
length. The preset "mini" has 4 openings x 4 closings of one word each. A biography of them is 34
tokens where each value is one: a name of 3 and 5 pronouns, 6 x 2 words of templates, a date of 3
(month, day, year) and 5 other values, 6 full stops.

Source: arXiv 2309.14316, section 2 and its appendix on the data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from physlm_jax.data.bios.pools import ATTRIBUTES
from physlm_jax.data.bios.words import joined, words
from physlm_jax.errors import InputError, unknown

__all__ = ["CLOSING", "POSSESSIVES", "UNNAMED", "Template", "parse", "templates"]

SUBJECT, VALUE = "{subject}", "{value}"
POSSESSIVES = {"He": "His", "She": "Her"}
UNNAMED = "The person"  # the subject of sentences that come before the name (2309.14402)
CLOSING = "The person's name is {name}."  # of biographies that name the person last

# what stands before and after in a sentence of the preset "mini"; 48 different words
TWO_WORDS = {
    "birth_date": ("loudly safely promptly duly", "arrived appeared debuted emerged"),
    "birth_city": ("originally initially formerly long", "inhabited adored graced brightened"),
    "university": ("eventually later successfully dutifully", "attended entered joined finished"),
    "major": ("diligently eagerly keenly mainly", "studied read learned explored"),
    "employer": ("currently loyally presently ably", "serves assists supports advises"),
    "company_city": ("daily regularly usually often", "visits reaches frequents crosses"),
}


@dataclass(frozen=True)
class Template:
    """A sentence without its subject and value, as words.

    Attributes:
        before: between the subject and the value.
        after: behind the value, the full stop last.
        is_possessive: the subject is a possessive.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    is_possessive: bool = False

    def subject(self, subject: Sequence[str]) -> tuple[str, ...]:
        """Returns the words of the subject as this sentence has it: Mara 's, His, or as it is.

        Args:
            subject: words of a name, of a pronoun (He, She), or of `UNNAMED`.
        """
        if not self.is_possessive:
            return tuple(subject)
        if len(subject) == 1 and subject[0] in POSSESSIVES:
            return (POSSESSIVES[subject[0]],)
        return (*subject, "'s")

    def sentence(self, subject: Sequence[str], value: Sequence[str]) -> tuple[str, ...]:
        """Returns the words of the sentence with a subject (see `subject`) and a value's words."""
        return (*self.subject(subject), *self.before, *value, *self.after)

    def __str__(self) -> str:
        subject = (SUBJECT, "'s") if self.is_possessive else (SUBJECT,)
        return joined((*subject, *self.before, VALUE, *self.after))


def parse(text: str) -> Template:
    """Returns the template that a text with slots describes.

    Raises:
        InputError: not the two slots once each, the subject first; no word between them; a capital
            letter in the words; no full stop at the end.
    """
    found = words(text)
    if found[:1] != (SUBJECT,) or found.count(SUBJECT) != 1 or found.count(VALUE) != 1:
        raise InputError(f"template {text!r}: needs {SUBJECT} first and one {VALUE} after it")
    is_possessive = found[1] == "'s"
    place = found.index(VALUE)
    before, after = found[1 + is_possessive : place], found[place + 1 :]
    if not before or after[-1:] != (".",):
        raise InputError(f"template {text!r}: needs a word before {VALUE} and a full stop last")
    for word in (*before, *after):
        if word != word.lower():
            raise InputError(f"template {text!r}: the word {word!r} is not lower-case")
    return Template(before, after, is_possessive)


@cache
def templates(preset: str = "full") -> Mapping[str, tuple[Template, ...]]:
    """Returns the templates of each attribute, in the order of `pools.ATTRIBUTES`.

    Args:
        preset: "full": 46 to 52 of each; "mini": 16 of each, two words long.
    Raises:
        InputError: no such preset.
    """
    if preset == "full":
        text = files("physlm_jax.data.bios").joinpath("templates.json").read_text(encoding="utf-8")
        read = json.loads(text)
        return {name: tuple(map(parse, read[name])) for name in ATTRIBUTES}
    if preset == "mini":
        return {name: _two_words(*TWO_WORDS[name]) for name in ATTRIBUTES}
    raise unknown("templates", preset, ("full", "mini"))


def _two_words(openings: str, closings: str) -> tuple[Template, ...]:
    """All combinations; the closings vary fastest."""
    return tuple(Template((a, b), (".",)) for a in openings.split() for b in closings.split())
