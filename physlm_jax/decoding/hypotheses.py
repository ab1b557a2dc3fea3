"""The bookkeeping of beam search: live beams, their candidates, a pool of finished hypotheses.

Of W live beams and V tokens the 2 W best candidates are kept, or 2 W drawn without replacement.
Each parent has one stop token, so at least W of them go on. A stop token ends a hypothesis if fewer
than W candidates are better; its score is then divided by a power of its length. All functions are
pure and act on B prompts at once; a dead beam or candidate has the score -inf.

Shapes: B prompts, W width, V vocabulary, S places of a row.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Beams(NamedTuple):
    """Live beams, the best first.

    Attributes:
        tokens: int32[B, W, S], prompt and what was added.
        lineage: int32[B, W, S], in which of the W slots the keys and values of each place are; -1
            where there are none yet.
        score: float32[B, W], sum of the log-probabilities that candidates are ranked by.
        log_prob: float32[B, W], the same of the model's own.
    """

    tokens: jax.Array
    lineage: jax.Array
    score: jax.Array
    log_prob: jax.Array


class Candidates(NamedTuple):
    """Beams one token longer, the best first, [B, n]: parent beam, token, sums as of `Beams`."""

    parent: jax.Array
    token: jax.Array
    score: jax.Array
    log_prob: jax.Array


class Pool(NamedTuple):
    """Finished hypotheses.

    Attributes:
        scores: float32[B, W], divided by length, the best first; -inf where there are fewer.
        tokens, length, log_prob: of the best one: int32[B, S], int32[B], float32[B].
    """

    scores: jax.Array
    tokens: jax.Array
    length: jax.Array
    log_prob: jax.Array


def first_beams(tokens_BS: jax.Array, width: int) -> Beams:
    """W copies of each prompt, one of them alive: the others would only say the same again."""
    tokens = jnp.repeat(tokens_BS[:, None], width, axis=1)
    zeros = jnp.zeros(tokens.shape[:2])
    return Beams(tokens, jnp.full_like(tokens, -1), zeros.at[:, 1:].set(-jnp.inf), zeros)


def empty_pool(beams: Beams) -> Pool:
    """No hypothesis yet."""
    none = jnp.zeros(len(beams.tokens))
    scores = jnp.full_like(beams.score, -jnp.inf)
    return Pool(scores, jnp.zeros_like(beams.tokens[:, 0]), none.astype(jnp.int32), none)


def choose(
    beams: Beams, ranked_BWV: jax.Array, natural_BWV: jax.Array, noise: jax.Array | None
) -> Candidates:
    """The 2 W candidates of each prompt.

    Args:
        ranked_BWV, natural_BWV: log-probabilities of the next token to rank by, and the model's.
        noise: float32[B, W * V], standard Gumbel: the largest sums of score and noise are a draw
            without replacement, in proportion to exp(score). None for the best candidates.
    """
    B, W, V = ranked_BWV.shape
    scores = (beams.score[:, :, None] + ranked_BWV).reshape(B, W * V)
    _, index = jax.lax.top_k(scores if noise is None else scores + noise, 2 * W)
    _, order = jax.lax.top_k(_pick(scores, index), 2 * W)
    index = _pick(index, order)
    natural = (beams.log_prob[:, :, None] + natural_BWV).reshape(B, W * V)
    return Candidates(index // V, index % V, _pick(scores, index), _pick(natural, index))


def survivors(candidates: Candidates, stop: jax.Array, width: int) -> Candidates:
    """The W best candidates that go on."""
    order = jnp.argsort(candidates.token == stop, axis=1, stable=True)[:, :width]
    return Candidates(*(_pick(x, order) for x in candidates))


def extended(beams: Beams, chosen: Candidates, place: jax.Array, active: jax.Array) -> Beams:
    """The chosen candidates as beams, their tokens at `place`; all else they have from parents.

    Args:
        chosen: W of each prompt.
        active: bool[B]; the beams of other prompts stay what they are.
    """
    own = jnp.broadcast_to(jnp.arange(beams.score.shape[1]), beams.score.shape)
    same = Candidates(own, beams.tokens[:, :, place], beams.score, beams.log_prob)
    chosen = jax.tree.map(functools.partial(jnp.where, active[:, None]), chosen, same)
    tokens, lineage = (
        jnp.take_along_axis(x, chosen.parent[:, :, None], axis=1)
        for x in (beams.tokens, beams.lineage)
    )
    return Beams(tokens.at[:, :, place].set(chosen.token), lineage, chosen.score, chosen.log_prob)


def finish(
    pool: Pool,
    beams: Beams,
    candidates: Candidates,
    ends: jax.Array,
    place: jax.Array,
    divisor: jax.Array,
) -> Pool:
    """The pool with the candidates that end here.

    Args:
        ends: bool[B, 2 W], which ones end if they are among the first W.
        place: of their last token. divisor: float32[B], of their scores.
    """
    width = pool.scores.shape[1]
    score = jnp.where(ends, candidates.score / divisor[:, None], -jnp.inf)[:, :width]
    first = score.argmax(1)[:, None]
    better = _pick(score, first)[:, 0] > pool.scores[:, 0]
    parent, token, _, log_prob = (_pick(x, first) for x in candidates)
    tokens = jnp.take_along_axis(beams.tokens, parent[:, :, None], axis=1)[:, 0]
    return Pool(
        jax.lax.top_k(jnp.concatenate([pool.scores, score], 1), width)[0],
        jnp.where(better[:, None], tokens.at[:, place].set(token[:, 0]), pool.tokens),
        jnp.where(better, place + 1, pool.length),
        jnp.where(better, log_prob[:, 0], pool.log_prob),
    )


def _pick(x_BN: jax.Array, index_BM: jax.Array) -> jax.Array:
    return jnp.take_along_axis(x_BN, index_BM, axis=1)
