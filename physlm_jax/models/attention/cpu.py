"""`plain` with its backward pass written out, for CPUs.

It saves one [T, S] array instead of four, needs fewer passes over memory, and leaves out the keys
that a causal mask hides from a whole block of queries.

Shapes: B batch, T queries, S keys, H heads, G key/value heads, K head size.
"""

import jax
import jax.numpy as jnp

from physlm_jax.models.attention.visibility import NEGATIVE, Visibility


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
    whole_rows = visibility.causal and visibility.aligned and T == S
    size = max(64, -(-T // 4)) if whole_rows else T
    blocks = []
    for start in range(0, T, size):
        rows, keys = slice(start, start + size), slice(0, min(start + size, S) if whole_rows else S)
        seen = None if mask is None else mask[..., rows, keys]
        blocks.append(_manual(q[:, :, rows], k[:, :, keys], v[:, :, keys], seen))
    return jnp.concatenate(blocks, axis=2).swapaxes(1, 2)
