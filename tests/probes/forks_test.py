"""Questions that fork off a text against the same questions after a text of their own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.probes.forks import fork, longest, row_count, visible

CONFIG = TransformerConfig(vocab_size=12, max_length=40, layers=2, width=16, heads=2, init_std=0.3)
TEXTS = [[1, 2, 3, 4, 5, 6], [7, 8, 9]]
QUESTIONS = [[(6, [2, 3]), (0, [4]), (3, [10, 11, 2])], [(2, [1, 1])]]


@pytest.mark.parametrize("position", ["rotary", "learned"])
@pytest.mark.parametrize("length", [16, 25])
def test_a_question_reads_as_if_it_alone_continued_its_text(position, length):
    """Also where both texts are in one row: they have 12 and 4 tokens with their questions."""
    config = dataclasses.replace(CONFIG, position=position)
    params = transformer.init(config, jax.random.key(3))
    rows = fork(TEXTS, QUESTIONS, length, 4, rows=2)
    assert (rows.branch >= 0).sum(1).tolist() == [16, 0]
    out = transformer.apply(
        config,
        params,
        jnp.asarray(rows.tokens),
        positions=jnp.asarray(rows.positions),
        visible=visible(rows),
    )
    logits = out.logits.reshape(-1, config.vocab_size)
    for n, (text, put) in enumerate(zip(TEXTS, QUESTIONS, strict=True)):
        assert rows.asked[n].tolist() == [True] * len(put) + [False] * (4 - len(put))
        for number, (place, ids) in enumerate(put):
            alone = jnp.array([[*text[:place], *ids]])
            expected = transformer.apply(config, params, alone).logits[0, -1]
            np.testing.assert_allclose(logits[rows.ends[n, number]], expected, atol=1e-5)


def test_what_no_question_sees_of_a_text_is_left_out():
    rows = fork([[1, 2, 3, 4]], [[(1, [5]), (2, [6])]], 6, 2)
    assert rows.tokens.tolist() == [[1, 2, 5, 6, 0, 0]]
    assert longest([[(1, [5]), (2, [6])]]) == 4


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(9, 20))
def test_texts_share_rows_without_touching(sizes, length):
    questions = [[(size - 1, [1])] for size in sizes]
    rows = fork([[1] * size for size in sizes], questions, length, 1)
    filled = rows.branch >= 0
    assert filled.sum() == sum(sizes) and len(rows.tokens) == row_count(questions, length)
    assert filled.any(1).all() and len(rows.tokens) <= len(sizes)
    halves = filled.sum(1) <= length // 2
    assert halves.sum() <= 1, "two rows that are half empty would have been one"


def test_a_row_that_is_too_long_is_refused():
    with pytest.raises(InputError, match="needs 12 tokens; a row has room for 8"):
        fork(TEXTS, QUESTIONS, 8, 4)
    with pytest.raises(InputError, match="3 questions"):
        fork(TEXTS, QUESTIONS, 16, 2)
    with pytest.raises(InputError, match="2 texts need 2 rows of 12 tokens, not 1"):
        fork(TEXTS, QUESTIONS, 12, 4, rows=1)
