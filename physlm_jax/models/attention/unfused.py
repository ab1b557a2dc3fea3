"""Softmax attention by two matrix products: the oracle of every other back end.

`plain` reads keys and values as the projections make them, `cached` as a decoding cache keeps them.
Both honour every visibility on every platform, and both can return their weights.

Shapes: B batch, T queries, S keys, H heads, G key/value heads, K head size.
"""

import jax
import jax.numpy as jnp

from physlm_jax.models.attention.visibility import NEGATIVE, Visibility


def plain(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    visibility: Visibility,
    with_weights: bool = False,
) -> tuple[jax.Array, jax.Array | None]:
    """Scores and softmax are float32, products run in the dtype of q.

    Heads h*G/H .. share a key head.

    Returns:
        [B, T, H, K] in the dtype of q; weights float32[B, H, T, S] if asked, else None.
    """
    B, T, H, K = q_BTHK.shape
    S, G = k_BSGK.shape[1], k_BSGK.shape[2]
    q = (q_BTHK * K**-0.5).reshape(B, T, G, H // G, K)
    scores = jnp.einsum("btgrk,bsgk->bgrts", q, k_BSGK, preferred_element_type=jnp.float32)
    mask = visibility.mask(T, S)
    if mask is not None:
        scores = jnp.where(mask[:, :, None], scores, NEGATIVE)
    weights = jax.nn.softmax(scores, axis=-1)
    out = jnp.einsum("bgrts,bsgk->btgrk", weights.astype(q.dtype), v_BSGK)
    return out.reshape(B, T, H, K), weights.reshape(B, H, T, S) if with_weights else None


def cached(
    q_BTHK: jax.Array,
    k_BGSK: jax.Array,
    v_BGSK: jax.Array,
    visibility: Visibility,
    with_weights: bool = False,
) -> tuple[jax.Array, jax.Array | None]:
    """`plain` for keys and values with heads before places, as `transformer.Cache` has them.

    A decoding step reads all of them for a few queries: in this order no back end has to transpose
    (copy) the cache first, which on CPUs costs several times the step.
    """
    B, T, H, K = q_BTHK.shape
    G, S = k_BGSK.shape[1], k_BGSK.shape[2]
    q = (q_BTHK * K**-0.5).reshape(B, T, G, H // G, K).transpose(0, 2, 3, 1, 4)
    q = q.reshape(B, G, H // G * T, K)
    scores = _scores(q, k_BGSK)
    mask = visibility.mask(T, S)
    if mask is not None:
        scores = jnp.where(mask[:, :, None], scores.reshape(B, G, -1, T, S), NEGATIVE)
    weights = jax.nn.softmax(scores.reshape(B, G, -1, S), axis=-1)
    out = jnp.einsum("bgqs,bgsk->bgqk", weights.astype(q.dtype), v_BGSK)
    out = out.reshape(B, H, T, K).transpose(0, 2, 1, 3)
    return out, weights.reshape(B, H, T, S) if with_weights else None


def _scores(q_BGQK: jax.Array, k_BGSK: jax.Array) -> jax.Array:
    """float32[B, G, Q, S]: products of queries and cached keys.

    CPUs are several times faster at a few queries with the keys on the left, an order that the
    compiler would turn round again if it saw through to the transposition.
    """
    if q_BGQK.shape[2] == 1:
        return jnp.einsum("bgqk,bgsk->bgqs", q_BGQK, k_BGSK, preferred_element_type=jnp.float32)
    turned = jnp.einsum("bgsk,bgqk->bgsq", k_BGSK, q_BGQK, preferred_element_type=jnp.float32)
    return jax.lax.optimization_barrier(turned).swapaxes(2, 3)
