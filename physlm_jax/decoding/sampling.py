"""Sampling many continuations at once: a KV cache, one compiled loop, a random stream per row.

All rows of a batch stand at the same place, so a step writes one place of the cache. The tokens
that every prompt has are read in one forward pass; where a prompt is longer, its token is put in
place of the sampled one. The loop ends when every row has stopped. Row i at place t draws with the
key fold_in(fold_in(key, i), t), so that a sample depends neither on the batch it is in nor on the
other rows (but for rounding: matrix products of other shapes may differ in the last bit).

A step reads the whole cache, most of a small model's time; so the cache grows with the strings, by
doubling, within the same compiled function.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.data.ragged import Ragged, as_ragged
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import Cache, Params, TransformerConfig

_FIRST_CACHE = 64  # places of the first cache; doubled until the longest string fits
PAD = 0


@dataclass(frozen=True)
class Samples:
    """Prompts and their sampled continuations, in the order of the prompts.

    Attributes:
        tokens: int32[N, S], prompt and continuation, the stop token included; 0 after that.
        prompt_lengths, lengths: int64[N], tokens of the prompt, and of the whole.
        finished: bool[N], whether the stop token was sampled before the row was full.
        log_prob: float32[N], natural log of the model's probability (temperature 1, nothing
            forbidden) of the sampled tokens given what precedes them, the stop token included.
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
        """The sampled tokens alone, without the stop token."""
        places = np.arange(self.tokens.shape[1])
        ends = self.lengths - self.finished
        sampled = (places >= self.prompt_lengths[:, None]) & (places < ends[:, None])
        offsets = np.concatenate([[0], np.cumsum(ends - self.prompt_lengths)])
        return Ragged(self.tokens[sampled], offsets.astype(np.int64))


class _Static(NamedTuple):
    """What a compiled sampler is compiled for, besides the shapes of its arguments."""

    config: TransformerConfig
    prefilled: int
    greedy: bool
    top_k: int
    cached: bool


class _Controls(NamedTuple):
    """What may change without another compilation: scalars, and float32[V] added to logits."""

    length: jax.Array
    stop: jax.Array
    temperature: jax.Array
    bias: jax.Array


class _State(NamedTuple):
    """The loop's state: all tokens up to `place` are known; [B, S], [B], and the cache."""

    place: jax.Array
    tokens: jax.Array
    lengths: jax.Array
    stopped: jax.Array
    log_prob: jax.Array
    cache: Cache | None


def generate(
    config: TransformerConfig,
    params: Params,
    prompts: Ragged | Sequence[Sequence[int]] | np.ndarray,
    key: jax.Array,
    *,
    max_length: int,
    stop: int,
    temperature: float = 1.0,
    top_k: int = 0,
    batch: int = 256,
    cache: bool = True,
    forbid: Sequence[int] = (),
) -> Samples:
    """Samples a continuation of each prompt until the stop token or until the row is full.

    Args:
        prompts: N rows of at least one token id each, of any lengths below max_length. A stop
            token inside a prompt does not stop it.
        key: a JAX key; the same key gives the same samples.
        max_length: S, the tokens of prompt and continuation together, at most config.max_length.
        stop: the token id that ends a string.
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: draw from the k likeliest tokens alone; 0 from all.
        batch: rows at once; the last batch is filled up, so that one compilation serves all.
        cache: keep keys and values; False recomputes every row at every step (the slow twin).
        forbid: token ids that are never sampled.

    Raises:
        InputError: an argument outside these ranges, or an encoder.
    """
    ragged = prompts if isinstance(prompts, Ragged) else as_ragged(list(prompts))
    _check(config, ragged, max_length, stop, temperature, top_k, batch, forbid)
    count, size = len(ragged), min(batch, len(ragged))
    if not count:
        return _empty(max_length)
    places = min(_rounded(max_length), config.max_length)
    rows = np.zeros((-(-count // size) * size, places), np.int32)
    rows[:count][np.arange(places) < ragged.lengths[:, None]] = ragged.tokens
    lengths = np.resize(ragged.lengths, len(rows)).astype(np.int32)
    static = _Static(config, int(lengths.min()) - 1, temperature == 0, top_k, cache)
    controls = _Controls(
        jnp.int32(max_length),
        jnp.int32(stop),
        jnp.float32(temperature or 1.0),
        jnp.zeros(config.vocab_size).at[jnp.array(forbid, int)].set(-jnp.inf),
    )
    parts = []
    for lo in range(0, len(rows), size):
        part, number = slice(lo, lo + size), np.arange(lo, lo + size)
        state = _run(
            static, params, controls, key, rows[part], lengths[part], number < count, number
        )
        parts.append(jax.device_get(state))
    tokens, ends, finished, log_prob = (np.concatenate(x)[:count] for x in zip(*parts, strict=True))
    ends = ends.astype(np.int64)
    return Samples(tokens[:, :max_length], ragged.lengths, ends, finished, log_prob)


@functools.partial(jax.jit, static_argnums=0)
def _run(
    static: _Static,
    params: Params,
    controls: _Controls,
    key: jax.Array,
    tokens: jax.Array,
    prompts: jax.Array,
    alive: jax.Array,
    numbers: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """One batch: tokens int32[B, S], prompt lengths int32[B], alive bool[B], row numbers int[B].

    Returns tokens, lengths, whether the stop token was sampled, log-probabilities.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
    batch, total = tokens.shape
    state = _State(
        jnp.int32(static.prefilled),
        tokens,
        prompts,
        ~alive,
        jnp.zeros(batch),
        _prefill(static, params, tokens),
    )
    step = functools.partial(_step, static, params, controls, keys, prompts)
    for places in _stages(static, total):
        state = state._replace(cache=_grown(state.cache, places))
        last = jnp.minimum(controls.length - 1, places)
        state = jax.lax.while_loop(functools.partial(_unfinished, last), step, state)
    return state.tokens, state.lengths, state.stopped, state.log_prob


def _unfinished(last: jax.Array, state: _State) -> jax.Array:
    return (state.place < last) & ~state.stopped.all()


def _step(
    static: _Static,
    params: Params,
    controls: _Controls,
    keys: jax.Array,
    prompts: jax.Array,
    state: _State,
) -> _State:
    """Finds the token after `place` in every row: the prompt's, or a sampled one, or none."""
    logits, cache = _logits(static, params, state)
    place = state.place + 1
    sampled = (place >= prompts) & ~state.stopped
    token = jnp.where(sampled, _draw(static, controls, keys, place, logits), state.tokens[:, place])
    log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits), token[:, None], axis=1)[:, 0]
    return _State(
        place,
        state.tokens.at[:, place].set(token),
        state.lengths + sampled,
        state.stopped | (sampled & (token == controls.stop)),
        state.log_prob + jnp.where(sampled, log_probs, 0.0),
        cache,
    )


def _logits(static: _Static, params: Params, state: _State) -> tuple[jax.Array, Cache | None]:
    """float32[B, V]: the logits that follow the token at `place`, and the cache with that token."""
    if state.cache is None:
        logits = transformer.apply(static.config, params, state.tokens).logits
        return jax.lax.dynamic_index_in_dim(logits, state.place, 1, keepdims=False), None
    token = jax.lax.dynamic_slice_in_dim(state.tokens, state.place, 1, 1)
    out = transformer.apply(static.config, params, token, cache=state.cache, start=state.place)
    return out.logits[:, 0], out.cache


def _draw(
    static: _Static, controls: _Controls, keys: jax.Array, place: jax.Array, logits: jax.Array
) -> jax.Array:
    """int32[B]: one token per row."""
    logits = logits + controls.bias
    if static.greedy:
        return logits.argmax(-1).astype(jnp.int32)
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys, place)
    if not static.top_k:
        drawn = jax.vmap(jax.random.categorical)(keys, logits / controls.temperature)
        return drawn.astype(jnp.int32)
    likeliest, ids = jax.lax.top_k(logits, static.top_k)
    drawn = jax.vmap(jax.random.categorical)(keys, likeliest / controls.temperature)
    return jnp.take_along_axis(ids, drawn[:, None], axis=1)[:, 0]


def _prefill(static: _Static, params: Params, tokens: jax.Array) -> Cache | None:
    """The cache of the tokens before the last one that every prompt has."""
    if not static.cached:
        return None
    first = _stages(static, tokens.shape[1])[0]
    cache = transformer.empty_cache(static.config, len(tokens), first)
    if not static.prefilled:
        return cache
    known = tokens[:, : static.prefilled]
    return transformer.apply(static.config, params, known, cache=cache).cache


def _stages(static: _Static, total: int) -> list[int]:
    """The places of each cache in turn: the first holds what is prefilled, the last is `total`."""
    if not static.cached:
        return [total]
    sizes = [_FIRST_CACHE << i for i in range(total.bit_length()) if _FIRST_CACHE << i < total]
    return [*(s for s in sizes if s > static.prefilled), total]


def _grown(cache: Cache | None, places: int) -> Cache | None:
    """The same cache with room for `places` places."""

    def grow(x_BGSK: jax.Array) -> jax.Array:
        return jnp.pad(x_BGSK, ((0, 0), (0, 0), (0, places - x_BGSK.shape[2]), (0, 0)))

    return jax.tree.map(grow, cache)


def _rounded(length: int) -> int:
    """Few buffer lengths, so few compilations: the next multiple of the first cache."""
    return -(-length // _FIRST_CACHE) * _FIRST_CACHE


def _empty(max_length: int) -> Samples:
    none = np.zeros(0, np.int64)
    tokens = np.zeros((0, max_length), np.int32)
    return Samples(tokens, none, none, none.astype(bool), none.astype(np.float32))


def _check(
    config: TransformerConfig,
    prompts: Ragged,
    max_length: int,
    stop: int,
    temperature: float,
    top_k: int,
    batch: int,
    forbid: Sequence[int],
) -> None:
    if not config.causal:
        raise InputError("sampling needs a decoder: this model has model.causal=False")
    if not 1 <= max_length <= config.max_length:
        raise InputError(
            f"max_length {max_length}: expected 1..{config.max_length}, the model's max_length"
        )
    if not temperature >= 0 or temperature == float("inf"):
        raise InputError(f"temperature {temperature}: expected a number >= 0 (0: greedy)")
    if not 0 <= top_k <= config.vocab_size:
        raise InputError(f"top_k {top_k}: expected 0 (all tokens) to {config.vocab_size}")
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
