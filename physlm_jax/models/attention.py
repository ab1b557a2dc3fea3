"""Attention: who may look at whom, and the back ends that compute it.

`plain` is the oracle. `manual` is the same function with its backward pass written out, for CPUs:
it saves one [T, S] array instead of four and needs fewer passes over memory.

Shapes: B batch, T queries, S keys, H heads, G key/value heads, K head size.
"""

import dataclasses
import functools
import logging

import jax
import jax.numpy as jnp

from physlm_jax.errors import unknown

LOG = logging.getLogger(__name__)
BACKENDS = ("auto", "plain", "manual")
NEGATIVE = -0.7 * float(jnp.finfo(jnp.float32).max)  # survives a sum without becoming -inf


@dataclasses.dataclass(frozen=True)
class Visibility:
    """Which keys a query sees; every back end reads this and nothing else.

    Attributes:
        causal: a query sees keys at its own place or before (a place is an index in the row).
        query_start: place of the first query; keys start at place 0. Static or a traced scalar.
        segment_ids: int32[B, T] of one packed row (queries and keys alike), or None when tokens
            see across examples, as in the papers' concatenated streams.
    """

    causal: bool = True
    query_start: int | jax.Array = 0
    segment_ids: jax.Array | None = None

    def mask(self, queries: int, keys: int) -> jax.Array | None:
        """bool, broadcastable to [B, 1, queries, keys]; None if every query sees every key."""
        seen = None
        if self.causal:
            place = jnp.arange(queries)[:, None] + self.query_start
            seen = (jnp.arange(keys)[None, :] <= place)[None, None]
        if self.segment_ids is not None:
            ids = self.segment_ids
            same = (ids[:, :, None] == ids[:, None, :])[:, None]
            seen = same if seen is None else seen & same
        return seen


def plain(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    visibility: Visibility,
    with_weights: bool = False,
) -> tuple[jax.Array, jax.Array | None]:
    """Softmax attention by two matrix products: the oracle of every other back end.

    Scores and softmax are float32, products run in the dtype of q. Heads h*G/H .. share key head.

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
    scores = jnp.einsum("bgqk,bgsk->bgqs", q, k_BGSK, preferred_element_type=jnp.float32)
    mask = visibility.mask(T, S)
    if mask is not None:
        scores = jnp.where(mask[:, :, None], scores.reshape(B, G, -1, T, S), NEGATIVE)
    weights = jax.nn.softmax(scores.reshape(B, G, -1, S), axis=-1)
    out = jnp.einsum("bgqs,bgsk->bgqk", weights.astype(q.dtype), v_BGSK)
    out = out.reshape(B, H, T, K).transpose(0, 2, 1, 3)
    return out, weights.reshape(B, H, T, S) if with_weights else None


@jax.custom_vjp
def _manual(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None) -> jax.Array:
    return _manual_forward(q, k, v, mask)[0]


def _manual_forward(q, k, v, mask):
    """q [B, H, T, K] (already scaled), k, v [B, H, S, K], mask [B or 1, 1, T, S] -> [B, H, T, K].

    Keeps e = exp(score - max) unnormalised: the weights are e * z with z = 1 / sum(e).
    """
    scores = jnp.einsum("bhtk,bhsk->bhts", q, k, preferred_element_type=jnp.float32)
    if mask is not None:
        scores = scores + jnp.where(mask, 0.0, NEGATIVE)
    e = jnp.exp(scores - scores.max(-1, keepdims=True))
    z = 1 / e.sum(-1, keepdims=True)
    out = jnp.einsum("bhts,bhsk->bhtk", e.astype(v.dtype), v) * z
    return out.astype(v.dtype), (q, k, v, e, z, out)


def _manual_backward(saved, d_out):
    """With w = e z: dv = w' do, ds = w * (do v' - sum(do * out)), dq = ds k, dk = ds' q."""
    q, k, v, e, z, out = saved
    scaled = d_out * z
    inner = (scaled * out).sum(-1, keepdims=True)
    e_v = e.astype(v.dtype)
    d_v = jnp.einsum("bhts,bhtk->bhsk", e_v, scaled.astype(v.dtype))
    d_w = jnp.einsum(
        "bhtk,bhsk->bhts", scaled.astype(v.dtype), v, preferred_element_type=jnp.float32
    )
    d_scores = (e * (d_w - inner)).astype(q.dtype)
    d_q = jnp.einsum("bhts,bhsk->bhtk", d_scores, k)
    d_k = jnp.einsum("bhts,bhtk->bhsk", d_scores, q)
    return d_q, d_k, d_v, None


_manual.defvjp(_manual_forward, _manual_backward)


def manual(
    q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, visibility: Visibility
) -> jax.Array:
    """`plain` without its weights, the backward pass by hand; [B, T, H, K].

    Queries go in up to four blocks, each with the keys that a causal mask leaves to it.
    """
    T, H, K = q_BTHK.shape[1:]
    S, G = k_BSGK.shape[1], k_BSGK.shape[2]
    if H != G:
        k_BSGK, v_BSGK = (jnp.repeat(x, H // G, axis=2) for x in (k_BSGK, v_BSGK))
    q, k, v = (x.swapaxes(1, 2) for x in (q_BTHK * K**-0.5, k_BSGK, v_BSGK))
    mask = visibility.mask(T, S)
    whole_rows = visibility.causal and T == S  # keys and queries are the same tokens
    size = max(64, -(-T // 4)) if whole_rows else T
    blocks = []
    for start in range(0, T, size):
        rows, keys = slice(start, start + size), slice(0, min(start + size, S) if whole_rows else S)
        seen = None if mask is None else mask[..., rows, keys]
        blocks.append(_manual(q[:, :, rows], k[:, :, keys], v[:, :, keys], seen))
    return jnp.concatenate(blocks, axis=2).swapaxes(1, 2)


@functools.cache
def choose(backend: str) -> str:
    """Returns the back end that "auto" stands for on this platform; logged once.

    Raises:
        InputError: no such back end.
    """
    if backend not in BACKENDS:
        raise unknown("attention back end", backend, BACKENDS, "model.attention")
    if backend != "auto":
        return backend
    chosen = "manual" if jax.default_backend() == "cpu" else "plain"
    LOG.info("attention back end: %s (%s)", chosen, jax.default_backend())
    return chosen


def attend(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    visibility: Visibility,
    *,
    backend: str,
    with_weights: bool = False,
) -> tuple[jax.Array, jax.Array | None]:
    """Attention by the chosen back end; the weights, when asked for, come from `plain`."""
    if with_weights or choose(backend) == "plain":
        return plain(q_BTHK, k_BSGK, v_BSGK, visibility, with_weights)
    return manual(q_BTHK, k_BSGK, v_BSGK, visibility), None


def rotary_angles(places: jax.Array, rotated: int, base: float) -> jax.Array:
    """float32[..., rotated / 2]: the angle of each pair of dimensions at each place."""
    frequencies = base ** (-jnp.arange(0, rotated, 2, dtype=jnp.float32) / rotated)
    return places[..., None].astype(jnp.float32) * frequencies


def rotate(x_BTHK: jax.Array, angles: jax.Array) -> jax.Array:
    """Rotary embedding on the first 2 * angles.shape[-1] dimensions of each head, half-split.

    Dimension i is paired with i + r/2 (GPT-NeoX's order); the dimensions after r pass unchanged.
    angles: [T, r/2] or [B, T, r/2].
    """
    half = angles.shape[-1]
    sin = jnp.sin(angles)[..., None, :].astype(x_BTHK.dtype)
    cos = jnp.cos(angles)[..., None, :].astype(x_BTHK.dtype)
    a, b, rest = jnp.split(x_BTHK, [half, 2 * half], axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)
