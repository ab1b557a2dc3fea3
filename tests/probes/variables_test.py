"""V-probes: where questions are put, what is true there, and that a fit leaves the model alone."""

import jax
import numpy as np
import pytest

from physlm_jax.data import igsm, open_world
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.probes.variable_fit import FitConfig, cut, fit, predict
from physlm_jax.probes.variable_tasks import CLASSES, TASKS, Reading, ask, distances
from physlm_jax.probes.variables import scores

ORDERS = {o: open_world({"world": "igsm", "spec": "mini-gpu", "order": o}) for o in ("pq", "qp")}
PROBLEMS = igsm.sample(igsm.MINI_GPU, 5, 0, 30)


@pytest.mark.parametrize("order", ["pq", "qp"])
def test_places(order):
    world = ORDERS[order]
    for problem in PROBLEMS:
        reading = Reading(world, problem)

        def seen(task, t=0, reading=reading):
            return world.vocabulary.decode(reading.text[: reading.place(task, t)])

        prompt = problem.prompt(order)
        assert seen("nece") == f"<problem>{prompt}"
        statement = prompt if order == "qp" else prompt[: prompt.rindex(" How many")]
        assert seen("dep") == f"<problem>{statement}"
        sentences = problem.solution.split(". ")
        for t in range(len(sentences) + 1):
            begun = ". ".join(sentences[:t])
            ended = begun if t in (0, len(sentences)) else begun + "."
            assert seen("known", t) == f"<problem>{prompt}<solution>{ended}"


@pytest.mark.parametrize("task", TASKS)
def test_questions_are_about_the_graph_and_have_the_truth_of_the_labels(task):
    world = ORDERS["pq"]
    for problem in PROBLEMS[:10]:
        truth, asked = igsm.labels(problem), ask(world, problem, task, 10, 1)
        again = ask(world, problem, task, 10, 1)
        assert again.questions == asked.questions and len(set(map(str, asked.questions))) == len(
            asked.questions
        )
        names = {problem.name(p): n for n, p in enumerate(problem.params)}
        reading = Reading(world, problem)
        for (place, ids), right, param in zip(
            asked.questions, asked.truth, asked.params, strict=True
        ):
            assert problem.arrays.in_graph[param]
            said = world.vocabulary.decode(ids).removeprefix("<start> ").removesuffix("<stop>")
            a, *b = (names[name] for name in said.split("<mid> "))
            assert a == param and len(b) == (task == "dep")
            if task == "dep":
                assert right == truth.dep[a, b[0]]
            elif task == "nece":
                assert right == truth.nece[a]
            else:
                assert right == getattr(truth, task)[reading.after.index(place), a]


def test_distances_are_those_of_shortest_paths():
    for problem in PROBLEMS:
        found, query = distances(problem), problem.arrays.order[-1]
        assert found[query] == 0
        assert ((found >= 0) == problem.arrays.necessary).all()
        for p in np.flatnonzero(found > 0):
            users = [u for u, used in enumerate(problem.uses) if p in used and found[u] >= 0]
            assert found[p] == 1 + min(found[u] for u in users)


@pytest.fixture(scope="module")
def model():
    world = ORDERS["pq"]
    config = TransformerConfig(
        vocab_size=len(world.vocabulary), max_length=64, layers=2, width=32, heads=2, init_std=0.1
    )
    return config, transformer.init(config, jax.random.key(0))


def test_a_probe_learns_what_is_easy_and_leaves_the_model_alone(model):
    """`known` after all sentences or none: which words came before decides it."""
    config, params = model
    asked = [ask(ORDERS["pq"], p, "known", 10, 0) for p in PROBLEMS]
    before = jax.tree.map(np.asarray, params)
    settings = FitConfig(steps=200, batch=10, learning_rate=3e-2)
    probe = fit(settings, config, params, "known", [asked[:10], asked[10:20], asked[20:]])
    jax.tree.map(np.testing.assert_array_equal, before, params)
    truth = np.concatenate([a.truth for a in asked])
    right = (predict(probe, params, asked, batch=8) == truth).mean()
    assert right > max(truth.mean(), 1 - truth.mean()) + 0.05
    assert probe.head["kernel"].shape == (32, CLASSES["known"])


def test_an_unfitted_probe_says_one_thing_and_rows_do_not_matter(model):
    config, params = model
    asked = [ask(ORDERS["pq"], p, "value", 10, 0) for p in PROBLEMS[:6]]
    probe = fit(FitConfig(steps=1, batch=3), config, params, "value", [asked[:3]])
    found = predict(probe, params, asked, batch=4)
    np.testing.assert_array_equal(found, predict(probe, params, asked, batch=2))
    assert len(found) == sum(len(a.questions) for a in asked)


def test_a_layer_is_read_from_the_network_up_to_it(model):
    config, params = model
    tokens = np.arange(8)[None]
    shallow, kept = cut(config, params, 1)
    hidden = transformer.apply(config, params, tokens, hidden=True).hidden
    found = transformer.apply(shallow, kept, tokens, hidden=True).hidden
    np.testing.assert_allclose(found[-1], hidden[1], atol=1e-6)
    with pytest.raises(InputError, match=r"layers 1\.\.2"):
        cut(config, params, 3)


def test_scores():
    asked = [ask(ORDERS["pq"], p, "nece", 10, 0) for p in PROBLEMS]
    truth = np.concatenate([a.truth for a in asked])
    found = scores(asked, np.ones(len(truth), int))
    assert found["right"] == found["majority"] if truth.mean() > 0.5 else found["right"] < 0.5
    assert found["positives"] == 1 and found["negatives"] == 0
    assert sum(c["n"] for c in found["by_distance"].values()) == truth.sum()
    with pytest.raises(InputError, match="task 'need'"):
        ask(ORDERS["pq"], PROBLEMS[0], "need", 10, 0)
