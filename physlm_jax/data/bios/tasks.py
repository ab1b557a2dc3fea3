"""Questions about people as training data, and as what a trained model is asked.

In training, everybody of the asked part is asked every task once a pass, in an order of its own;
of tasks on two people the second is drawn from the same part (never from the people kept for
tests). The split is by person: a split by question would leave nothing to find out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physlm_jax.data.bios.asking import (
    ANSWER,
    HINTED,
    NO_HINT,
    PLAIN,
    Forms,
    forms,
    write_questions,
)
from physlm_jax.data.bios.lexicon import EOS, lexicon
from physlm_jax.data.bios.people import Population
from physlm_jax.data.bios.questions import GROUPS, QUESTIONS
from physlm_jax.data.bios.tokenizers import tokenizer
from physlm_jax.data.bios.writing import as_ragged
from physlm_jax.data.compiled import Whole, compiled, draw_below, draw_uniform, mix_word
from physlm_jax.data.hashing import example_numbers, stream_key
from physlm_jax.data.passes import pass_key, shown_at
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.spelling import Speller
from physlm_jax.errors import InputError, unknown

_MEASURED = 4000  # examples whose mean length is taken for all


def as_tasks(names: str) -> tuple[str, ...]:
    """Returns the tasks that a text names, with commas: groups ("extraction") or single ones.

    Raises:
        InputError: an unknown name.
    """
    found: list[str] = []
    for name in names.split(","):
        if name not in GROUPS and name not in QUESTIONS:
            raise unknown("task", name, [*GROUPS, *QUESTIONS], "bios")
        found += GROUPS.get(name, [name])
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Tasks:
    """A stream of questions with their answers.

    Attributes:
        people: who is asked about.
        tasks: of `QUESTIONS`.
        kind: of the vocabulary.
        hints: share of the examples that give a hint first, of the tasks that have hints; where it
            is 0 there are no control tokens either.
        prompt_weight: of the loss of prompts, 1 as in the papers.

    Raises:
        InputError: a share or weight out of range; nobody to compare with; no such vocabulary.
    """

    people: Population
    tasks: tuple[str, ...]
    kind: str = "word"
    hints: float = 0.0
    prompt_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind.endswith("-plain"):
            raise InputError(f"bios: vocabulary '{self.kind}' has no words for questions")
        if not 0 <= self.hints <= 1:
            raise InputError(f"bios: hints must be a share in [0, 1], got {self.hints}")
        if not 0 <= self.prompt_weight < math.inf:
            raise InputError(f"bios: prompt_weight must be at least 0, got {self.prompt_weight}")
        if self.people.n < 2 and any(QUESTIONS[task].is_pair for task in self.tasks):
            raise InputError("bios: tasks on two people need two people to ask about")
        tokenizer(self.people.pools, self.kind)  # or says what is wrong with it

    @property
    def vocabulary(self) -> Speller:
        """Of the pools, templates and questions."""
        return tokenizer(self.people.pools, self.kind)

    @property
    def size(self) -> int:
        """Examples of a pass."""
        return self.people.n * len(self.tasks)

    @cached_property
    def mean_length(self) -> float:
        """Expected tokens of an example, from some of them."""
        return float(self.examples(0, 0, _MEASURED).lengths.mean())

    @property
    def _forms(self) -> Forms:
        return forms(self.people.pools, self.tasks)

    def asked(self, seed: int, start: int, count: int) -> np.ndarray:
        """int64[count, 4]: task, person, second person, NO_HINT, PLAIN or HINTED.

        People by their numbers in all populations of the seed.
        """
        index = example_numbers(start, count)
        hinted = np.array([bool(QUESTIONS[task].hint) for task in self.tasks])
        key = np.uint64(stream_key(seed, "questions"))
        found = _asked(index, self.people.n, hinted, self.hints, key)
        found[:, 1:3] += self.people.start
        return found

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns EOS, prompt, answer, EOS; see `World`."""
        found = self.written(self.asked(seed, start, count))
        if self.prompt_weight == 1:
            return Ragged(found.tokens, found.offsets)
        weights = np.array([self.prompt_weight, 1], np.float32)[found.role]
        return Ragged(found.tokens, found.offsets, {"weights": weights})

    def written(self, asked: np.ndarray) -> Ragged:
        """Returns the examples of rows of `asked`; label role: 0 prompt (with EOS), 1 answer."""
        parts = lexicon(self.people.pools)
        sheet, offsets = write_questions(
            parts.script, self._forms, self.people.sizes, asked, parts.special(EOS)
        )
        return self.vocabulary.spelled(as_ragged(sheet, offsets))

    def pairs(self, task: str, hinted: int = NO_HINT, seed: int = 0) -> tuple[Ragged, Ragged]:
        """Returns everybody's prompts, EOS first, and the answers, without EOS, of one task.

        Args:
            hinted: NO_HINT, PLAIN or HINTED: which control token ends the prompt.
            seed: of who is compared with whom.
        """
        n = self.people.n
        asked = np.empty((n, 4), np.int64)
        asked[:, 0], asked[:, 3] = self.tasks.index(task), hinted
        asked[:, 1] = self.people.start + np.arange(n)
        asked[:, 2] = self.people.start + _others(n, np.uint64(stream_key(seed, "pairs")))
        whole = self.written(asked)
        inner = whole.role == ANSWER
        inner[whole.offsets[1:] - 1] = False  # EOS
        prompt = whole.role != ANSWER
        return _those(whole, prompt), _those(whole, inner)


def _those(whole: Ragged, keep: np.ndarray) -> Ragged:
    """The tokens to keep of each sequence."""
    ends = np.concatenate([[0], np.cumsum(keep)])[whole.offsets]
    return Ragged(whole.tokens[keep], ends)


@compiled
def _other(state: np.ndarray, person: Whole, people: int) -> Whole:
    """Somebody else, if there is anybody."""
    if people < 2:
        return person
    return (person + 1 + draw_below(state, people - 1)) % people


@compiled
def _others(people: int, key: np.uint64) -> np.ndarray:
    found = np.empty(people, np.int64)
    state = np.empty(1, np.uint64)
    for i in range(people):
        state[0] = mix_word(key ^ np.uint64(i))
        found[i] = _other(state, i, people)
    return found


@compiled
def _asked(
    index: np.ndarray, people: int, hinted: np.ndarray, share: float, key: np.uint64
) -> np.ndarray:
    asked = np.empty((len(index), 4), np.int64)
    size = np.uint64(people * len(hinted))
    state = np.empty(1, np.uint64)
    for i in range(len(index)):
        turn, number = shown_at(index[i], size, key)
        task, person = number // people, number % people
        state[0] = mix_word(pass_key(turn, key) + np.uint64(number))
        asked[i, 0], asked[i, 1] = task, person
        asked[i, 2] = _other(state, person, people)
        asked[i, 3] = NO_HINT
        if share > 0 and hinted[task]:
            asked[i, 3] = HINTED if draw_uniform(state) < share else PLAIN
    return asked
