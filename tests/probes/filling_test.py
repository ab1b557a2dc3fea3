"""Answers filled in by a bidirectional model, against one question at a time."""

import jax
import numpy as np
import pytest

from physlm_jax.data.questions import Questions
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.probes.filling import filled

MASK = 5
CONFIG = transformer.TransformerConfig(
    vocab_size=30, max_length=16, layers=2, width=16, heads=2, causal=False, init_std=0.5
)
PARAMS = transformer.init(CONFIG, jax.random.key(0))
QUESTIONS = Questions.of(
    [([7, 8, 9], [10]), ([7, 8, 9, 11, 12], [13, 14]), ([6], [20, 21, 22])], bos=1
)


def test_every_mask_is_filled_from_both_sides_and_padding_is_not_seen():
    found = filled(CONFIG, PARAMS, QUESTIONS, MASK)
    for i, (prompt, answer) in enumerate(zip(QUESTIONS.prompts, QUESTIONS.answers, strict=True)):
        row = np.array([[*prompt.tolist(), *[MASK] * len(answer)]])
        logits = transformer.apply(CONFIG, PARAMS, row).logits
        assert found[i].tolist() == np.argmax(logits, -1)[0, len(prompt) :].tolist()
    assert len({tuple(x.tolist()) for x in found}) > 1


def test_a_vocabulary_without_a_mask_is_refused():
    with pytest.raises(InputError, match=r"its vocabulary has none"):
        filled(CONFIG, PARAMS, QUESTIONS, -1)
