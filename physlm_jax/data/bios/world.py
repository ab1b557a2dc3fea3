"""The worlds of knowledge that a config can name: biographies, questions, and mixtures of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from physlm_jax.data.bios.asking import NO_HINT, PLAIN
from physlm_jax.data.bios.biographies import Biographies
from physlm_jax.data.bios.people import Population
from physlm_jax.data.bios.questions import GROUPS, QUESTIONS
from physlm_jax.data.bios.tasks import Tasks, as_tasks
from physlm_jax.data.mixture import Mixture, whole_shares
from physlm_jax.data.questions import Questions
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.spelling import Speller
from physlm_jax.errors import InputError

ASKED = 1000  # people that a trained model is asked about, of each side
TRAINED = " (trained)"  # after a task's name: of people whose questions were in training


@dataclass(frozen=True)
class BiosWorld:
    """Biographies, questions, or both; with junk or without.

    Attributes:
        stream: what rows are made of.
        biographies: of everybody; also where the stream has questions alone.
        tasks: questions on those who are asked in training; None: nobody is.
        held_out: the others of the same group, or of the next: whom tests ask about.
    """

    stream: Biographies | Tasks | Mixture
    biographies: Biographies
    tasks: Tasks | None = None
    held_out: Population | None = None

    @property
    def mixture(self) -> Mixture | None:
        """The stream if its rows are of several worlds."""
        return self.stream if isinstance(self.stream, Mixture) else None

    @property
    def vocabulary(self) -> Speller:
        """Of the pools, templates and questions."""
        return self.biographies.vocabulary

    @property
    def mean_length(self) -> float:
        """Expected tokens of an example with its two EOS."""
        return self.stream.mean_length

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns examples of the stream, EOS .. EOS; see `World`."""
        return self.stream.examples(seed, start, count)

    def questions(self) -> Mapping[str, Questions]:
        """Returns what to ask: every task, of held-out people, and of some that were trained on.

        Of tasks with hints the direct answer is asked; `probes.knowledge.manipulation` asks for
        hints.
        """
        return self._questions

    @cached_property
    def _questions(self) -> Mapping[str, Questions]:
        if self.tasks is None or self.held_out is None:
            return {}
        found = {}
        for suffix, people in (("", self.held_out), (TRAINED, self.tasks.people)):
            some = dataclasses.replace(people, n=min(people.n, ASKED))
            asked = dataclasses.replace(self.tasks, people=some)
            for task in self.tasks.tasks:
                hint = PLAIN if self.tasks.hints and QUESTIONS[task].hint else NO_HINT
                found[task + suffix] = as_questions(*asked.pairs(task, hint))
        return found

    def means(self) -> Mapping[str, Sequence[str]]:
        """Returns which of these sets have a mean: those of held-out and those of trained people.

        Of several groups of tasks each has its own.
        """
        asked = self.tasks.tasks if self.tasks else ()
        groups = {name: [task for task in asked if task in group] for name, group in GROUPS.items()}
        return {
            f"mean of {name}{suffix}": [task + suffix for task in tasks]
            for suffix in ("", TRAINED)
            for name, tasks in groups.items()
            if len(tasks) > 1
        }


def as_questions(prompts: Ragged, answers: Ragged) -> Questions:
    """Returns questions whose prompts begin with their EOS.

    Where several of the people fit what is asked, each one's answer is accepted.
    """
    right: dict[bytes, set[tuple[int, ...]]] = {}
    for prompt, answer in zip(prompts, answers, strict=True):
        right.setdefault(prompt.tobytes(), set()).add(tuple(answer.tolist()))
    accepted = tuple(frozenset(right[prompt.tobytes()]) for prompt in prompts)
    return Questions(prompts, answers, accepted)


def world(
    people: int = 1000,
    variant: str = "bioS",
    pools: str = "full",
    vocabulary: str = "word",
    seed: int = 0,
    celebrities: int = 0,
    celebrity_variant: str = "multi5+permute",
    tasks: str = "",
    asked: int = 0,
    split: str = "person",
    question_share: float = 0.0,
    hints: float = 0.0,
    prompt_weight: float = 1.0,
    junk_people: int = 0,
    junk_share: float = 0.875,
    marked: bool = False,
) -> BiosWorld:
    """Returns the world that a config describes.

    Args:
        people: N.  variant: of their biographies, see `variants`.
        pools: "full", "mini" or a JSON file.  vocabulary: "word", "atomic" or GPT-2's folder.
        seed: of who the people are.
        celebrities: people of another group, with biographies of `celebrity_variant`, whose
            questions are trained on, the others' asked; 0: none.
        tasks: groups or names of `questions`, with commas; "": no questions.
        asked: people with questions in training; 0: half of them, or all celebrities.
        split: who or what is kept for tests: "person" alone (traps of section 10 of knowledge.md).
        question_share: of the rows; 1: questions alone (fine-tuning).
        hints, prompt_weight: see `Tasks`.
        junk_people: of bioS biographies that are no use, in `junk_share` of the rows; 0: no junk.
        marked: useful biographies begin with the token of their domain.

    Raises:
        InputError: any of these is wrong.
    """
    if split != "person":
        raise InputError(
            f"bios: split must be 'person', got '{split}': with some questions of a person in "
            "training, answers to the others tell nothing about extraction"
        )
    if min(celebrities, junk_people) < 0:
        raise InputError(
            f"bios: celebrities and junk_people must be at least 0, got {celebrities} and "
            f"{junk_people}"
        )
    group = Population(people, seed, pools, celebrities)
    groups: tuple[Population, ...] = (group,)
    variants: tuple[str, ...] = (variant,)
    if celebrities:
        groups = (Population(celebrities, seed, pools), group)
        variants = (celebrity_variant, variant)
    useful = Biographies(groups, variants, vocabulary, marked)
    if not tasks:
        if question_share or asked or hints:
            raise InputError("bios: question_share, asked and hints need tasks")
        return BiosWorld(_with_junk(useful, junk_people, junk_share), useful)
    trained, held_out = parted(groups, asked)
    questions = Tasks(trained, as_tasks(tasks), vocabulary, hints, prompt_weight)
    dataclasses.replace(questions, people=held_out)  # can be asked too
    if question_share == 1:
        if junk_people:
            raise InputError("bios: question_share 1 leaves no room for junk")
        return BiosWorld(questions, useful, questions, held_out)
    if not question_share:
        return BiosWorld(_with_junk(useful, junk_people, junk_share), useful, questions, held_out)
    if junk_people:
        raise InputError("bios: junk beside questions is not on offer")
    shares = whole_shares(question_share, "config.data.question_share")
    return BiosWorld(Mixture((useful, questions), shares), useful, questions, held_out)


def parted(groups: tuple[Population, ...], asked: int) -> tuple[Population, Population]:
    """Who is asked in training, and who in tests: never the same person."""
    first, last = groups[0], groups[-1]
    if len(groups) > 1:
        return dataclasses.replace(first, n=_asked(asked or first.n, first.n)), last
    half = first.n // 2
    if half < 1:
        raise InputError("bios: questions need two people, one to train on and one to ask")
    trained = dataclasses.replace(first, n=_asked(asked or half, half))
    return trained, dataclasses.replace(first, n=first.n - half, start=first.start + half)


def _asked(asked: int, most: int) -> int:
    if not 1 <= asked <= most:
        raise InputError(
            f"bios: asked must be 1..{most} people (the others are kept for tests), got {asked}"
        )
    return asked


def _with_junk(useful: Biographies, people: int, share: float) -> Biographies | Mixture:
    """The stream of biographies, with rows of other people's."""
    if not people:
        return useful
    last = useful.groups[-1]
    others = Population(people, last.seed, last.pools, last.start + last.n)
    junk = Biographies((others,), ("bioS",), useful.kind)
    return Mixture((useful, junk), whole_shares(share, "config.data.junk_share"))
