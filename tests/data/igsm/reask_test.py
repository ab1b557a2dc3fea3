"""Problems that are asked again: the same problem, another query, an order of its own."""

import igsm_reference as reference
import igsm_summary as summary
import numpy as np
import pytest

from physlm_jax.data import igsm


@pytest.fixture(scope="module")
def pairs():
    """Records of problems, and of the same ones asked again."""
    specs = igsm.Spec(op=14), igsm.Spec(op=14, reask=True)
    return list(zip(*([p.facts() for p in igsm.sample(s, 8, 0, 800)] for s in specs), strict=True))


def test_the_problem_is_the_same(pairs):
    """But for its names, which are drawn after the query."""
    for first, again in pairs:
        assert first["op"] == 14 and first["structure_edges"] == again["structure_edges"]
        for a, b in zip(first["params"], again["params"], strict=True):
            kept = a.keys() - {"necessary", "name"}
            assert {k: a[k] for k in kept} == {k: b[k] for k in kept}


def test_the_query_is_any_other_of_the_graph(pairs):
    rng, places = np.random.default_rng(0), []
    for first, again in pairs:
        assert first["query"] != again["query"]
        options = [
            entry["id"]
            for entry in first["params"]
            if entry["in_dependency_graph"] and entry["id"] != first["query"]
        ]
        places.append((options.index(again["query"]) + rng.random()) / len(options))
    counts, _ = np.histogram(places, 10, (0, 1))
    assert summary.misfit(counts, len(places) / 10) < 4


def test_the_order_is_any_that_works(pairs):
    """Each next parameter is uniform among those whose dependencies are defined."""
    rng, places = np.random.default_rng(1), []
    for _, again in pairs:
        order = [tuple(p) for p in again["solution_order"]]
        needed = reference.necessary(again)
        assert set(order) == needed and len(order) == len(needed)
        done: set = set()
        for p in order:
            options = sorted(reference.ready(again, done) & needed)
            if len(options) > 1:
                places.append((options.index(p) + rng.random()) / len(options))
            done.add(p)
    counts, _ = np.histogram(places, 10, (0, 1))
    assert len(places) > 500 and summary.misfit(counts, len(places) / 10) < 4
