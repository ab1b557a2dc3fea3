"""What an evaluation asks of a language model, whatever kind of model it is.

A `Sampler` turns prompts into finished strings, a `Predictor` rows of tokens into the distribution
of the token after each place. Transformers and n-gram models are both made into either here, so
that the metrics know neither.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

import jax
import numpy as np

from physlm_jax.data.hashing import stream_key
from physlm_jax.data.ragged import Ragged
from physlm_jax.decoding.beam import beam
from physlm_jax.decoding.rows import Samples
from physlm_jax.decoding.sampling import generate
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.ngram import NGram
from physlm_jax.models.transformer import Params, TransformerConfig

Predictor = Callable[[np.ndarray], np.ndarray]
"""int[B, T] rows -> float[B, T, V]: ln Pr(next token | tokens up to here), at every place.

Rows may be padded on the right by any token id: a place's answer does not depend on what follows.
"""


class Sampler(Protocol):
    """Continues prompts until a string ends."""

    def __call__(self, prompts: Ragged, seed: int) -> Samples:
        """Returns one continuation per prompt; a pure function of its arguments."""
        ...


def transformer_sampler(
    config: TransformerConfig,
    params: Params,
    *,
    stop: int,
    max_length: int = 0,
    temperature: float = 1.0,
    top_k: int = 0,
    batch: int = 256,
) -> Sampler:
    """Returns a sampler of a transformer; arguments as of `sampling.generate`.

    Args:
        max_length: tokens of a whole row; 0 for the model's longest.
    """

    def sample(prompts: Ragged, seed: int) -> Samples:
        return generate(
            config,
            params,
            prompts,
            jax.random.key(stream_key(seed, "samples") >> 33),
            max_length=max_length or config.max_length,
            stop=stop,
            temperature=temperature,
            top_k=top_k,
            batch=batch,
        )

    return sample


def beam_sampler(
    config: TransformerConfig,
    params: Params,
    *,
    stop: int,
    width: int,
    sample: bool = False,
    max_length: int = 0,
    temperature: float = 1.0,
    length_penalty: float = 1.0,
    batch: int = 64,
) -> Sampler:
    """Returns beam search of a transformer as a sampler; arguments as of `beam.beam`.

    Args:
        sample: draw candidates; False: the seed changes nothing.
        max_length: tokens of a whole row; 0 for the model's longest.
    """

    def search(prompts: Ragged, seed: int) -> Samples:
        return beam(
            config,
            params,
            prompts,
            jax.random.key(stream_key(seed, "beams") >> 33),
            width=width,
            max_length=max_length or config.max_length,
            stop=stop,
            sample=sample,
            temperature=temperature,
            length_penalty=length_penalty,
            batch=batch,
        )

    return search


def ngram_sampler(model: NGram, *, stop: int, max_length: int) -> Sampler:
    """Returns a sampler of an n-gram model (at temperature 1)."""

    def sample(prompts: Ragged, seed: int) -> Samples:
        rows, finished = model.sample(prompts, seed, max_length=max_length, stop=stop)
        lengths, places = rows.lengths, np.arange(max_length)
        tokens = np.zeros((len(rows), max_length), np.int32)
        inside = places < lengths[:, None]
        tokens[inside] = rows.tokens
        log_probs = np.zeros(tokens.shape)
        log_probs[inside] = model.log_prob(rows)
        sampled = places >= prompts.lengths[:, None]
        total = (log_probs * sampled).sum(1).astype(np.float32)
        return Samples(tokens, prompts.lengths, lengths, finished, total)

    return sample


def transformer_predictor(
    config: TransformerConfig, params: Params, *, batch: int = 32
) -> Predictor:
    """Returns a predictor of a transformer, `batch` rows at a time.

    Raises:
        InputError: the model is an encoder; when called, rows longer than the model's.
    """
    if not config.causal:
        raise InputError("next-token predictions need a decoder: this model has causal=False")

    def predict(rows: np.ndarray) -> np.ndarray:
        count, length = rows.shape
        if length > config.max_length:
            raise InputError(f"rows of {length} tokens: the model reads {config.max_length}")
        size = min(batch, max(count, 1))
        padded = np.zeros((-(-count // size) * size, length), np.int32)
        padded[:count] = rows
        parts = [_log_probs(config, params, part) for part in padded.reshape(-1, size, length)]
        found = np.concatenate([np.zeros((0, length, config.vocab_size), np.float32), *parts])
        return found[:count]

    return predict


@functools.partial(jax.jit, static_argnums=0)
def _log_probs(config: TransformerConfig, params: Params, tokens_BT: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(transformer.apply(config, params, tokens_BT).logits)
