"""The position-based multi-head linear probe: what a linear reader finds in hidden states.

    G_i(x) = sum_r sum_k w_{r,i->k} f_r(E_k(x)) + c,    w_{r,i->k} = softmax_k <P_{i,r}, P_{k,r}>

with linear maps f_r and trainable position vectors P. The weights depend on positions alone, never
on the string, and the sum runs over the whole string on both sides, so G is linear in the hidden
states E: what it predicts, they hold linearly. A band |i - k| <= delta restricts where the probe
may look; the weights are renormalised in it. With delta = 0 it is a plain linear map of E_i.

The paper's formula has no constant c; a model whose states have a constant direction has it anyway.
The outputs form groups, each with a softmax of its own: one group for each thing to be predicted.

Letters: B strings, T positions, D model, H heads, K size of P, G groups, C classes of a group.
Source: arXiv 2305.13673, section 4 (multi-head linear probing) and Result 5 (nearly diagonal).
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

Params = dict[str, jax.Array]

NEGATIVE = -1e30  # a logit that no softmax notices
# Scores are shifted so that a row's largest exponential is e^40, not 1: the largest may belong to
# a position after the end of a string, and the string's own must not vanish beside it.
_HEADROOM = 40.0
_TINY = 1e-36


def init(
    key: jax.Array,
    delta: int | None,
    *,
    positions: int,
    width: int,
    heads: int,
    head_dim: int,
    position_norm: float,
    sizes: Sequence[int],
) -> Params:
    """Returns the parameters of one probe: maps and constants 0, positions normal.

    Args:
        delta: half-width of the band; None for the whole string.
        positions: T. width: D. heads, head_dim: H, K. position_norm: the usual length of a P_i.
        sizes: classes of each of the G groups; C is the largest.

    Returns:
        map [H, D, G * C], constant [G * C] and, unless delta is 0, position [H, T, K].
    """
    outputs = len(sizes) * max(sizes)
    params = {"map": jnp.zeros((heads, width, outputs)), "constant": jnp.zeros(outputs)}
    if delta != 0:
        std = position_norm * head_dim**-0.5
        params["position"] = std * jax.random.normal(key, (heads, positions, head_dim))
    return params


def logits(
    params: Params, x_BTD: jax.Array, lengths: jax.Array, delta: int | None, sizes: Sequence[int]
) -> jax.Array:
    """float32[B, T, G, C]: the probe's outputs; -1e30 where a group has fewer than C classes.

    Args:
        x_BTD: hidden states E. lengths: int32[B], tokens of each string; what lies behind them is
            neither read nor meaningful in the result.
        delta, sizes: as for `init`.
    """
    B, T, _ = x_BTD.shape
    inside = jnp.arange(T) < lengths[:, None]
    if delta == 0:
        mixed = x_BTD @ params["map"].sum(0)  # every weight is 1
    elif delta is None:
        mixed = _over_string(params, x_BTD, inside)
    else:
        mixed = _over_band(params, x_BTD, inside, delta)
    classes = np.arange(max(sizes)) < np.array(sizes)[:, None]
    grouped = (mixed + params["constant"]).reshape(B, T, *classes.shape)
    return jnp.where(classes, grouped, NEGATIVE)


def _mapped(params: Params, x_BTD: jax.Array) -> jax.Array:
    """[B, T, H, O]: f_r(E_k) of all heads by one matrix product."""
    maps = params["map"].swapaxes(0, 1)  # [D, H, O]
    flat = x_BTD @ maps.reshape(maps.shape[0], -1)
    return flat.reshape(*x_BTD.shape[:2], *maps.shape[1:])


def _over_string(params: Params, x_BTD: jax.Array, inside: jax.Array) -> jax.Array:
    """[B, T, O]: the whole string. One [T, T] matrix per head serves all strings of the batch.

    Exponentials are summed over a string's own positions with and without f_r(E) by the same
    product (a column of ones), and divided at the end. Exact as long as the scores of one position
    differ by less than about 120.
    """
    values = _mapped(params, x_BTD)
    ones = jnp.ones((*values.shape[:3], 1), values.dtype)
    # where, not a product with 0: the gradient behind the end may overflow
    summands = jnp.where(inside[..., None, None], jnp.concatenate([values, ones], -1), 0.0)
    scores = jnp.einsum("htk,hsk->hts", params["position"], params["position"])
    shift = jax.lax.stop_gradient(scores.max(-1, keepdims=True)) - _HEADROOM
    sums = jnp.einsum("hts,bsho->htbo", jnp.exp(scores - shift), summands)
    # not 1 / sum, whose gradient squares the sum; a row behind the end may have nothing to see
    share = jnp.exp(-jnp.log(jnp.maximum(sums[..., -1:], _TINY)))
    return (sums[..., :-1] * share).sum(0).swapaxes(0, 1)


def _over_band(params: Params, x_BTD: jax.Array, inside: jax.Array, delta: int) -> jax.Array:
    """[B, T, O]: positions i - delta .. i + delta, in time and memory linear in delta."""
    T = x_BTD.shape[1]
    position, places = params["position"], jnp.arange(T)
    offsets = [o for o in range(-delta, delta + 1) if abs(o) < T]
    scores = jnp.stack([(position * jnp.roll(position, -o, 1)).sum(-1) for o in offsets], -1)
    seen = jnp.stack(
        [jnp.roll(inside, -o, 1) & (places + o >= 0) & (places + o < T) for o in offsets], -1
    )
    weights = jax.nn.softmax(jnp.where(seen[:, None], scores, NEGATIVE), -1)  # [B, H, T, offsets]
    values = _mapped(params, x_BTD)
    terms = (
        jnp.einsum("bht,btho->bto", weights[..., j], jnp.roll(values, -o, 1))
        for j, o in enumerate(offsets)
    )
    return sum(terms, start=jnp.zeros(()))


def loss(logits_BTGC: jax.Array, classes: jax.Array, lengths: jax.Array) -> jax.Array:
    """Cross-entropy in nats: mean over the positions of all strings, sum over the groups.

    Args:
        classes: int[B, T, G], the true class of each group. lengths: int32[B].
    """
    inside = jnp.arange(logits_BTGC.shape[1]) < lengths[:, None]
    truth = jax.nn.one_hot(classes, logits_BTGC.shape[-1], dtype=bool)
    chosen = jnp.where(truth, logits_BTGC, 0.0).sum(-1)
    surprise = (jax.nn.logsumexp(logits_BTGC, -1) - chosen).sum(-1)
    return jnp.where(inside, surprise, 0.0).sum() / jnp.maximum(inside.sum(), 1)
