"""Where knowledge is stored: P-probing of biographies, Q-probing of names.

P-probing (positions) reads the places just before each of the six values of a biography, all with
one classifier: is an attribute told from the name on, or only where its own sentence stands?
Q-probing (queries) reads a name alone: is the attribute stored on the name? Probes (`storage_fit`)
are fitted on half of the people and tested on the others. Source: arXiv 2309.14316, sections 5, 6.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from physlm_jax.data.bios import BiosWorld
from physlm_jax.data.bios.pools import ATTRIBUTES
from physlm_jax.data.hashing import stream_key
from physlm_jax.errors import InputError, unknown
from physlm_jax.probes.fitting import option
from physlm_jax.probes.knowledge.storage_fit import FitConfig, Reading, fit, predict
from physlm_jax.probes.knowledge.storage_tasks import (
    Halves,
    People,
    Task,
    all_tasks,
    distinct,
    halves,
    places,
    truths,
)
from physlm_jax.probes.measurement import Cell, Measurement, joined

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run

KINDS = ("position", "query")
UPDATES = ("all", "end")
_AHEAD = 32  # batches that are written at once
_AT_ONCE = 2000  # people whose texts exist at once


@dataclass(frozen=True)
class Settings:
    """Flags of the entry point; the defaults are the paper's."""

    kinds: tuple[str, ...] = option(KINDS, "probes: " + ", ".join(KINDS))
    tasks: tuple[str, ...] = option((), "such as 'employer whole', 'birth date first'; all: all 11")
    steps: int = option(30_000, "updates; 500 or so on a laptop")
    position_batch: int = option(50, "people per update, of positions")
    query_batch: int = option(200, "people per update, of queries")
    position_rank: int = option(2, "of the embedding's update, of positions")
    query_rank: int = option(16, "of the embedding's update, of queries")
    query_update: str = option(
        "all", "rows of the embedding: all, or end (the last symbol's alone)"
    )
    learning_rate: float = option(1e-3, "of AdamW(.9, .999), falling to 0")
    weight_decay: float = option(0.3, "of AdamW")
    dropout: float = option(0.1, "of what the classifier reads, while it is fitted")
    count: int = option(1000, "people to test on; 0: all", least=0)
    sets: bool = option(False, "positions: also by the set of attributes already seen")
    seed: int = option(0, "of texts, their order and starts")

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise unknown("kind", kind, KINDS, "storage probes")
        if self.query_update not in UPDATES:
            raise unknown("query_update", self.query_update, UPDATES, "storage probes")
        if self.count < 0:
            raise InputError(f"storage: count must be 0 or more, got {self.count}")

    def fitting(self, kind: str, end: int) -> FitConfig:
        """How probes of one kind are fitted; end: the symbol that ends a name."""
        rank, norm, batch = {
            "position": (self.position_rank, "layer", self.position_batch),
            "query": (self.query_rank, "batch", self.query_batch),
        }[kind]
        rest = (self.steps, self.learning_rate, self.weight_decay, self.dropout, self.seed)
        updated = (end,) if kind == "query" and self.query_update == "end" else ()
        return FitConfig(rank, norm, batch, *rest, updated)


def reading(
    kind: str, people: People, who: np.ndarray, tasks: tuple[Task, ...], seed: int
) -> tuple[Reading, np.ndarray]:
    """Returns people's texts as a probe reads them, and which attribute follows each place."""
    truth = truths(people, who, tasks)
    if kind == "query":
        names = people.names(who)
        last = (names.lengths - 1).astype(np.int32)[:, None]
        return Reading(names, last, truth), np.zeros_like(last)
    texts = people.entries(who, seed)
    where, follows = places(texts)
    return Reading(texts, where, truth), follows


def batches(
    kind: str, people: People, tasks: tuple[Task, ...], size: int, seed: int
) -> Iterator[Reading]:
    """Goes through the people in passes, each in an order of its own; `size` at a time."""
    key = stream_key(seed, "storage", kind)
    rng, left = np.random.default_rng(key), np.zeros(0, np.int64)
    for number in itertools.count():
        while len(left) < _AHEAD * size:
            left = np.concatenate([left, rng.permutation(people.some.n)])
        who, left = np.split(left, [_AHEAD * size])
        many, _ = reading(kind, people, who, tasks, stream_key(key, number))
        for lo in range(0, len(who), size):
            part = slice(lo, lo + size)
            yield Reading(many.texts.slice(lo, lo + size), many.places[part], many.truth[part])


def _everybody(kind: str, people: People, tasks: tuple[Task, ...], seed: int) -> Iterator[Reading]:
    for lo in range(0, people.some.n, _AT_ONCE):
        who = np.arange(lo, min(lo + _AT_ONCE, people.some.n))
        yield reading(kind, people, who, tasks, stream_key(seed, "statistics", lo))[0]


@dataclass(frozen=True)
class Found:
    """What probes said of people who are new to them.

    Attributes:
        tasks: K, in the order of the last axis.
        right: bool[N, P, K].  follows: int[N, P], the attribute whose value follows each place.
        truth: int[N, K].  fitted: float[P, K], share of right answers on people fitted on.
    """

    tasks: tuple[Task, ...]
    right: np.ndarray
    follows: np.ndarray
    truth: np.ndarray
    fitted: np.ndarray

    def majority(self, k: int) -> float:
        """The share of the commonest class: what guessing gets right."""
        return float(np.bincount(self.truth[:, k]).max() / len(self.truth))

    def by_set(self, k: int) -> dict[str, dict[str, Any]]:
        """Right answers before the attribute was told, by the set of those that were told.

        Source: arXiv 2309.14316, section 5, the refinement on couples.
        """
        hits, n = Counter[str](), Counter[str]()
        for right, follows in zip(self.right[:, :, k], self.follows, strict=True):
            for place in range(list(follows).index(self.tasks[k].attribute) + 1):
                told = sorted(follows[:place].tolist())
                key = "+".join(ATTRIBUTES[a] for a in told) or "nothing"
                hits[key] += int(right[place])
                n[key] += 1
        return {key: {"n": n[key], "right": hits[key] / n[key]} for key in sorted(n)}


def probed(run: Run, kind: str, tasks: tuple[Task, ...], people: Halves, s: Settings) -> Found:
    """Returns what probes of one kind, fitted on half of the people, say of the others.

    Args:
        tasks: to be fitted, side by side.
    Raises:
        InputError: texts longer than the model reads.
    """
    config = s.fitting(kind, run.world.vocabulary.eos)
    probes = fit(
        dataclasses.replace(config, batch=min(config.batch, people.train.some.n)),
        run.model,
        run.params,
        tuple(task.size for task in tasks),
        batches(kind, people.train, tasks, min(config.batch, people.train.some.n), s.seed),
        lambda: _everybody(kind, people.train, tasks, s.seed),
    )
    test, follows = _sampled(kind, people.test, tasks, s, "tests")
    old, _ = _sampled(kind, people.train, tasks, s, "fitted")
    right = [
        predict(run.model, run.params, probes, one) == one.truth[:, None] for one in (test, old)
    ]
    return Found(tasks, right[0], follows, test.truth, right[1].mean(0))


def _sampled(
    kind: str, people: People, tasks: tuple[Task, ...], s: Settings, use: str
) -> tuple[Reading, np.ndarray]:
    """As many people as are tested; see `reading`."""
    n, key = people.some.n, stream_key(s.seed, use)
    who = np.sort(np.random.default_rng(key).permutation(n)[: s.count or n])
    return reading(kind, people, who, tasks, key)


def wanted(names: tuple[str, ...], world: BiosWorld) -> tuple[Task, ...]:
    """Returns the tasks of these names; all for none.

    Raises:
        InputError: no such task.
    """
    every = {task.name: task for task in all_tasks(world.biographies)}
    for name in names:
        if name not in every:
            raise unknown("task", name, every, "storage probes")
    return tuple(every[name] for name in dict.fromkeys(names)) or tuple(every.values())


def measure(run: Run, settings: Settings) -> Measurement:
    """Returns how often probes tell the attributes of people they were not fitted on.

    Raises:
        InputError: another world than biographies; no such kind or task; settings out of range.
    """
    if not isinstance(run.world, BiosWorld):
        raise InputError(f"{type(run.world).__name__} has no people: storage needs world 'bios'")
    asked = wanted(settings.tasks, run.world)
    fitted, answers = distinct(asked)
    people, rows, data = halves(run.world), list[tuple[Cell, ...]](), dict[str, Any]()
    for kind in settings.kinds or KINDS:
        found = probed(run, kind, fitted, people, settings)
        data[kind] = {}
        for task in asked:
            k = [one.name for one in fitted].index(answers[task.name])
            data[kind][task.name] = _figures(found, k, settings.sets and kind == "position")
            own = data[kind][task.name]
            shares = (own["right"] + [None] * len(ATTRIBUTES))[: len(ATTRIBUTES)]
            rows.append((kind, task.name, task.size, own["majority"], *shares))
    header = ("probe", "task", "classes", "guess", *map(str, range(1, len(ATTRIBUTES) + 1)))
    name = "storage" + (f"-{joined(settings.kinds)}" if settings.kinds not in ((), KINDS) else "")
    return Measurement(
        name,
        header,
        tuple(rows),
        {
            "settings": dataclasses.asdict(settings),
            "fitted_on": people.train.some.n,
            "probes": data,
        },
    )


def _figures(found: Found, k: int, sets: bool) -> dict[str, Any]:
    """A task's figures: right at each place; where the attribute itself follows; guessing."""
    right = found.right[:, :, k]
    figures: dict[str, Any] = {
        "n": len(right),
        "classes": found.tasks[k].size,
        "majority": found.majority(k),
        "right": right.mean(0).tolist(),
        "right_on_fitted": found.fitted[:, k].tolist(),
    }
    if right.shape[1] > 1:
        own = found.follows == found.tasks[k].attribute
        figures["right_before_own"] = float(right[own].mean())
        figures["right_before_any"] = float(right[:, 0].mean())
    if sets:
        figures["by_set"] = found.by_set(k)
    return figures
