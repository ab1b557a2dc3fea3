"""What the lists of values must keep to for a text to have one reading and its losses to add up.

No value is the beginning of another of its list: then the loss of a value's tokens is its whole
loss, whether they are words or letters. And a value is cut into the same words wherever it
stands, and cannot be taken for a word of a sentence, which are all lower-case.

Source: this project; the first rule is what arXiv 2404.05405's measure of capacity needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from physlm_jax.data.bios.words import ABBREVIATIONS, MARKS, words
from physlm_jax.errors import InputError

MIN_VALUES = 2  # of one there is nothing to know
_INSIDE = " ,'.&-"  # characters of values besides letters and digits


def check_list(values: Sequence[str], where: str, is_name: bool = False) -> None:
    """Raises if a list breaks a rule; returns nothing.

    The rules: at least `MIN_VALUES` values, all different, none the beginning of another; of
    letters, digits and the marks , ' . & - with one space between words; the first letter not
    lower-case; full stops in `ABBREVIATIONS` alone; at the end neither a mark (but 's) nor an
    abbreviation nor a word that a full stop makes one.

    Args:
        where: what the list is called in messages.
        is_name: values are parts of names: each one word of letters.
    Raises:
        InputError: a rule is broken; the message names the list and the place.
    """
    if len(values) < MIN_VALUES:
        raise InputError(f"{where}: {len(values)} values; at least {MIN_VALUES} needed")
    for i, value in enumerate(values):
        check_value(value, f"{where}[{i}]", is_name)
    place = {value: i for i, value in reversed([*enumerate(values)])}
    for i, value in enumerate(values):
        if place[value] != i:
            raise InputError(f"{where}[{i}]: {value!r} is also {where}[{place[value]}]")
    for short, long in pairwise(sorted(values)):  # the values that begin so come right after it
        if long.startswith(short):
            raise InputError(
                f"{where}[{place[short]}]: {short!r} is the beginning of {long!r}, "
                f"{where}[{place[long]}]"
            )


def check_value(value: str, where: str, is_name: bool = False) -> None:
    """Raises if one value breaks a rule of `check_list`.

    Raises:
        InputError: names the rule and the place.
    """
    if not value:
        raise InputError(f"{where}: an empty value")
    if is_name and not value.isalpha():
        raise InputError(f"{where}: a part of a name must be one word of letters, got {value!r}")
    for character in value:
        if not character.isalnum() and character not in _INSIDE:
            raise InputError(
                f"{where}: {value!r} has the character {character!r}; allowed are letters, "
                "digits, single spaces and , ' . & -"
            )
    if value[0].islower() or not value[0].isalnum():
        raise InputError(f"{where}: {value!r} must begin with a capital letter or a digit")
    try:
        *before, last = words(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if "." in before or any("." in word and word not in ABBREVIATIONS for word in before):
        known = ", ".join(sorted(ABBREVIATIONS))
        raise InputError(f"{where}: {value!r} has a full stop in another word than {known}")
    if last != "'s" and (last in MARKS or "." in last or f"{last}." in ABBREVIATIONS):
        raise InputError(
            f"{where}: {value!r} ends in {last!r}, which runs into the full stop of a sentence"
        )
