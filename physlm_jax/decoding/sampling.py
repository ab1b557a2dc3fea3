"""Sampling many continuations at once: a KV cache, one compiled loop, a random stream per row.

All rows of a batch stand at the same place, so a step writes one place of the cache. Tokens that
every prompt has are read in one forward pass, but for the last few; where a prompt is longer, its
token is put in place of the sampled one. The loop ends when every row has stopped. Row i at place
t draws with the key fold_in(fold_in(key, i), t), so that a sample depends neither on the batch it
is in nor on the other rows (but for rounding: matrix products of other shapes may differ in the
last bit).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.decoding import rows
from physlm_jax.decoding.rows import Prompts, Samples
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import Cache, Params, TransformerConfig

PREFILL = 32  # tokens of prompts read in one pass: multiples of this, so that few are compiled


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
    prompts: Prompts,
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
    ragged = rows.ragged(prompts)
    rows.check(config, ragged, max_length, stop, batch, forbid)
    _check(config, temperature, top_k)
    count, size = len(ragged), min(batch, len(ragged))
    if not count:
        return rows.no_samples(max_length)
    tokens, lengths = rows.laid_out(config, ragged, max_length, size)
    known = int(lengths.min()) - 1
    known -= known % PREFILL
    static = _Static(config, known, temperature == 0, top_k, cache)
    controls = _Controls(
        jnp.int32(max_length),
        jnp.int32(stop),
        jnp.float32(temperature or 1.0),
        rows.bias(config, forbid),
    )
    parts = []
    for lo in range(0, len(tokens), size):
        part, number = slice(lo, lo + size), np.arange(lo, lo + size)
        state = _run(
            static, params, controls, key, tokens[part], lengths[part], number < count, number
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
        state = state._replace(cache=rows.grown(state.cache, places))
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
    """The places of each cache in turn."""
    return rows.stages(static.prefilled, total) if static.cached else [total]


def _check(config: TransformerConfig, temperature: float, top_k: int) -> None:
    if not temperature >= 0 or temperature == float("inf"):
        raise InputError(f"temperature {temperature}: expected a number >= 0 (0: greedy)")
    if not 0 <= top_k <= config.vocab_size:
        raise InputError(f"top_k {top_k}: expected 0 (all tokens) to {config.vocab_size}")
