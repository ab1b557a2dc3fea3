"""What storage probes are asked and on which texts: values as classes, people, places.

Eleven tasks: the first token of each of six attributes (of the birth date the month), and the whole
value of all but the birth date. Where every value of a pool begins with another token, both are one
task. Source: arXiv 2309.14316, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from physlm_jax.data.bios import Biographies, BiosWorld
from physlm_jax.data.bios.lexicon import DOMAIN, lexicon
from physlm_jax.data.bios.people import FIRST, LAST, MIDDLE, NAMED, Population
from physlm_jax.data.bios.pools import ATTRIBUTES
from physlm_jax.data.bios.variants import as_variant
from physlm_jax.data.bios.world import parted
from physlm_jax.data.bios.writing import ROLES
from physlm_jax.data.hashing import stream_key
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError
from physlm_jax.probes.knowledge.people import marked

FIRST_TOKEN, WHOLE = "first", "whole"


@dataclass(frozen=True)
class Task:
    """One thing that a probe is to tell.

    Attributes:
        name: such as "employer whole".  attribute: a place in `pools.ATTRIBUTES`.
        field: of a person, see `people`.
        classes: int[values of the field], the class of each.
    """

    name: str
    attribute: int
    field: int
    classes: np.ndarray

    @property
    def size(self) -> int:
        """M: classes."""
        return int(self.classes.max()) + 1


@dataclass(frozen=True)
class People:
    """Some people of one group of a world.

    Attributes:
        world: the biographies of all.  some: who; of group `group` from its member `first` on.
    """

    world: Biographies
    some: Population
    group: int
    first: int

    @classmethod
    def of(cls, world: Biographies, some: Population) -> People:
        """Finds them in their group."""
        for number, group in enumerate(world.groups):
            first = some.start - group.start
            if first >= 0 and first + some.n <= group.n:
                return cls(world, some, number, first)
        raise InputError("bios: people to probe who have no biographies")

    def entries(self, who: np.ndarray, seed: int) -> Ragged:
        """Returns a biography of each of these people, drawn from theirs; labels as of `marked`.

        Args:
            who: 0 <= who < n.  seed: of the drawing; of wordings, where they are fresh.
        """
        kinds = as_variant(self.world.variants[self.group]).entries
        rng = np.random.default_rng(stream_key(seed, "entries"))
        shown = np.empty((len(who), 3), np.int64)
        shown[:, 0], shown[:, 1] = self.group, self.first + who
        shown[:, 2] = rng.integers(0, kinds or 2**31, len(who))
        whole = self.world.entries(shown, stream_key(seed, "wording") >> 1)
        return marked(whole, ROLES[1:])

    def names(self, who: np.ndarray) -> Ragged:
        """Returns the start, the full name and the end, which are one symbol, of each."""
        parts, speller = lexicon(self.some.pools), self.world.vocabulary
        fields = self.some.fields(who)[:, [FIRST, MIDDLE, LAST]]
        starts = np.array([parts.starts[NAMED[f]] for f in (FIRST, MIDDLE, LAST)])
        pieces = starts + fields
        ids, lengths = speller.spell(pieces.reshape(-1))
        each = np.full(len(who), 3) if lengths is None else lengths.reshape(-1, 3).sum(1)
        front = [speller.eos] + [speller.role(parts.special(DOMAIN))] * self.world.marked
        cut = np.split(ids, np.cumsum(each)[:-1])
        return Ragged.from_sequences([[*front, *name.tolist(), speller.eos] for name in cut])


class Halves(NamedTuple):
    """People to fit a probe on, and others to test it on."""

    train: People
    test: People


def halves(world: BiosWorld) -> Halves:
    """Returns those with questions in training and those without; if none has, halves of a group.

    Raises:
        InputError: a single person.
    """
    told = world.biographies
    train, test = world.tasks.people if world.tasks else None, world.held_out
    if train is None or test is None:
        train, test = parted(told.groups, 0)
    return Halves(People.of(told, train), People.of(told, test))


def all_tasks(world: Biographies) -> tuple[Task, ...]:
    """Returns the eleven tasks, those on first tokens first."""
    parts, spelling = lexicon(world.groups[0].pools), world.vocabulary.spelling
    lists = world.groups[0].lists
    first, whole = [], []
    for number, attribute in enumerate(ATTRIBUTES):
        name = "month" if attribute == "birth_date" else attribute
        field, values = NAMED.index(name), np.arange(lists.sizes[name])
        ids = [spelling[parts.starts[name] + v][0] for v in values]
        _, begins = np.unique(ids, return_inverse=True)
        role = attribute.replace("_", " ")
        first.append(Task(f"{role} {FIRST_TOKEN}", number, field, begins))
        if attribute != "birth_date":
            whole.append(Task(f"{role} {WHOLE}", number, field, values))
    return (*first, *whole)


def distinct(tasks: tuple[Task, ...]) -> tuple[tuple[Task, ...], dict[str, str]]:
    """Returns the tasks of which no two have one answer, and which of them answers each task."""
    kept: dict[tuple[int, int], Task] = {}
    answers = {}
    for task in tasks:
        answers[task.name] = kept.setdefault((task.field, task.size), task).name
    return tuple(kept.values()), answers


def truths(people: People, who: np.ndarray, tasks: tuple[Task, ...]) -> np.ndarray:
    """int32[len(who), tasks]: the right classes."""
    fields = people.some.fields(who)
    return np.stack([task.classes[fields[:, task.field]] for task in tasks], 1).astype(np.int32)


def places(texts: Ragged) -> tuple[np.ndarray, np.ndarray]:
    """Where biographies are read: just before the first token of each value, in their order.

    Returns:
        int32[texts, 6], tokens before the end of each text's beginning;
        int32[texts, 6], the attribute whose value follows each.
    """
    here = np.flatnonzero(texts.head & (texts.part >= 1) & (texts.part <= len(ATTRIBUTES)))
    example = np.searchsorted(texts.offsets, here, side="right") - 1
    shape = (len(texts), len(ATTRIBUTES))
    before = (here - 1 - texts.offsets[example]).reshape(shape)
    return before.astype(np.int32), (texts.part[here] - 1).astype(np.int32).reshape(shape)
