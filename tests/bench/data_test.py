"""The benchmarks of data and oracles measure what they say; their figures are not judged here."""

import pytest

from physlm_jax.bench import data, oracles
from physlm_jax.data import cfg

SMALL = [cfg.load("cfg3b").under(13)]


def check(rows, units):
    for name, row in rows.items():
        assert name.startswith("cfg3b-under-13: ")
        assert row["ours"] > 0 and row["unit"] in units
        assert (row["slow"] is None) == (row["ratio"] is None)


def test_rows_of_a_small_grammar():
    rows = data.run(seconds=0.2, grammars=SMALL)
    assert len(rows) == 3
    check(rows, ("M tokens/s",))
    sampling = rows["cfg3b-under-13: sample, all labels"]
    assert sampling["ratio"] == pytest.approx(sampling["ours"] / sampling["slow"])


def test_oracles_of_a_small_grammar():
    rows = oracles.run(seconds=0.2, grammars=SMALL)
    assert len(rows) == 6
    check(rows, ("ms per string",))
    judging = rows["cfg3b-under-13: is_valid, one string"]
    assert judging["ratio"] == pytest.approx(judging["slow"] / judging["ours"])
