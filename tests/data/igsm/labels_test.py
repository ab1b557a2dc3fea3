"""What is true at every point of a solution: six functions by recursion, and invariants."""

import igsm_reference as reference
import numpy as np
import pytest

from physlm_jax.data import igsm

WORLDS = ("med", "hard", "mini", "med op 21", "reask")


@pytest.fixture(params=WORLDS)
def cases(request, problems, records):
    """Problems, their records and labels."""
    pairs = list(zip(problems[request.param], records[request.param], strict=True))
    return [(problem, facts, igsm.labels(problem)) for problem, facts in pairs]


def test_labels_are_those_of_the_twin(cases):
    for _, facts, labels in cases:
        assert labels.params == list(reference.entries(facts))
        needed = reference.necessary(facts)
        order = [tuple(p) for p in facts["solution_order"]]
        values = {p: entry["value"] for p, entry in reference.entries(facts).items()}
        assert labels.nece.tolist() == [p in needed for p in labels.params]
        assert sorted(order) == sorted(needed)
        for t in range(len(order) + 1):
            done = set(order[:t])
            ready = reference.ready(facts, done)
            assert labels.known[t].tolist() == [p in done for p in labels.params]
            assert labels.can_next[t].tolist() == [p in ready for p in labels.params]
            assert labels.nece_next[t].tolist() == [p in ready & needed for p in labels.params]
            expected = [values[p] if p in done else 23 for p in labels.params]
            assert labels.value[t].tolist() == expected


def test_dependence_is_that_of_the_twin(cases):
    for _, facts, labels in cases[:25]:
        for a, row in zip(labels.params, labels.dep, strict=True):
            assert row.tolist() == [reference.needs(facts, a, b) for b in labels.params]


def test_shapes_and_types(cases):
    for problem, _, labels in cases[:5]:
        steps, params = len(problem.arrays.order), len(problem.params)
        assert labels.nece.shape == (params,) and labels.dep.shape == (params, params)
        for name in ("known", "can_next", "nece_next", "value"):
            assert getattr(labels, name).shape == (steps + 1, params)
        for name in ("nece", "dep", "known", "can_next", "nece_next"):
            assert getattr(labels, name).dtype == bool
        assert labels.value.dtype == np.int32


def test_invariants(cases):
    for problem, _, labels in cases:
        known, can, nece_next = labels.known, labels.can_next, labels.nece_next
        assert not known[0].any()
        assert (known[1:] >= known[:-1]).all() and (known.sum(1) == np.arange(len(known))).all()
        np.testing.assert_array_equal(known[-1], labels.nece)
        assert (nece_next <= can).all() and not (can & known).any()
        assert not nece_next[-1].any()
        for t, place in enumerate(problem.arrays.order):
            assert nece_next[t, place]
        np.testing.assert_array_equal(labels.value == 23, ~known)
        two_steps = labels.dep.astype(int) @ labels.dep.astype(int) > 0
        assert (two_steps <= labels.dep).all() and not labels.dep.diagonal().any()
        query = labels.params.index(problem.query)
        others = np.arange(len(labels.params)) != query
        np.testing.assert_array_equal(labels.dep[query][others], labels.nece[others])


def test_labels_do_not_share_the_problem_s_memory(problems):
    problem = problems["mini"][0]
    igsm.labels(problem).nece[:] = False
    assert problem.arrays.necessary.any()
