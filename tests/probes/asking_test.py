"""Questions with their answers and verdicts, one by one; the entry point `generate --ask`."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from physlm_jax.data import open_world
from physlm_jax.errors import InputError
from physlm_jax.probes import asking, reasoning
from physlm_jax.probes.recall import answered
from physlm_jax.training.checkpoint import load_run
from physlm_jax.training.config import base, set_data
from physlm_jax.training.loop import train

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
from entries import run as run_entry
from reasoning_test import answer, told


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run that knows its facts by heart, but not backward."""
    c = base()
    options = {"kind": "none", "seed": 3, "options": {"pairs": 8, "codes": 6}}
    set_data(c, "reversal", **options)
    c.steps, c.batch = 150, 16
    c.pipeline.length, c.pipeline.mode, c.pipeline.rows_per_block = 16, "single", 16
    c.model.layers, c.model.width, c.model.heads = 1, 32, 2
    c.optimizer.learning_rate = 1e-2
    c.eval.rows, c.mesh.data = 8, 1
    folder = tmp_path_factory.mktemp("asked") / "run"
    train(c, folder)
    return folder


@pytest.mark.parametrize(("name", "right"), [("forward", True), ("held-out backward", False)])
def test_questions_of_facts_with_what_was_said_and_what_is_right(workdir, name, right):
    run = load_run(workdir)
    questions, text = run.world.questions()[name], run.world.vocabulary.decode
    found = answered(run, questions)
    assert len(asking.ask(run, name, 3)) == 3 < len(asking.ask(run, name, 100)) == len(questions)
    assert set(found.right) == {right}
    for i, one in enumerate(asking.ask(run, name, 8)):
        assert f"<bos> {one.question}" == text(questions.prompts[i])
        assert one.said == text(found.given[i]) and one.right == right
        assert one.verdict == ("right" if right else f"wrong: {text(questions.answers[i])}")


def test_answers_are_drawn_with_the_seed(workdir):
    run = load_run(workdir)
    said = [[one.said for one in asking.ask(run, "forward", 8, seed, 5.0)] for seed in (0, 0, 1)]
    assert said[0] == said[1] != said[2]


def test_problems_with_solutions_and_what_is_wrong(monkeypatch):
    world = open_world({"world": "igsm", "spec": "mini", "split": "all", "longest": 192})
    problems = reasoning.problems_of(world, "2", 5, 3, 192)
    odd = problems[1].solution.replace("so ", "so so ", 1)
    wrong = (problems[2].answer + 1) % 23
    answers = [answer(problems[0]), answer(problems[1], odd), answer(problems[2], value=wrong)]
    monkeypatch.setattr(reasoning, "solver", lambda run, **options: told(answers))
    first, second, third = asking.ask(SimpleNamespace(world=world), "2", 3, seed=5)
    assert first.question == problems[0].prompt().strip() and first.right
    assert first.said == f"{problems[0].solution.strip()}<answer> {problems[0].answer}"
    assert first.verdict == "right"
    assert not second.right and second.verdict.startswith("wrong: symbol: ")
    assert second.verdict.endswith("(sentence 1)")
    assert not third.right and third.verdict.startswith("wrong: unmarked: after the solution")


def test_worlds_without_questions_and_unknown_names(workdir):
    cfg = SimpleNamespace(
        world=open_world({"world": "cfg", "grammar": "cfg3b"}),
        config=SimpleNamespace(data=SimpleNamespace(world="cfg")),
    )
    with pytest.raises(InputError, match=r"the world 'cfg' has no questions to ask"):
        asking.ask(cfg, "law", 3)
    with pytest.raises(InputError, match=r"did you mean 'forward'"):
        asking.ask(load_run(workdir), "forwards", 3)


def test_generate_asks(workdir):
    entry = ("physlm_jax.generate", f"--workdir={workdir}", "--count=3")
    done = run_entry(*entry, "--ask=forward")
    assert done.returncode == 0, done.stderr
    exchanges = asking.ask(load_run(workdir), "forward", 3)
    expected = [f"? {e.question}\n> {e.said}\n  {e.verdict}\n" for e in exchanges]
    right = sum(e.right for e in exchanges)
    last = f"{right} of 3 right ({100 * right / 3:.1f} %) at step 150"
    assert done.stdout == "\n".join([*expected, last]) + "\n"
    for flag in ("--judge", "--top_k=3", "--prompt=a"):
        done = run_entry(*entry, "--ask=forward", flag)
        assert done.returncode == 2 and "does not go with --ask" in done.stderr
    done = run_entry(*entry, "--judge")
    assert done.returncode == 2 and "the world 'reversal' may have questions" in done.stderr
