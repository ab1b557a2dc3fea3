"""The benchmark of the train step runs, prints its rows, and names what it cannot do."""

import dataclasses

import pytest

from physlm_jax.bench import training
from physlm_jax.bench.rows import table
from physlm_jax.errors import InputError

TINY = dataclasses.replace(training.SHAPE, layers=1, width=16, heads=2, max_length=8)


def test_rows_of_a_tiny_shape():
    rows = training.run(rounds=1, model=TINY, batch=2)
    assert list(rows) == ["train step", "utilisation", "compile and first update"]
    assert all(row["ours"] > 0 and row["slow"] is None for row in rows.values())
    lines = table(rows, "peer").splitlines()
    assert len(lines) == 4 and "tokens/processor second" in lines[1]


def test_an_unknown_or_missing_peer_is_one_line():
    with pytest.raises(InputError, match="nanodo"):
        training.run(peer="nanodoo")
    with pytest.raises(InputError, match="PYTHONPATH"):
        training.run(peer="nanodo", rounds=1, model=TINY, batch=2)
