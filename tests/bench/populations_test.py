"""The benchmark of populations compares equal work."""

import dataclasses

from physlm_jax.bench import populations

TINY = dataclasses.replace(populations.SMALL, layers=1, width=16, heads=2, max_length=8)


def test_one_row_names_its_shape():
    rows = populations.run(members=3, model=TINY, batch=2, rounds=2)
    (name,) = rows
    assert name == "3 runs of 1x16"
    assert rows[name]["ours"] > 0 and rows[name]["slow"] > 0 and rows[name]["ratio"] > 0
