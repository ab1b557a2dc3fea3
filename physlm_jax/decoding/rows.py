"""What every decoder has in common: prompts as rows of one length, a cache that grows, the result.

A step reads the whole cache, most of a small model's time; so the cache grows with the strings, by
doubling, within one compiled function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.data.ragged import Ragged, as_ragged
from physlm_jax.errors import InputError
from physlm_jax.models.transformer import Cache, TransformerConfig

FIRST_CACHE = 64  # places of the first cache; doubled until the longest string fits

Prompts = Ragged | Sequence[Sequence[int]] | np.ndarray


@dataclass(frozen=True)
class Samples:
    """Prompts and their continuations, in the order of the prompts.

    Attributes:
        tokens: int32[N, S], prompt and continuation, the stop token included; 0 after that.
        prompt_lengths, lengths: int64[N], tokens of the prompt, and of the whole.
        finished: bool[N], whether the stop token ended the row before it was full.
        log_prob: float32[N], natural log of the model's probability (temperature 1, nothing
            forbidden) of the new tokens given what precedes them, the stop token included.
    """

    tokens: np.ndarray
    prompt_lengths: np.ndarray
    lengths: np.ndarray
    finished: np.ndarray
    log_prob: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def continuations(self) -> Ragged:
        """The new tokens alone, without the stop token."""
        places = np.arange(self.tokens.shape[1])
        ends = self.lengths - self.finished
        sampled = (places >= self.prompt_lengths[:, None]) & (places < ends[:, None])
        offsets = np.concatenate([[0], np.cumsum(ends - self.prompt_lengths)])
        return Ragged(self.tokens[sampled], offsets.astype(np.int64))


def no_samples(max_length: int) -> Samples:
    """The answer to no prompts."""
    none = np.zeros(0, np.int64)
    tokens = np.zeros((0, max_length), np.int32)
    return Samples(tokens, none, none, none.astype(bool), none.astype(np.float32))


def ragged(prompts: Prompts) -> Ragged:
    """The prompts as one Ragged."""
    return prompts if isinstance(prompts, Ragged) else as_ragged(list(prompts))


def laid_out(
    config: TransformerConfig, prompts: Ragged, max_length: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Prompts at the start of rows of zeros, and their lengths; batches of `size` rows all full.

    Returns:
        int32[M, S], M a multiple of size, S at least max_length; int32[M], where rows that only
        fill the last batch repeat lengths of others.
    """
    count, places = len(prompts), min(_rounded(max_length), config.max_length)
    rows = np.zeros((-(-count // size) * size, places), np.int32)
    rows[:count][np.arange(places) < prompts.lengths[:, None]] = prompts.tokens
    return rows, np.resize(prompts.lengths, len(rows)).astype(np.int32)


def bias(config: TransformerConfig, forbid: Sequence[int]) -> jax.Array:
    """float32[V], added to logits: -inf for forbidden tokens."""
    return jnp.zeros(config.vocab_size).at[jnp.array(forbid, int)].set(-jnp.inf)


def stages(prefilled: int, total: int) -> list[int]:
    """The places of each cache in turn: the first holds what is prefilled, the last is `total`."""
    sizes = [FIRST_CACHE << i for i in range(total.bit_length()) if FIRST_CACHE << i < total]
    return [*(s for s in sizes if s > prefilled), total]


def grown(cache: Cache | None, places: int) -> Cache | None:
    """The same cache with room for `places` places."""

    def grow(x_BGSK: jax.Array) -> jax.Array:
        return jnp.pad(x_BGSK, ((0, 0), (0, 0), (0, places - x_BGSK.shape[2]), (0, 0)))

    return jax.tree.map(grow, cache)


def _rounded(length: int) -> int:
    """Few buffer lengths, so few compilations: the next multiple of the first cache."""
    return -(-length // FIRST_CACHE) * FIRST_CACHE


def check(
    config: TransformerConfig,
    prompts: Ragged,
    max_length: int,
    stop: int,
    batch: int,
    forbid: Sequence[int],
) -> None:
    """Raises InputError for what no decoder can do."""
    if not config.causal:
        raise InputError("sampling needs a decoder: this model has model.causal=False")
    if not 1 <= max_length <= config.max_length:
        raise InputError(
            f"max_length {max_length}: expected 1..{config.max_length}, the model's max_length"
        )
    if batch < 1:
        raise InputError(f"batch {batch}: expected at least 1 row")
    for name, ids in (("a prompt", prompts.tokens), ("stop", [stop]), ("forbid", forbid)):
        _check_tokens(name, np.asarray(ids, np.int64), config.vocab_size)
    if len(set(forbid)) == config.vocab_size:
        raise InputError("forbid names every token: nothing is left to sample")
    _check_lengths(prompts, max_length)


def _check_tokens(name: str, ids: np.ndarray, size: int) -> None:
    wrong = ids[(ids < 0) | (ids >= size)]
    if len(wrong):
        raise InputError(f"token {wrong[0]} in {name}: the model knows 0..{size - 1}")


def _check_lengths(prompts: Ragged, max_length: int) -> None:
    wrong = np.flatnonzero((prompts.lengths < 1) | (prompts.lengths >= max_length))
    if len(wrong):
        raise InputError(
            f"prompt {wrong[0]} has {prompts.lengths[wrong[0]]} tokens: expected 1 to "
            f"{max_length - 1}, one less than max_length"
        )
