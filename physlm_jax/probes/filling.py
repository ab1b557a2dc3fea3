"""Answers of a bidirectional model: all their tokens are masked, and filled in at once.

The prompt is followed by as many masks as the answer has tokens; an answer is right if all of them
are. Source: arXiv 2309.14316, appendix (the bidirectional control).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.data.questions import Questions
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import Params, TransformerConfig

BATCH = 256


def filled(model: TransformerConfig, params: Params, questions: Questions, mask: int) -> Ragged:
    """Returns what a model puts in the place of every answer's tokens.

    Args:
        mask: id of the mask token.
    Raises:
        InputError: there is none.
    """
    prompts, answers = questions.prompts, questions.answers
    if mask < 0:
        raise InputError("a bidirectional model is asked with masks; its vocabulary has none")
    length = int((prompts.lengths + answers.lengths).max())
    rows = np.zeros((len(prompts) + -len(prompts) % BATCH, length), np.int32)
    segments = np.zeros_like(rows)
    for i, prompt in enumerate(prompts):
        n, m = len(prompt), int(answers.lengths[i])
        rows[i, :n], rows[i, n : n + m] = prompt, mask
        segments[i, : n + m] = 1
    found = np.concatenate(
        [
            np.asarray(_likeliest(model, params, rows[a : a + BATCH], segments[a : a + BATCH]))
            for a in range(0, len(rows), BATCH)
        ]
    )
    inside = np.arange(length) - prompts.lengths[:, None]
    chosen = (inside >= 0) & (inside < answers.lengths[:, None])
    return Ragged(found[: len(prompts)][chosen].astype(np.int32), answers.offsets)


@functools.partial(jax.jit, static_argnums=0)
def _likeliest(
    model: TransformerConfig, params: Params, rows: jax.Array, segments: jax.Array
) -> jax.Array:
    logits = transformer.apply(model, params, rows, segment_ids=segments).logits
    return jnp.argmax(logits, axis=-1)
