"""Solving, regretting and judging with samplers that are told what to write."""

import dataclasses

import numpy as np
import pytest

from physlm_jax.data import igsm, open_world
from physlm_jax.data.igsm.language import ANSWER
from physlm_jax.data.ragged import Ragged
from physlm_jax.decoding.rows import Samples
from physlm_jax.errors import InputError
from physlm_jax.probes import regret
from physlm_jax.probes.reasoning import Outcome, problems_of, solve, usual_cells

WORLD = open_world({"world": "igsm", "spec": "mini", "split": "all"})
PROBLEMS = igsm.sample(WORLD.spec, 3, 0, 12)


def samples(prompts: Ragged, said: list[list[int]], stop: int) -> Samples:
    """What a sampler returns that says these ids, with the stop token where it is their last."""
    ends = [ids[:-1] if ids and ids[-1] == stop else ids for ids in said]
    whole = [[*p, *ids] for p, ids in zip(prompts, said, strict=True)]
    width = max(map(len, whole))
    tokens = np.array([row + [0] * (width - len(row)) for row in whole], np.int32)
    lengths = np.array([len(row) for row in whole])
    finished = np.array([len(a) < len(b) for a, b in zip(ends, said, strict=True)])
    return Samples(tokens, prompts.lengths, lengths, finished, np.zeros(len(said), np.float32))


def answer(problem, text=None, value=None):
    vocabulary = WORLD.vocabulary
    solution = vocabulary.encode(problem.solution if text is None else text).tolist()
    number = vocabulary.encode(f" {problem.answer if value is None else value}").tolist()
    return [*solution, vocabulary.role(ANSWER), *number, vocabulary.eos]


def told(answers):
    """A sampler of whole answers, one for each problem in turn."""
    return lambda prompts, seed: samples(prompts, answers, WORLD.vocabulary.eos)


def test_right_answers_are_right_and_others_are_told_apart():
    good = solve(WORLD, told([answer(p) for p in PROBLEMS]), PROBLEMS, 0)
    assert good.figures()["right"] == 1 and good.figures()["mistakes"] == {}
    wrong = [answer(p, value=(p.answer + 1) % 23) for p in PROBLEMS]
    assert solve(WORLD, told(wrong), PROBLEMS, 0).figures()["mistakes"] == {"unmarked": 12}
    mute = [answer(p)[:-3] for p in PROBLEMS]  # neither <answer> nor what follows
    assert solve(WORLD, told(mute), PROBLEMS, 0).figures()["mistakes"] == {"unmarked": 12}
    assert solve(WORLD, told([[] for _ in PROBLEMS]), PROBLEMS, 0).figures()["parsed"] == 0


def test_means_are_over_right_solutions_alone():
    taken_back = [igsm.retry(p, 0.6, "retry", 1) for p in PROBLEMS]
    texts = [*taken_back[:6], *(" Define" for _ in PROBLEMS[6:])]
    said = [answer(p, text) for p, text in zip(PROBLEMS, texts, strict=True)]
    found = solve(WORLD, told(said), PROBLEMS, 0).figures()
    assert found["right"] == 0.5 and found["n"] == 12
    assert found["error"] == pytest.approx((0.25 / 12) ** 0.5)
    assert found["retries_right"] == sum(t.count("BACK") for t in taken_back[:6]) / 6


def test_cells():
    assert usual_cells(WORLD) == ("law", "1", "2", "3", "4", "5", "reask4")
    med = open_world({"world": "igsm"})
    assert usual_cells(med) == ("law", "15", "20", "21", "22", "23", "reask20")
    assert all(p.op == 2 for p in problems_of(WORLD, "2", 0, 5, 192))
    assert len(problems_of(WORLD, "reask4", 0, 5, 192)) == 5
    held = problems_of(open_world({"world": "igsm"}), "law", 0, 20, 768)
    assert {p.bin for p in held} <= set(igsm.TEST_BINS)
    for cell in ("", "reask", "0", "law1"):
        with pytest.raises(InputError, match="expected law"):
            problems_of(WORLD, cell, 0, 5, 192)
    with pytest.raises(InputError, match="more than 20 tokens"):
        problems_of(WORLD, "3", 0, 5, 20)


class Wanderer:
    """Writes a sentence that cannot come yet the first time, and the right one when drawn anew."""

    def __init__(self, always_wrong: bool = False) -> None:
        self.always_wrong, self.calls = always_wrong, []
        self.by_prompt = {tuple(WORLD.prompt(p)): p for p in PROBLEMS}

    def sampler(self, right: bool):
        def write(prompts: Ragged, seed: int) -> Samples:
            self.calls.append((right, len(prompts)))
            stop = int(WORLD.vocabulary.encode(".")[0])
            said = [self.next(row.tolist(), right, stop) for row in prompts]
            return samples(prompts, said, stop)

        return write

    def next(self, row: list[int], right: bool, stop: int) -> list[int]:
        problem = next(p for key, p in self.by_prompt.items() if tuple(row[: len(key)]) == key)
        written = row[len(WORLD.prompt(problem)) :].count(stop)
        whole = WORLD.vocabulary.encode(problem.solution).tolist()
        cuts = [0, *(n + 1 for n, token in enumerate(whole) if token == stop)]
        if written >= len(cuts) - 1:
            return answer(problem)[len(whole) :]
        last = whole[cuts[-2] :]
        good = whole[cuts[written] : cuts[written + 1]]
        return last if (not right or self.always_wrong) and written < len(cuts) - 2 else good


@pytest.fixture
def several():
    """Problems of several sentences."""
    return [p for p in PROBLEMS if len(p.arrays.order) > 1]


def test_regretted_sentences_are_drawn_anew(several):
    writer = Wanderer()
    found = regret.regret(
        WORLD, writer.sampler(False), writer.sampler(True), regret.perfect, several, 10, 400
    )
    assert all(v.correct for v in found.verdicts)
    assert any(right for right, _ in writer.calls)


def test_tries_are_limited(several):
    writer = Wanderer(always_wrong=True)
    found = regret.regret(
        WORLD, writer.sampler(False), writer.sampler(True), regret.perfect, several, 2, 400
    )
    assert not any(v.correct for v in found.verdicts)
    anew = [count for right, count in writer.calls if right]
    assert sum(anew) == 2 * len(several)


def test_an_outcome_names_unneeded_work():
    spec = dataclasses.replace(WORLD.spec, op=2)
    problem = igsm.sample(spec, 0, 0, 1)[0]
    verdict = dataclasses.replace(
        igsm.verify(problem, problem.solution), unnecessary_op=2, unnecessary_params=1
    )
    found = Outcome((problem,), (verdict,), ((),)).figures()
    assert (found["unnecessary_op"], found["unnecessary_params"]) == (2, 1)
