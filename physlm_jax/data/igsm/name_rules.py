"""What names must keep to for the text of a problem to be read back without doubt.

Three kinds of rules: the form of one name (its words, its characters), the sizes of the structure,
and the distinctness of names and of the phrases "X's Y" that they form. Names of different chains
may be equal, as a problem uses one chain alone.

Source: this project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from physlm_jax.errors import InputError

if TYPE_CHECKING:
    from physlm_jax.data.igsm.names import Category, Chain, Names

MIN_CATEGORIES = 2  # a chain of one layer has nothing that has something
MIN_ITEMS = 4  # a layer of a problem may hold so many items of one sub-category
MIN_CHOSEN = 2  # of lists cut for narrower layers: the narrowest
FORBIDDEN = frozenset(["define", "as", "back", "so", "each"])  # as a word of a name, in any case
# The words of the sentences themselves: forbidden as a whole name, in any case.
_SENTENCES = """The number of each equals more than the sum and difference times as much
How many does have Define as so"""
FIXED = frozenset(_SENTENCES.lower().split())

_WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*('s)?")
_OWNS = "'s "  # between the two names of a quantity, and rarely inside a name


def check(names: Names, items: int = MIN_ITEMS) -> None:
    """Raises if the names break a rule; returns nothing.

    The rules: at least one chain, 2 categories a chain, one sub-category a category, 4 items a
    sub-category; words of letters and hyphens, of two characters or more, with one space between
    them, of which any but the last may end in "'s"; none of the words of `FORBIDDEN` and no name
    of `FIXED`; names of chains and of categories distinct everywhere, names of items and categories
    within a chain; no phrase "X's Y", X an item and Y an item or category of a later layer, that
    can be read as another such phrase.

    Args:
        items: the fewest of a sub-category.
    Raises:
        InputError: a rule is broken; the message names the chain, category, sub-category and name.
    """
    if not names.chains:
        raise InputError("no chain; at least 1 is needed")
    _check_distinct((chain.name, "the list") for chain in names.chains)
    _check_distinct(
        (category.name, _place(chain)) for chain in names.chains for category in chain.categories
    )
    for chain in names.chains:
        _check_sizes(chain, items)
        named = list(_named(chain))
        for name, where in named:
            _check_form(name, where)
        _check_distinct(iter(named))
        _check_phrases(chain)


def _place(chain: Chain, category: Category | None = None, label: str = "") -> str:
    of_category = f", category {category.name!r}" if category else ""
    of_label = f", sub-category {label!r}" if label else ""
    return f"chain {chain.name!r}{of_category}{of_label}"


def _named(chain: Chain) -> Iterator[tuple[str, str]]:
    """Every category name and item name of a chain, with its place."""
    for category in chain.categories:
        yield category.name, _place(chain, category)
        for label, group in zip(category.labels, category.subcategories, strict=True):
            for item in group:
                yield item, _place(chain, category, label)


def _check_sizes(chain: Chain, items: int) -> None:
    _at_least(MIN_CATEGORIES, len(chain.categories), "categories", _place(chain))
    for category in chain.categories:
        where = _place(chain, category)
        _at_least(1, len(category.subcategories), "sub-categories", where)
        if len(category.labels) != len(category.subcategories):
            raise InputError(
                f"{where}: {len(category.labels)} labels for "
                f"{len(category.subcategories)} sub-categories"
            )
        for label, group in zip(category.labels, category.subcategories, strict=True):
            _at_least(items, len(group), "items", _place(chain, category, label))


def _at_least(needed: int, got: int, what: str, where: str) -> None:
    if got < needed:
        raise InputError(f"{where}: {got} {what}; at least {needed} needed")


def _check_form(name: str, where: str) -> None:
    words = name.split(" ")
    if not all(words):
        raise InputError(f"{where}: {name!r} is not words with exactly one space between them")
    for i, word in enumerate(words):
        match = _WORD.fullmatch(word)
        if not match or (match[1] and i == len(words) - 1):
            raise InputError(
                f"{where}: {word!r} in the name {name!r} is not a word of letters A-Z, a-z and "
                "inner hyphens (any but the last word of a name may end in 's)"
            )
        if len(word.removesuffix("'s")) == 1:
            raise InputError(f"{where}: the name {name!r} has a word of one letter, {word!r}")
        if word.removesuffix("'s").lower() in FORBIDDEN:
            raise InputError(
                f"{where}: the name {name!r} contains {word!r}, a word of the solutions"
            )
    if name.lower() in FIXED:
        raise InputError(f"{where}: the name {name!r} is a word that the sentences are built of")


def _check_distinct(named: Iterator[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    for name, where in named:
        if name in first:
            raise InputError(f"{where}: the name {name!r} occurs before, in {first[name]}")
        first[name] = where


def _check_phrases(chain: Chain) -> None:
    """Two phrases are equal if one cuts inside the other's X: only names with an inner "'s" can.

    Let x + "'s " + y = long + "'s " + rest with x the shorter owner: long is x + "'s " + middle,
    and y is middle + "'s " + rest.
    """
    owners = {name: k for k, c in enumerate(chain.categories) for name in c.items}
    owned = owners | {category.name: k for k, category in enumerate(chain.categories)}
    composed = [name for name in owned if _OWNS in name]
    for long in composed:
        for x, middle in _cuts(long):
            for y in composed:
                rest = y.removeprefix(middle + _OWNS)
                if rest == y or x not in owners or long not in owners or rest not in owned:
                    continue
                if owners[x] < owned[y] and owners[long] < owned[rest]:
                    raise InputError(
                        f"{_place(chain)}: {long + _OWNS + rest!r} can be read as {x!r} with {y!r} "
                        f"and as {long!r} with {rest!r}"
                    )


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    """The two sides of every "'s " in a name."""
    parts = name.split(_OWNS)
    for i in range(1, len(parts)):
        yield _OWNS.join(parts[:i]), _OWNS.join(parts[i:])
