"""Beam search, and beam search whose candidates are drawn: the best of many ends of each prompt.

The rules are those of Hugging Face's `generate(num_beams=W, do_sample=...)`, which the papers on
grade-school mathematics decode with (arXiv 2407.20311, appendix F; 2408.16293): see `hypotheses`. A
prompt is done when W hypotheses have finished and its best live beam, its score divided by what its
length now gives, is not above the worst of them.

Here unlike there: a full row's live beam competes only where fewer than W hypotheses have finished
(there it always does, so that here more strings end); scores at a temperature, or with tokens
forbidden, are log-probabilities of the distribution that is left (there its parts need not sum to
1); drawn candidates are sorted before they are ranked.

The W beams of a prompt lie side by side in one row of the cache (`branches`). Where a prompt is
longer than others of its batch, its own tokens are put in place of candidates. Prompt i draws at
place t with the key fold_in(fold_in(key, i), t), as in `sampling`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.decoding import branches, hypotheses, rows
from physlm_jax.decoding.branches import Layout
from physlm_jax.decoding.hypotheses import Beams, Pool
from physlm_jax.decoding.rows import Prompts, Samples
from physlm_jax.errors import InputError
from physlm_jax.models.transformer import Cache, Params, TransformerConfig


class _Static(NamedTuple):
    """What a compiled search is compiled for, besides the shapes of its arguments."""

    config: TransformerConfig
    layout: Layout


class _Controls(NamedTuple):
    """What may change without another compilation: scalars, and float32[V] added to logits."""

    length: jax.Array
    stop: jax.Array
    temperature: jax.Array
    penalty: jax.Array
    bias: jax.Array


class _Batch(NamedTuple):
    """Prompts of one batch: int32[B, S], their lengths int32[B], and keys [B] if drawing."""

    tokens: jax.Array
    prompts: jax.Array
    keys: jax.Array | None


class _State(NamedTuple):
    """The loop's state: all tokens up to `place` are known; done: bool[B]."""

    place: jax.Array
    beams: Beams
    pool: Pool
    done: jax.Array
    cache: Cache | None


def beam(
    config: TransformerConfig,
    params: Params,
    prompts: Prompts,
    key: jax.Array | None = None,
    *,
    width: int,
    max_length: int,
    stop: int,
    sample: bool = False,
    temperature: float = 1.0,
    length_penalty: float = 1.0,
    batch: int = 64,
    forbid: Sequence[int] = (),
) -> Samples:
    """Returns the best hypothesis of each prompt: the finished one with the highest score.

    A score is the sum of log-probabilities of the n new tokens, stop token included, divided by
    n ** length_penalty. Where the row fills up before W hypotheses have finished, the best live
    beam competes with them as it is. A width of 1 without drawing is greedy decoding.

    Args:
        prompts: N rows of at least one token id each, of any lengths below max_length. A stop
            token inside a prompt does not stop it.
        key: a JAX key, the same for the same draws; needed to draw alone.
        width: W, live beams of a prompt.
        max_length: S, the tokens of prompt and continuation together, at most config.max_length.
        stop: the token id that ends a string.
        sample: draw the 2 W candidates of a step without replacement, in proportion to the
            probability of the whole beam; False takes the likeliest.
        temperature: divides the logits that scores come from; above 0.
        length_penalty: above 0 favours long hypotheses, below 0 short ones; -8 to 8.
        batch: prompts at once, each with W beams; the last batch is filled up.
        forbid: token ids that are never taken; scores are those of the others alone.
    Returns:
        Samples; log_prob is the model's at temperature 1 with nothing forbidden, whatever the
        scores were, and `finished` whether the hypothesis ends with the stop token.
    Raises:
        InputError: an argument outside these ranges, or an encoder.
    Source:
        arXiv 2407.20311, appendix F, decodes with 4 beams and candidates drawn.
    """
    ragged = rows.ragged(prompts)
    rows.check(config, ragged, max_length, stop, batch, forbid)
    _check(config, width, temperature, length_penalty, sample, key)
    count, size = len(ragged), min(batch, len(ragged))
    if not count:
        return rows.no_samples(max_length)
    tokens, lengths = rows.laid_out(config, ragged, max_length, size)
    static = _Static(config, Layout(int(lengths.min()) - 1, width, config.window))
    controls = _Controls(
        jnp.int32(max_length),
        jnp.int32(stop),
        jnp.float32(temperature),
        jnp.float32(length_penalty),
        rows.bias(config, forbid),
    )
    draw = key if sample else None
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    parts = []
    for lo in range(0, len(tokens), size):
        part, number = slice(lo, lo + size), np.arange(lo, lo + size)
        keys = None if draw is None else fold(draw, number)
        given = _Batch(jnp.asarray(tokens[part]), jnp.asarray(lengths[part]), keys)
        parts.append(jax.device_get(_run(static, params, controls, given, number < count)))
    tokens, ends, finished, log_prob = (np.concatenate(x)[:count] for x in zip(*parts, strict=True))
    ends = ends.astype(np.int64)
    return Samples(tokens[:, :max_length], ragged.lengths, ends, finished, log_prob)


@functools.partial(jax.jit, static_argnums=0)
def _run(
    static: _Static, params: Params, controls: _Controls, given: _Batch, alive: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Searches one batch; alive: bool[B], which rows are more than filling.

    Returns tokens, lengths, whether the stop token ended the hypothesis, log-probabilities.
    """
    layout, total = static.layout, given.tokens.shape[1]
    stages = rows.stages(layout.shared, total)
    beams = hypotheses.first_beams(given.tokens, layout.width)
    pool = hypotheses.empty_pool(beams)
    cache = branches.prefill(static.config, params, layout, given.tokens, stages[0])
    state = _State(jnp.int32(layout.shared), beams, pool, ~alive, cache)
    for places in stages:
        state = state._replace(cache=rows.grown(state.cache, layout.slots(places)))
        last = jnp.minimum(controls.length - 1, places)
        step = functools.partial(_step, static, params, controls, given, places)
        state = jax.lax.while_loop(functools.partial(_unfinished, last), step, state)
    return _best(controls, given, state)


def _unfinished(last: jax.Array, state: _State) -> jax.Array:
    return (state.place < last) & ~state.done.all()


def _step(
    static: _Static,
    params: Params,
    controls: _Controls,
    given: _Batch,
    places: int,
    state: _State,
) -> _State:
    """Finds the token after `place` in every beam: the prompt's, or one of the candidates'."""
    width = static.layout.width
    lineage = state.beams.lineage.at[:, :, state.place].set(jnp.arange(width))
    beams = state.beams._replace(lineage=lineage)
    logits, cache = branches.following(
        static.config,
        params,
        static.layout,
        beams.tokens[:, :, state.place],
        state.place,
        lineage[:, :, :places],
        state.cache,
    )
    place = state.place + 1
    natural = jax.nn.log_softmax(logits)
    candidates = hypotheses.choose(
        beams, _ranked(controls, logits), natural, _noise(given, place, logits)
    )
    active = (place >= given.prompts) & ~state.done
    divisor = _divisor(controls, given, place + 1)
    ends = active[:, None] & (candidates.token == controls.stop)
    pool = hypotheses.finish(state.pool, beams, candidates, ends, place, divisor)
    kept = hypotheses.survivors(candidates, controls.stop, width)
    beams = hypotheses.extended(beams, kept, place, active)
    hopeless = beams.score[:, 0] / divisor <= pool.scores[:, -1]  # never while the pool has room
    return _State(place, beams, pool, state.done | (active & hopeless), cache)


def _ranked(controls: _Controls, logits: jax.Array) -> jax.Array:
    """float32[B, W, V]: the log-probabilities that scores add up; shifted so as not to overflow."""
    allowed = logits + controls.bias
    return jax.nn.log_softmax((allowed - allowed.max(-1, keepdims=True)) / controls.temperature)


def _noise(given: _Batch, place: jax.Array, logits: jax.Array) -> jax.Array | None:
    if given.keys is None:
        return None
    keys = jax.vmap(jax.random.fold_in, (0, None))(given.keys, place)
    return jax.vmap(lambda key: jax.random.gumbel(key, (logits[0].size,)))(keys)


def _divisor(controls: _Controls, given: _Batch, length: jax.Array) -> jax.Array:
    """float32[B]: what the score of a row of `length` tokens is divided by."""
    return jnp.maximum(length - given.prompts, 1).astype(jnp.float32) ** controls.penalty


def _best(
    controls: _Controls, given: _Batch, state: _State
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The best hypothesis of each prompt: of the pool, or a live beam if the pool has room."""
    beams, pool = state.beams, state.pool
    room = pool.scores[:, -1] == -jnp.inf
    live = beams.score[:, 0] / _divisor(controls, given, controls.length)
    unfinished = room & (live > pool.scores[:, 0])
    tokens = jnp.where(unfinished[:, None], beams.tokens[:, 0], pool.tokens)
    length = jnp.where(unfinished, controls.length, pool.length)
    log_prob = jnp.where(unfinished, beams.log_prob[:, 0], pool.log_prob)
    return tokens, length, ~unfinished, log_prob


def _check(
    config: TransformerConfig,
    width: int,
    temperature: float,
    length_penalty: float,
    sample: bool,
    key: jax.Array | None,
) -> None:
    if width < 1:
        raise InputError(f"width {width}: expected at least 1 beam")
    if config.vocab_size < 2:
        raise InputError("beam search needs a vocabulary of at least 2 tokens: 2 candidates a beam")
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature {temperature}: expected a number above 0")
    if not -8 <= length_penalty <= 8:  # powers of lengths are to stay within float32
        raise InputError(f"length_penalty {length_penalty}: expected -8 to 8")
    if sample and key is None:
        raise InputError("candidates are drawn (sample=True): give a key")
