"""A small world of biographies with questions that ask backwards (section 4.2 in miniature).

A biography begins with the full name; a sentence on each of date, city, studies and work follows in
random order, worded anew at every exposure. Half the people also have questions in the training
set, which are never reversed; the others are asked. Task names as in Physics of Language Models,
Part 3.2: what is given, and which part of the name is wanted.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from physlm_jax.data.hashing import below, mix, stream_key
from physlm_jax.data.permutation import permuted
from physlm_jax.data.questions import Questions
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.reversal.source import special
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError, unknown


def _joined(heads: str, tails: str) -> list[str]:
    return [h + t for h in heads.split() for t in tails.split()]


POOLS: dict[str, list[list[str]]] = {
    "first": [
        [n] for n in _joined("Mar Tel Bren Os Lin Cor Vel Jas Den Ro Hal Ni", "a in o ys ett")
    ],
    "middle": [
        [n] for n in _joined("Ald Fen Gar Hol Ir Ked Lor Mor Ness Per Quin Rav", "ra en is ol um")
    ],
    "last": [
        [n]
        for n in _joined(
            "Thorn Whit Ash Black Stone Rush Fair Hart Marsh Wood Clay North Pen Sand Wren Cross",
            "by well more field gate",
        )
    ],
    "city": [
        *(["Fort", n] for n in ("Dune", "Amber", "Kestrel", "Linden")),
        *(["Port", n] for n in ("Selwyn", "Marrow", "Calder", "Isle")),
        *([n] for n in _joined("Brook Glen Elm Silver", "ford haven ton")),
    ],
    "university": [
        *(["University", "of", n] for n in ("Arden", "Belmark", "Corvane", "Dellmoor")),
        *([n, "College"] for n in ("Easton", "Farrow", "Greyhall", "Hawthorn")),
        *([n, "Institute"] for n in ("Ivory", "Juniper", "Kelso", "Larkspur")),
    ],
    "major": [
        ["applied", "botany"],
        ["music", "theory"],
        ["civil", "engineering"],
        ["marine", "biology"],
        ["art", "history"],
        *([n] for n in ("chemistry", "economics", "geology", "linguistics", "physics")),
        *([n] for n in ("philosophy", "statistics", "nursing", "astronomy", "law")),
    ],
    "employer": [
        *([n, "Motors"] for n in ("Alder", "Bright", "Copper")),
        *([n, "Foods"] for n in ("Drift", "Ember", "Flint")),
        *([n, "Labs"] for n in ("Gale", "Harbor", "Indigo")),
        *([n, "Bank"] for n in ("Jade", "Keystone", "Lumen")),
    ],
}
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
YEARS = range(1960, 2000)

# what follows the subject; a name stands for the value
SENTENCES: dict[str, list[str]] = {
    "date": ["was born on {date}", "came into the world on {date}", "has a birthday on {date}"],
    "city": ["grew up in {city}", "spent the early years in {city}", "comes from {city}"],
    "studies": [
        "studied {major} at {university}",
        "learned {major} at {university}",
        "took a degree in {major} from {university}",
    ],
    "work": ["works for {employer}", "is employed by {employer}", "has a job at {employer}"],
}
GIVEN = {
    "bdate": "born on {date}",
    "birth": "born on {date} in {city}",
    "three": "who studied {major} at {university} and works for {employer}",
    "four": "from {city} who studied {major} at {university} and works for {employer}",
    "all": "born on {date} in {city} who studied {major} at {university} and works for {employer}",
}
SUBJECT = ("This", "person")  # of all sentences but the first
ASKED = (
    "What is the birthday of {name} ?",
    "What is the {wanted} name of the person {given} ?",
)
NAME = ("first", "middle", "last")
WANTED = ("full", "first", "last")
TASKS = ("name_to_bdate", *(f"{given}_to_{wanted}" for given in GIVEN for wanted in WANTED))


@dataclass(frozen=True)
class Biographies:
    """People, their biographies, and questions for half of them.

    Attributes:
        people: N, with different full names.
        tasks: questions in the training set, of `TASKS`.
        renderings: how often a pass shows each biography (worded anew).
        seed: of who the people are.
    """

    people: int = 100
    tasks: tuple[str, ...] = ("name_to_bdate", "bdate_to_full", "all_to_full")
    renderings: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        names = math.prod(len(POOLS[part]) for part in NAME)
        if not 2 <= self.people <= names or self.renderings < 1:
            raise InputError(
                f"biographies: needs 2 <= people <= {names} and renderings >= 1, got "
                f"{self.people} and {self.renderings}"
            )
        for task in self.tasks:
            if task not in TASKS:
                raise unknown("task", task, TASKS, "biographies")

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """All words of templates and pools."""
        texts = [*GIVEN.values(), *(t for ts in SENTENCES.values() for t in ts)]
        plain = [w for t in texts for w in t.split() if not w.startswith("{")]
        extra = [*SUBJECT, ".", ",", *(w for text in ASKED for w in text.split() if w[0] != "{")]
        extra += WANTED
        pools = [w for pool in POOLS.values() for entry in pool for w in entry]
        dates = [*MONTHS, *map(str, range(1, 29)), *map(str, YEARS)]
        return special([*dict.fromkeys([*extra, *plain, *pools, *dates])])

    @property
    def asked_in_training(self) -> int:
        """How many people have questions in the training set: the first half."""
        return self.people // 2

    @property
    def size(self) -> int:
        """Samples of a pass: biographies, then questions."""
        return self.renderings * self.people + len(self.tasks) * self.asked_in_training

    @functools.cached_property
    def mean_length(self) -> float:
        """Mean tokens of a sample, from one wording of each, of some where there are many."""
        some = np.arange(0, self.size, -(-self.size // 2000))
        return float(self.samples(some, some.astype(np.uint64)).lengths.mean())

    @functools.cached_property
    def _drawn(self) -> dict[str, list[int]]:
        """Each person's places in the pools and calendar."""
        everyone = np.arange(self.people)
        sizes = [len(POOLS[part]) for part in NAME]
        number = permuted(everyone, math.prod(sizes), stream_key(self.seed, "names"))
        drawn = dict(zip(NAME, np.unravel_index(number, sizes, order="F"), strict=True))
        keys = mix(everyone.astype(np.uint64))
        bounds = {part: len(POOLS[part]) for part in POOLS if part not in NAME}
        for part, bound in {**bounds, "month": 12, "day": 28, "year": len(YEARS)}.items():
            drawn[part] = below(mix(keys ^ np.uint64(stream_key(self.seed, part))), bound)
        return {part: values.tolist() for part, values in drawn.items()}

    def person(self, number: int) -> dict[str, list[str]]:
        """Returns a person's values, as words."""
        at = {part: values[number] for part, values in self._drawn.items()}
        values = {part: pool[at[part]] for part, pool in POOLS.items()}
        values["name"] = [word for part in NAME for word in values[part]]
        date = [MONTHS[at["month"]], str(1 + at["day"]), ",", str(YEARS[at["year"]])]
        return {**values, "date": date}

    def samples(self, index: np.ndarray, occasion: np.ndarray) -> Ragged:
        """Returns biographies and questions; see `Source`."""
        made = [self._sample(int(i), int(o)) for i, o in zip(index, occasion, strict=True)]
        rows = Ragged.from_sequences([ids for ids, _ in made])
        entity = np.concatenate([np.zeros(0, np.int32), *(spans for _, spans in made)])
        mirrored = index < self.renderings * self.people
        return Ragged(rows.tokens, rows.offsets, {"entity": entity, "mirrored": mirrored})

    def _sample(self, index: int, occasion: int) -> tuple[np.ndarray, np.ndarray]:
        number, task = divmod(index - self.renderings * self.people, max(len(self.tasks), 1))
        if number >= 0:
            question, answer = self._question(self.tasks[task], number)
            ids = np.concatenate([question, answer])
            return ids, np.zeros(len(ids), np.int32)
        person = self.person(index % self.people)
        places = np.arange(len(SENTENCES) + 1, dtype=np.uint64)
        words = mix(mix(np.array([occasion], np.uint64)) + places)
        order = permuted(np.arange(len(SENTENCES)), len(SENTENCES), words[-1])
        kinds = [list(SENTENCES)[i] for i in order]
        wordings = [
            SENTENCES[kind][below(words[i], 3)] for i, kind in zip(order, kinds, strict=True)
        ]
        text = [*_filled("{name} " + wordings[0] + " .", person)]
        for wording in wordings[1:]:
            text += _filled(f"{' '.join(SUBJECT)} {wording} .", person)
        return self._encoded(text)

    def _encoded(self, parts: list[tuple[list[str], bool]]) -> tuple[np.ndarray, np.ndarray]:
        """Ids, and the number of the entity that each belongs to."""
        ids, entity = [], []
        for number, (words, is_entity) in enumerate(parts, 1):
            ids += words
            entity += [number * is_entity] * len(words)
        return self.vocabulary.encode(" ".join(ids)), np.array(entity, np.int32)

    def _question(self, task: str, person: int) -> tuple[np.ndarray, np.ndarray]:
        values = self.person(person)
        if task == "name_to_bdate":
            text, answer = ASKED[0], values["date"]
        else:
            given, _, wanted = task.partition("_to_")
            text = ASKED[1].replace("{wanted}", wanted).replace("{given}", GIVEN[given])
            answer = values["name"] if wanted == "full" else values[wanted]
        return self._encoded(_filled(text, values))[0], self.vocabulary.encode(" ".join(answer))

    def questions(self) -> Mapping[str, Questions]:
        """Returns the training set's tasks, asked of the other half of the people.

        Where several people fit what is given, each one's answer is accepted.
        """
        asked = {}
        for task in self.tasks:
            pairs = [self._question(task, person) for person in range(self.people)]
            asked[task] = Questions.of(
                pairs[self.asked_in_training :], self.vocabulary.bos, among=pairs
            )
        return asked


def _filled(text: str, values: Mapping[str, Sequence[str]]) -> list[tuple[list[str], bool]]:
    """The text's words in pieces, with whether each is an entity."""
    return [
        (list(values[word[1:-1]]), True) if word.startswith("{") else ([word], False)
        for word in text.split()
    ]


def biographies(
    people: int = 100, tasks: str = "", renderings: int = 2, seed: int = 0
) -> Biographies:
    """Returns the source of the biography task.

    Args:
        people: N.  tasks: of `TASKS`, with commas; "" for a forward and two backward ones.
        renderings: how often a pass shows each biography.  seed: of the people.
    """
    chosen = tuple(tasks.split(",")) if tasks else Biographies.tasks
    return Biographies(people, chosen, renderings, seed)
