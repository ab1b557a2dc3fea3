"""What people can be called and what can be true of them: the lists that values are drawn from.

The lists in `pools.json` are this project's own, with the sizes of the papers: the names of people
are ordinary ones, birth and company cities are real, universities and employers invented. The
preset "full" is all of them, "mini" the first values of each list. A user's own file has the same
form, lists of strings and employers with the city of their headquarters:

    {"first": ["Mara", ...], "middle": [...], "last": [...], "birth_city": ["Duluth, MN", ...],
     "university": [...], "major": [...], "employer": [["Larkspur Systems", "Akron, OH"], ...]}

The company city is a function of the employer; the place of a major in its list is its luckiness.
Dates are 12 x 28 x 200 and pronouns two in every preset.

Source: arXiv 2309.14316, section 2 (fields); 2404.05405, section 2 (N0, S0); 2309.14402,
Results 3-6 (luckiness).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from physlm_jax.data.bios.pool_rules import check_list, check_value
from physlm_jax.data.json_file import read_json
from physlm_jax.errors import InputError, unknown

__all__ = ["ATTRIBUTES", "DAYS", "MINI", "MONTHS", "PRONOUNS", "YEARS", "Pools", "pools"]

# in the order of an unpermuted biography
ATTRIBUTES = ("birth_date", "birth_city", "university", "major", "employer", "company_city")
PARTS = ("first", "middle", "last")  # of a name
LISTS = (*PARTS, "birth_city", "university", "major", "employer")

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
DAYS = tuple(str(day) for day in range(1, 29))
YEARS = tuple(str(year) for year in range(1900, 2100))
PRONOUNS = ("He", "She")

# how many values of each list the preset "mini" keeps; its employers have 30 cities
MINI = dict(zip(LISTS, (40, 40, 100, 50, 50, 25, 60), strict=True))


@dataclass(frozen=True)
class Pools:
    """The values of every field; a person is an index into each.

    Attributes:
        first, middle, last: the parts of a name, one word each.
        birth_city, university, major, employer: the values; the index of a major is its luckiness.
        headquarters: for each employer the index of its city in `company_city`.
        company_city: the cities of the employers, in order of first appearance.
    """

    first: tuple[str, ...]
    middle: tuple[str, ...]
    last: tuple[str, ...]
    birth_city: tuple[str, ...]
    university: tuple[str, ...]
    major: tuple[str, ...]
    employer: tuple[str, ...]
    headquarters: tuple[int, ...]
    company_city: tuple[str, ...]

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """How many values each field has, parts of dates and pronouns included."""
        lists = {name: len(getattr(self, name)) for name in (*LISTS, "company_city")}
        dates = {"month": len(MONTHS), "day": len(DAYS), "year": len(YEARS)}
        return {**lists, **dates, "pronoun": len(PRONOUNS)}

    @property
    def names(self) -> int:
        """N0 of 2404.05405: how many full names there are."""
        return math.prod(self.sizes[part] for part in PARTS)

    @property
    def values(self) -> int:
        """S0 of 2404.05405: what can be true of a person; the company city adds nothing to it."""
        asked = ("pronoun", "month", "day", "year", "birth_city", "university", "major", "employer")
        return math.prod(self.sizes[field] for field in asked)

    def values_of(self, field: str) -> tuple[str, ...]:
        """Returns the values of a field of `sizes`, by name.

        Raises:
            InputError: no such field.
        """
        fixed = {"month": MONTHS, "day": DAYS, "year": YEARS, "pronoun": PRONOUNS}
        if field not in self.sizes:
            raise unknown("field", field, self.sizes, "the pools")
        return fixed[field] if field in fixed else getattr(self, field)


def pools(name: str = "full") -> Pools:
    """Returns the pools of a preset, or those of a user's file, checked; each is read once.

    Args:
        name: "full", "mini", or the path of a JSON file of the form in the module's docstring.
    Raises:
        InputError: no such preset; the file cannot be read, has another form, or breaks a rule of
            `pool_rules`. The message names the file and the place.
    """
    return _load(str(name))


@lru_cache(maxsize=16)
def _load(name: str) -> Pools:
    is_file = name.endswith(".json")
    if not is_file and name not in ("full", "mini"):
        raise unknown("pools", name, ("full", "mini", "PATH.json"))
    source = Path(name) if is_file else files("physlm_jax.data.bios").joinpath("pools.json")
    try:
        entry = _lists(read_json(source))
        if name == "mini":
            entry = {key: values[: MINI[key]] for key, values in entry.items()}
        return _pools(entry)
    except InputError as error:
        raise InputError(f"{name if is_file else 'pools.json'}: {error}") from None


def _lists(entry: Any) -> dict[str, list[Any]]:
    """The file's lists; what is in them is not looked at yet."""
    if not isinstance(entry, dict):
        raise InputError(f"expected an object of lists, got {json.dumps(entry)[:40]}")
    for key in entry:
        if key not in LISTS:
            raise unknown("list", key, LISTS, "the file")
    for key in LISTS:
        if not isinstance(entry.get(key), list):
            found = json.dumps(entry[key])[:40] if key in entry else "nothing"
            raise InputError(f"{key}: expected a list, got {found}")
    return {key: entry[key] for key in LISTS}


def _pools(entry: Mapping[str, list[Any]]) -> Pools:
    lists: dict[str, tuple[str, ...]] = {}
    for key in LISTS[:-1]:
        lists[key] = tuple(_string(value, f"{key}[{i}]") for i, value in enumerate(entry[key]))
        check_list(lists[key], key, is_name=key in PARTS)
    pairs = [_employer(pair, f"employer[{i}]") for i, pair in enumerate(entry["employer"])]
    check_list([employer for employer, _ in pairs], "employer")
    cities = tuple(dict.fromkeys(city for _, city in pairs))
    check_list(cities, "the cities of the employers")
    place = {city: i for i, city in enumerate(cities)}
    return Pools(
        **lists,
        employer=tuple(employer for employer, _ in pairs),
        headquarters=tuple(place[city] for _, city in pairs),
        company_city=cities,
    )


def _employer(pair: Any, where: str) -> tuple[str, str]:
    """An employer and its city, the latter checked here, where its place in the file is known."""
    if not isinstance(pair, list) or len(pair) != 2:
        given = json.dumps(pair)[:60]
        raise InputError(f"{where}: expected [employer, city of its headquarters], got {given}")
    employer, city = _string(pair[0], where), _string(pair[1], f"{where}, the city")
    check_value(city, f"{where}, the city of {employer!r}")
    return employer, city


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: expected a string, got {json.dumps(value)[:40]}")
    return value
