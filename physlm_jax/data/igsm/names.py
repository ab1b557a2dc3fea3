"""The names of the iGSM world: chains of categories from coarse to fine, and what is in each.

A problem says how many of one thing another thing has ("each Schooner's Galley"). The things are
items; an item belongs to a category, a layer of the chain, and within it to a sub-category, a
group of related items that nothing in a problem's text states: a model has to learn it. The
structure (4 chains of 4 categories, 5 sub-categories each, 20 items in each) is that of the paper,
where a problem draws its items from one chain; the names in `names.json` are this project's own. A
user's own file has the same form:

    {"chains": [{"name": "Voyage", "categories": [
        {"name": "Ship", "subcategories": {"Small Boats": ["Canoe", "Kayak", ...], ...}}, ...]}]}

`check` holds what the text of a problem needs to be read back without doubt. Drawing items,
building problems and wording sentences is the task of others.

Source: arXiv 2407.20311, section 2 (categories, items, the English of a problem).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from physlm_jax.data.igsm.name_rules import MIN_CHOSEN, check
from physlm_jax.data.json_file import read_json
from physlm_jax.errors import InputError, unknown

__all__ = ["Category", "Chain", "Names", "check", "load_names"]

_T = TypeVar("_T")

_KINDS: dict[type, str] = {list: "a list", dict: "an object", str: "a string"}


@dataclass(frozen=True)
class Category:
    """One layer of a chain.

    Attributes:
        name: the category's name, usable in a sentence like an item's.
        subcategories: the item names of each sub-category.
        labels: a title for each sub-category; it occurs in no problem.
    """

    name: str
    subcategories: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]

    @property
    def items(self) -> tuple[str, ...]:
        """The item names of all sub-categories, in order."""
        return tuple(item for group in self.subcategories for item in group)


@dataclass(frozen=True)
class Chain:
    """Categories from coarse to fine: an item has items of the category that comes next."""

    name: str
    categories: tuple[Category, ...]


@dataclass(frozen=True)
class Names:
    """All the chains that a world draws its problems from."""

    chains: tuple[Chain, ...]

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The names of all categories, in order."""
        return tuple(category.name for chain in self.chains for category in chain.categories)

    @cached_property
    def items(self) -> tuple[str, ...]:
        """The distinct item names, in order of first appearance."""
        categories = (category for chain in self.chains for category in chain.categories)
        return tuple(dict.fromkeys(item for category in categories for item in category.items))

    def select(
        self, chains: int = 0, categories: int = 0, subcategories: int = 0, items: int = 0
    ) -> Names:
        """Returns the names of a smaller world: the first so many of each, 0 for all.

        Args:
            chains: how many chains.
            categories: how many categories of every chain, at least 2.
            subcategories: how many sub-categories of every category.
            items: how many items of every sub-category, at least 2.
        Raises:
            InputError: there are not so many somewhere, or a count is below what `check` allows.
        """
        kept = tuple(
            replace(
                chain,
                categories=tuple(
                    _cut(c, subcategories, items) for c in _of_chain(chain, categories)
                ),
            )
            for chain in _first(self.chains, chains, "chains", "the list")
        )
        check(selected := Names(kept), items=MIN_CHOSEN)
        return selected


def _of_chain(chain: Chain, count: int) -> tuple[Category, ...]:
    return _first(chain.categories, count, "categories", f"chain {chain.name!r}")


def _cut(category: Category, subcategories: int, items: int) -> Category:
    where = f"category {category.name!r}"
    groups = _first(category.subcategories, subcategories, "sub-categories", where)
    labels = category.labels[: len(groups)]
    cut = tuple(
        _first(group, items, "items", f"{where}, sub-category {label!r}")
        for group, label in zip(groups, labels, strict=True)
    )
    return Category(category.name, cut, labels)


def _first(all_of: tuple[_T, ...], count: int, what: str, where: str) -> tuple[_T, ...]:
    if not 0 <= count <= len(all_of):
        raise InputError(f"{where}: {count} {what} asked for, allowed are 0 (all) to {len(all_of)}")
    return all_of[: count or None]


def load_names(path: str = "") -> Names:
    """Returns the project's own names, or those of a user's file, checked; each is read once.

    Args:
        path: a JSON file of the form that the module's docstring shows; "" for our own names.
    Raises:
        InputError: the file cannot be read, has another form, or breaks a rule of `check`; the
            message names the file and the place.
    """
    return _load(str(path))


@lru_cache(maxsize=16)
def _load(path: str) -> Names:
    where = path or "names.json"
    source = Path(path) if path else files("physlm_jax.data.igsm").joinpath("names.json")
    try:
        names = _from_json(read_json(source))
        check(names)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return names


def _from_json(entry: Any) -> Names:
    (chains,) = _fields(entry, ("chains",), "the file")
    return Names(
        tuple(_chain(c, f"chains[{i}]") for i, c in enumerate(_typed(chains, list, "chains")))
    )


def _chain(entry: Any, where: str) -> Chain:
    name, categories = _fields(entry, ("name", "categories"), where)
    inner = f"{where}.categories"
    layers = enumerate(_typed(categories, list, inner))
    return Chain(
        _typed(name, str, f"{where}.name"),
        tuple(_category(c, f"{inner}[{i}]") for i, c in layers),
    )


def _category(entry: Any, where: str) -> Category:
    name, groups = _fields(entry, ("name", "subcategories"), where)
    inner = f"{where}.subcategories"
    groups = _typed(groups, dict, inner)
    subcategories = tuple(_items(items, f"{inner}[{k!r}]") for k, items in groups.items())
    return Category(_typed(name, str, f"{where}.name"), subcategories, tuple(groups))


def _items(entry: Any, where: str) -> tuple[str, ...]:
    items = enumerate(_typed(entry, list, where))
    return tuple(_typed(item, str, f"{where}[{i}]") for i, item in items)


def _fields(entry: Any, keys: tuple[str, ...], where: str) -> list[Any]:
    entry = _typed(entry, dict, where)
    for key in entry:
        if key not in keys:
            raise unknown("key", key, keys, where)
    for key in keys:
        if key not in entry:
            raise InputError(f"{where}: the key '{key}' is missing")
    return [entry[key] for key in keys]


def _typed(value: Any, kind: type[_T], where: str) -> _T:
    if not isinstance(value, kind):
        expected = _KINDS[kind]
        raise InputError(f"{where}: expected {expected}, got {json.dumps(value)[:40]}")
    return value
