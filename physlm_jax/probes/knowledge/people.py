"""Groups of people and their biographies, as subjects of capacity.

- A part is the first stretch of its role: names that come again are copies, and so is the gender
  after the first pronoun.
- The company city follows from the employer and is no knowledge of its own; where its sentence
  comes first, it gives the employer nearly away: such an employer is not read (`strict`).
- The pools are prefix-free, so that the tokens of a value are its whole loss.

Source: arXiv 2404.05405, section 3 and its remark 3.1; section 6.3 of knowledge.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from physlm_jax.data.bios import Biographies, BiosWorld
from physlm_jax.data.bios.capacity import Bits, bios_bits
from physlm_jax.data.bios.people import Population
from physlm_jax.data.bios.used import used_ids
from physlm_jax.data.bios.variants import as_variant
from physlm_jax.data.bios.writing import BIRTH_DATE, GENDER, NAME, ROLES
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError
from physlm_jax.probes.knowledge.subject import NOTHING, Asked


@dataclass(frozen=True)
class BiosGroup:
    """People of a biography world; see `Subject`.

    Attributes:
        world: the biographies.  group: which group of them.
        strict: read employers only where they come before the company city.
        seed: of wordings, where they are fresh.

    Raises:
        InputError: texts that do not begin with the name.
    """

    world: Biographies
    group: int
    strict: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if as_variant(self.label).name_at:
            raise InputError(
                f"capacity: biographies of '{self.label}' do not begin with the name, so that the "
                "loss of a name is not that of a name alone"
            )

    @property
    def people(self) -> Population:
        """The group."""
        return self.world.groups[self.group]

    @property
    def label(self) -> str:
        """The variant."""
        return self.world.variants[self.group]

    @property
    def n(self) -> int:
        """N."""
        return self.people.n

    @property
    def kinds(self) -> int:
        """Entries of a person; 0: of multi-infinity."""
        return as_variant(self.label).entries

    @property
    def parts(self) -> tuple[str, ...]:
        """The roles of `writing.ROLES` but "other"; no pronoun where no text has one."""
        return ROLES[1:] if not as_variant(self.label).fullname else ROLES[1:GENDER]

    @property
    def counted(self) -> tuple[str, ...]:
        """All parts but the company city."""
        return tuple(part for part in self.parts if part != "company city")

    @property
    def known(self) -> tuple[str, ...]:
        """The five attributes that the paper counts people by."""
        return ROLES[BIRTH_DATE : BIRTH_DATE + 5]

    def texts(self, members: np.ndarray, draw: int) -> Ragged:
        """See `Subject`; draws of fixed texts are a person's entries in turn."""
        shown = np.empty((len(members), 3), np.int64)
        shown[:, 0], shown[:, 1], shown[:, 2] = self.group, members, draw
        whole = self.world.entries(shown, self.seed)
        return marked(whole, self.parts, "employer" if self.strict else "")

    def bits(self, losses: Mapping[str, float], heads: Mapping[str, float], params: int) -> Bits:
        """See `Subject`; bioS(N) of section 6.2."""
        lists = self.people.lists
        values = lists.values // (1 if "pronoun" in self.parts else lists.sizes["pronoun"])
        rest = sum(losses[part] for part in self.counted[1:])
        return bios_bits(self.n, lists.names, values, losses["name"], rest, params)

    def ceilings(self) -> Mapping[str, float]:
        """See `Subject`."""
        sizes = self.people.lists.sizes
        fields = {part: part.replace(" ", "_") for part in self.parts[1:]}
        found = {part: np.log2(sizes[f]) for part, f in fields.items() if f in sizes}
        found["birth date"] = np.log2(sizes["month"] * sizes["day"] * sizes["year"])
        found["name"] = np.log2(self.people.lists.names / self.n)
        return {part: float(found[part]) for part in self.counted}


def marked(whole: Ragged, parts: tuple[str, ...], strict: str = "") -> Ragged:
    """Returns biographies without their last symbol, their roles as labels of `Subject.texts`.

    Args:
        whole: of `Biographies.entries`.
        strict: a part that is left out where the company city comes before it; "": none.
    """
    keep = np.ones(len(whole.tokens), bool)
    keep[whole.offsets[1:] - 1] = False
    offsets = whole.offsets - np.arange(len(whole) + 1)
    role = whole.role[keep].astype(np.int16)
    example = np.repeat(np.arange(len(whole)), np.diff(offsets))
    begins = np.ones(len(role), bool)
    begins[1:] = (role[1:] != role[:-1]) | (example[1:] != example[:-1])
    starts = np.flatnonzero(begins)
    address = example[starts] * len(ROLES) + role[starts]
    _, first = np.unique(address, return_index=True)  # stretch of each role in each example
    is_first = np.zeros(len(starts), bool)
    is_first[first] = True
    here = is_first[np.cumsum(begins) - 1] & (role >= NAME) & (role <= len(parts))
    part = np.where(here, role - NAME, NOTHING).astype(np.int16)
    if strict:
        part[_given_away(part, example, parts.index(strict), parts.index("company city"))] = NOTHING
    return Ragged(whole.tokens[keep], offsets, {"part": part, "head": begins & (part != NOTHING)})


def _given_away(part: np.ndarray, example: np.ndarray, late: int, early: int) -> np.ndarray:
    """bool[total]: tokens of the part `late` in examples where the part `early` comes before it."""
    place = np.full((2, example[-1] + 1), -1)
    for row, wanted in zip(place, (late, early), strict=True):
        tokens = np.flatnonzero(part == wanted)
        row[example[tokens]] = tokens  # the last of them
    return (part == late) & (place[1] < place[0])[example]


def groups(world: BiosWorld, strict: bool, seed: int) -> Asked:
    """Returns the groups of a world; see `subjects.asked`."""
    told = world.biographies
    found = tuple(BiosGroup(told, g, strict, seed) for g in range(len(told.groups)))
    return Asked(found, len(np.union1d(used_ids(told), used_ids(world.stream))))
