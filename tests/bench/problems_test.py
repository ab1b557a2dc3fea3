"""The benchmark of iGSM measures what it says; its figures are not judged here."""

import pytest

from physlm_jax.bench import problems


def test_rows():
    rows = problems.run(seconds=0.1, specs=["mini-gpu", "med"])
    assert len(rows) == 10 and all(row["ours"] > 0 for row in rows.values())
    made = rows["med: tokens, all bins"]
    assert made["ratio"] == pytest.approx(made["ours"] / 58) and made["unit"] == "problems/s"
    assert rows["mini-gpu: verify"]["slow"] is None
