"""Answers: exact match, several right ones, best of n; and the probe of a run."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from physlm_jax.data.ragged import Ragged
from physlm_jax.data.reversal import Questions
from physlm_jax.decoding.rows import Samples
from physlm_jax.errors import InputError
from physlm_jax.probes import recall
from physlm_jax.probes.running import run_probe
from physlm_jax.training.config import base, set_data
from physlm_jax.training.loop import train

EOS = 2


def saying(*answers):
    """A sampler that answers so; an answer without EOS at its end was cut by the row's end."""

    def sample(prompts: Ragged, seed: int) -> Samples:
        rows = [[*p.tolist(), *a] for p, a in zip(prompts, answers, strict=True)]
        tokens = np.zeros((len(rows), 12), np.int32)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = ids
        finished = np.array([a[-1:] == (EOS,) for a in answers])
        lengths = np.array([len(r) for r in rows])
        return Samples(tokens, prompts.lengths, lengths, finished, np.zeros(len(rows)))

    return sample


ASKED = Questions.of([((5,), (6, 7))] * 5 + [((8,), (9,))], 1, among=[((8,), (4,))])


def test_an_answer_is_right_as_a_whole():
    said = saying((6, 7, EOS), (6, EOS), (6, 7, 3, EOS), (6, 7), (7, 6, EOS), (4, EOS))
    found = recall.answers(said, ASKED)
    assert found.right.tolist() == [True, False, False, False, False, True]
    assert found.strict.tolist() == [True, False, False, False, False, False]
    assert found.given[2] == (6, 7)


def test_what_follows_does_not_matter_where_the_answer_does_not_end_the_string():
    said = saying((6, 7, EOS), (6, EOS), (6, 7, 3, EOS), (6, 7), (7, 6, EOS), (9, 1))
    found = recall.answers(said, dataclasses.replace(ASKED, ends=False))
    assert found.right.tolist() == [True, False, True, True, False, True]


@pytest.mark.parametrize(("m", "c", "n"), [(6, 2, 1), (6, 2, 3), (6, 0, 2), (6, 5, 2), (6, 6, 6)])
def test_best_at_n_is_the_share_of_draws_with_a_right_one(m, c, n):
    draws = list(itertools.combinations([True] * c + [False] * (m - c), n))
    truth = sum(any(d) for d in draws) / len(draws)
    assert recall.best_at(np.array([c]), m, n)[0] == pytest.approx(truth)


@pytest.mark.parametrize("n", [0, 11])
def test_best_at_n_needs_samples(n):
    with pytest.raises(InputError, match=rf"best@{n} needs at least {n} samples"):
        recall.best_at(np.array([1]), 10, n)


def small(world: str = "reversal", **options):
    c = base()
    set_data(c, world, **options)
    c.steps, c.batch = 150, 16
    c.pipeline.length, c.pipeline.mode, c.pipeline.rows_per_block = 16, "single", 16
    c.model.layers, c.model.width, c.model.heads = 1, 32, 2
    c.optimizer.learning_rate = 1e-2
    c.eval.rows, c.mesh.data = 8, 1
    return c


def test_a_run_is_asked_what_its_world_holds(tmp_path):
    options = {"kind": "entity", "seed": 3, "options": {"pairs": 4, "codes": 6}}
    train(small(**options), tmp_path / "run")
    measured, path = run_probe(tmp_path / "run", "recall", given={"best": ["1", "5"], "samples": 5})
    found = json.loads(path.read_text())["questions"]
    assert found["forward"]["n"] == 4 and found["held-out backward"]["n"] == 2
    assert found["forward"]["right"] == found["seen backward"]["right"] == 1.0
    assert 0 <= found["forward"]["best@1"] <= found["forward"]["best@5"] <= 1
    assert "forward" in measured.table() and measured.header[-1] == "best@5"


def test_a_world_without_questions(tmp_path):
    c = small("cfg", grammar="cfg3b", under=13)
    c.steps = 1
    train(c, tmp_path / "run")
    with pytest.raises(InputError, match=r"world 'cfg' has no questions"):
        run_probe(tmp_path / "run", "recall")
