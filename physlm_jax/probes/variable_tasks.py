"""The six functions of a problem's parameters that V-probes ask for, and where they are asked.

    dep        does A depend on B?                  after the statement (qp: and the question)
    nece       is A needed for the answer?          after statement and question
    known      has A been computed?                 after t sentences of the solution,
    value      what is A's value, if computed?      t uniform from none to all
    can_next   not computed, but could A be next?
    nece_next  both can_next and nece?

Source: arXiv 2407.20311, section 4.1 and appendix F.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physlm_jax.data.hashing import stream_key
from physlm_jax.data.igsm import IgsmWorld, Labels, Problem, labels
from physlm_jax.data.igsm.language import MID, START, STOP
from physlm_jax.errors import unknown
from physlm_jax.probes.forks import Question

TASKS = ("dep", "nece", "known", "value", "can_next", "nece_next")
CLASSES = {task: 24 if task == "value" else 2 for task in TASKS}


@dataclass(frozen=True)
class Asked:
    """One problem with the questions put about it, and their truth.

    Attributes:
        text: ids of prompt and solution.  questions: see `forks`.
        truth: int[q], the right class of each.
        params: int[q], A of each, its place in `Problem.params`.
        necessary: bool[q], whether A is needed for the answer.
        distance: int[q], edges on the shortest path from the answer to A; -1 if there is none.
    """

    text: list[int]
    questions: list[Question]
    truth: np.ndarray
    params: np.ndarray
    necessary: np.ndarray
    distance: np.ndarray


class Reading:
    """A problem's tokens and the places where sentences end.

    Attributes:
        text: ids of prompt and solution.
        after: how many tokens there are after t = 0, 1, .. sentences of the solution.
        question, statement: the same after statement and question, and after the statement.
        names: ids of each parameter's name.
    """

    def __init__(self, world: IgsmWorld, problem: Problem, written: Sequence[int] = ()) -> None:
        """Reads the right solution, or the ids of another one that is given."""
        vocabulary = world.vocabulary
        prompt = world.prompt(problem)
        solution = list(written) or world.solution(problem)
        self.text = [*prompt, *solution]
        stop = int(vocabulary.encode(".")[0])
        ends = [len(prompt) + n + 1 for n, token in enumerate(solution) if token == stop]
        self.after = [len(prompt), *ends]  # t sentences
        self.question = len(prompt) - 1
        statement = [n + 1 for n, token in enumerate(prompt) if token == stop]
        self.statement = statement[-1]
        self.names = [world.name(problem, place) for place in range(len(problem.params))]
        self.start, self.mid, self.stop = (vocabulary.role(r) for r in (START, MID, STOP))

    def place(self, task: str, t: int) -> int:
        """Returns how many tokens of the text are seen."""
        if task == "dep":
            return self.statement
        return self.question if task == "nece" else self.after[t]

    def ask(self, place: int, a: int, b: int = -1) -> Question:
        """Returns the question about parameter A, or A and B, put at a place."""
        second = [self.mid, *self.names[b]] if b >= 0 else []
        return place, [self.start, *self.names[a], *second, self.stop]


def ask(world: IgsmWorld, problem: Problem, task: str, most: int, seed: int) -> Asked:
    """Returns a problem with `most` questions, fewer if there are no more, of one task.

    Drawn without replacement, uniformly: parameters of the dependency graph, places.

    Raises:
        InputError: no such task.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS, "V-probing")
    reading, truth = Reading(world, problem), labels(problem)
    inside = np.flatnonzero(problem.arrays.in_graph)
    rng = np.random.default_rng(stream_key(seed, "questions", task, problem.template))
    questions, right, params = [], [], []
    for t, a, b in _choices(task, inside, len(truth.known), most, rng):
        questions.append(reading.ask(reading.place(task, t), a, b))
        right.append(_truth(truth, task, t, a, b))
        params.append(a)
    chosen = np.array(params, int)
    return Asked(
        reading.text,
        questions,
        np.array(right, np.int32),
        chosen,
        truth.nece[chosen],
        distances(problem)[chosen],
    )


def _choices(
    task: str, inside: np.ndarray, places: int, most: int, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """(t, A, B) of each question; t = 0 and B = -1 where the task has none."""
    count = len(inside)
    if task == "dep":
        total = count * (count - 1)
    else:
        total = count if task == "nece" else count * places
    found = []
    for n in rng.choice(total, min(most, total), replace=False).tolist():
        if task == "dep":
            a, b = divmod(n, count - 1)
            found.append((0, int(inside[a]), int(inside[b + (b >= a)])))
        else:
            t, a = divmod(n, count)
            found.append((t, int(inside[a]), -1))
    return found


def _truth(truth: Labels, task: str, t: int, a: int, b: int) -> int:
    if task == "dep":
        return int(truth.dep[a, b])
    return int(truth.nece[a]) if task == "nece" else int(getattr(truth, task)[t, a])


def distances(problem: Problem) -> np.ndarray:
    """int[P]: edges on the shortest directed path from the query to each; -1: it needs it not."""
    found = np.full(len(problem.params), -1)
    query = int(problem.arrays.order[-1])
    found[query], todo = 0, deque([query])
    while todo:
        p = todo.popleft()
        for used in problem.uses[p]:
            if found[used] < 0:
                found[used] = found[p] + 1
                todo.append(used)
    return found
