"""Questions that fork off a text against the same questions after a text of their own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.probes.forks import fork, longest, visible

CONFIG = TransformerConfig(vocab_size=12, max_length=40, layers=2, width=16, heads=2, init_std=0.3)
TEXTS = [[1, 2, 3, 4, 5, 6], [7, 8, 9]]
QUESTIONS = [[(6, [2, 3]), (0, [4]), (3, [10, 11, 2])], [(2, [1, 1])]]


@pytest.mark.parametrize("position", ["rotary", "learned"])
def test_a_question_reads_as_if_it_alone_continued_its_text(position):
    config = dataclasses.replace(CONFIG, position=position)
    params = transformer.init(config, jax.random.key(3))
    rows = fork(TEXTS, QUESTIONS, 16, 4)
    out = transformer.apply(
        config,
        params,
        jnp.asarray(rows.tokens),
        positions=jnp.asarray(rows.positions),
        visible=visible(rows),
    )
    for row, (text, put) in enumerate(zip(TEXTS, QUESTIONS, strict=True)):
        assert rows.asked[row].tolist() == [True] * len(put) + [False] * (4 - len(put))
        for number, (place, ids) in enumerate(put):
            alone = jnp.array([[*text[:place], *ids]])
            expected = transformer.apply(config, params, alone).logits[0, -1]
            found = out.logits[row, rows.ends[row, number]]
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_no_question_sees_of_a_text_is_left_out():
    rows = fork([[1, 2, 3, 4]], [[(1, [5]), (2, [6])]], 6, 2)
    assert rows.tokens.tolist() == [[1, 2, 5, 6, 0, 0]]
    assert longest([[(1, [5]), (2, [6])]]) == 4


def test_a_row_that_is_too_long_is_refused():
    with pytest.raises(InputError, match="needs 12 tokens; a row has room for 8"):
        fork(TEXTS, QUESTIONS, 8, 4)
    with pytest.raises(InputError, match="3 questions"):
        fork(TEXTS, QUESTIONS, 16, 2)
