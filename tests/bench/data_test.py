"""The benchmark of the data measures what it says; its figures are not judged here."""

import pytest

from physlm_jax.bench import data
from physlm_jax.data import cfg


def test_rows_of_a_small_grammar():
    rows = data.run(seconds=0.2, grammars=[cfg.load("cfg3b").under(13)])
    assert len(rows) == 8
    for name, row in rows.items():
        assert name.startswith("cfg3b-under-13: ")
        assert row["ours"] > 0 and row["unit"] in ("M tokens/s", "ms per string")
        assert (row["slow"] is None) == (row["ratio"] is None)
    sampling = rows["cfg3b-under-13: sample, all labels"]
    assert sampling["ratio"] == pytest.approx(sampling["ours"] / sampling["slow"])
    judging = rows["cfg3b-under-13: is_valid, one string"]
    assert judging["ratio"] == pytest.approx(judging["slow"] / judging["ours"])
