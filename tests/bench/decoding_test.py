"""The benchmark's rows: named, positive, and true to the size of the cache."""

import pytest

from physlm_jax.bench import decoding
from physlm_jax.models.transformer import TransformerConfig


def test_rows_of_a_tiny_model():
    config = TransformerConfig(vocab_size=7, max_length=12, layers=2, width=8, heads=2, kv_heads=1)
    rows = decoding.run(0.0, config, batch=4, length=12, slow_rows=2)
    speed, step, cache, beams = rows.values()
    assert speed["ratio"] == pytest.approx(speed["ours"] / speed["slow"])
    assert step["ours"] == pytest.approx(1e3 * 4 / speed["ours"])
    assert beams["slow"] == speed["ours"] and beams["ours"] > 0
    # layers x (keys, values) x rows x places x head size x bytes of a float32
    assert cache["ours"] == pytest.approx(2 * 2 * 4 * 12 * 4 * 4 / 1e6)
