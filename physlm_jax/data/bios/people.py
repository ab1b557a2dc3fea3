"""People: any number of them, with different full names, none of them stored.

Person i of a population is computed: the name is place i of a keyed permutation of all first,
middle and last names; every other field is drawn from its pool. The company's city is a function
of the employer. Source: arXiv 2309.14316, section 2.1; section 1.1 of knowledge.md (two pronouns,
drawn at random).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from physlm_jax.data.bios.pools import Pools, pools
from physlm_jax.data.compiled import compiled, draw_below, mix_word
from physlm_jax.data.hashing import stream_key
from physlm_jax.data.permutation import permuted_one
from physlm_jax.errors import InputError

FIRST, MIDDLE, LAST, MONTH, DAY, YEAR, CITY, UNIVERSITY, MAJOR, EMPLOYER, COMPANY_CITY, PRONOUN = (
    range(12)
)
FIELDS = 12
NAMED = (  # the fields' names in `Pools`
    *("first", "middle", "last", "month", "day", "year", "birth_city", "university", "major"),
    *("employer", "company_city", "pronoun"),
)


class Sizes(NamedTuple):
    """What people are drawn from, for compiled code.

    Attributes:
        sizes: int64[10], of the pools FIRST..EMPLOYER.
        headquarters: int64[employers], the company city of each.
        name_key, value_key: of this population's draws.
    """

    sizes: np.ndarray
    headquarters: np.ndarray
    name_key: np.uint64
    value_key: np.uint64


@dataclass(frozen=True)
class Person:
    """One person's record.

    Attributes:
        number: in the population (its offset included), from 0.
        fields: places in the pools, FIRST..PRONOUN.
        key: of what is drawn for this person.
        pools: what the places are of.
    """

    number: int
    fields: tuple[int, ...]
    key: int
    pools: str

    def _of(self, field: int) -> str:
        return pools(self.pools).values_of(NAMED[field])[self.fields[field]]

    @property
    def name(self) -> str:
        """First, middle and last name."""
        return " ".join(map(self._of, (FIRST, MIDDLE, LAST)))

    @property
    def birth_date(self) -> str:
        """As in "October 2, 1996"."""
        return f"{self._of(MONTH)} {self._of(DAY)}, {self._of(YEAR)}"

    @property
    def birth_city(self) -> str:
        """With its state."""
        return self._of(CITY)

    @property
    def university(self) -> str:
        """Its full name."""
        return self._of(UNIVERSITY)

    @property
    def major(self) -> str:
        """Field of study."""
        return self._of(MAJOR)

    @property
    def luckiness(self) -> int:
        """Place of the major in its list, from 0 (Part 3.2's made-up attribute)."""
        return self.fields[MAJOR]

    @property
    def employer(self) -> str:
        """A company."""
        return self._of(EMPLOYER)

    @property
    def company_city(self) -> str:
        """Where the employer is, with its state."""
        return self._of(COMPANY_CITY)

    @property
    def pronoun(self) -> str:
        """ "He" or "She"."""
        return self._of(PRONOUN)


@dataclass(frozen=True)
class Population:
    """N people with different full names.

    Attributes:
        n: N.  seed: of who they are.  pools: "full", "mini" or a file of one's own.
        start: people of the same seed before these: groups that do not overlap share no names.

    Raises:
        InputError: more people than names.
    """

    n: int
    seed: int = 0
    pools: str = "full"
    start: int = 0

    def __post_init__(self) -> None:
        names = self.lists.names
        if self.n < 1 or self.start < 0 or self.start + self.n > names:
            raise InputError(
                f"bios: people must be 1..{names}, as many as pools '{self.pools}' have full "
                f"names, got {self.n}" + (f" from {self.start} on" if self.start else "")
            )

    @property
    def lists(self) -> Pools:
        """The pools themselves."""
        return pools(self.pools)

    @property
    def sizes(self) -> Sizes:
        """For compiled code."""
        sizes = np.array([self.lists.sizes[name] for name in NAMED[:COMPANY_CITY]], np.int64)
        keys = (np.uint64(stream_key(self.seed, use)) for use in ("names", "values"))
        return Sizes(sizes, np.array(self.lists.headquarters, np.int64), *keys)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Person:
        """Person i, -n <= i < n."""
        if not -self.n <= i < self.n:
            raise IndexError(f"person {i} of {self.n}")
        number = self.start + i % self.n
        fields, keys = _people(self.sizes, np.array([number]))
        return Person(number, tuple(fields[0].tolist()), int(keys[0]), self.pools)

    def fields(self, index: np.ndarray) -> np.ndarray:
        """int32[len(index), 12]: places in the pools FIRST..PRONOUN of people 0 <= index < n."""
        return _people(self.sizes, self.start + np.asarray(index, np.int64))[0]


@compiled
def draw_person(sizes: Sizes, number: int, fields: np.ndarray) -> np.uint64:
    """Writes a person's places in the pools, [12]; returns the person's key."""
    first, middle, last = sizes.sizes[:3]
    place = permuted_one(number, first * middle * last, sizes.name_key)
    fields[FIRST] = place % first
    fields[MIDDLE] = place // first % middle
    fields[LAST] = place // (first * middle)
    key = mix_word(mix_word(np.uint64(number)) ^ sizes.value_key)
    state = np.empty(1, np.uint64)
    state[0] = key
    for field in range(MONTH, COMPANY_CITY):
        fields[field] = draw_below(state, sizes.sizes[field])
    fields[COMPANY_CITY] = sizes.headquarters[fields[EMPLOYER]]
    fields[PRONOUN] = draw_below(state, 2)
    return mix_word(key)


@compiled
def _people(sizes: Sizes, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fields = np.empty((len(numbers), FIELDS), np.int32)
    keys = np.empty(len(numbers), np.uint64)
    for i in range(len(numbers)):
        keys[i] = draw_person(sizes, numbers[i], fields[i])
    return fields, keys
