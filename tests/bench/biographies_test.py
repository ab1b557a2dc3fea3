"""The benchmark of biographies measures what it says; its figures are not judged here."""

import pytest

from physlm_jax.bench import biographies
from physlm_jax.data import bios


def test_rows():
    rows = biographies.run(seconds=0.1, pools=["mini"], vocabularies=["atomic"], people=1000)
    kinds = ("biographies", "questions")
    assert list(rows) == [
        f"mini, atomic: {kind}{what}"
        for kind in kinds
        for what in ("", ", tokens", ", packed rows")
    ]
    assert all(line["ours"] > 0 and line["slow"] is line["ratio"] is None for line in rows.values())
    each, tokens = (rows[f"mini, atomic: biographies{what}"] for what in ("", ", tokens"))
    length = bios.world(1000, pools="mini", vocabulary="atomic").mean_length
    assert tokens["ours"] * 1000 / each["ours"] == pytest.approx(length, rel=0.01)
