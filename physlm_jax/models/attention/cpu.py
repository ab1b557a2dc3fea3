"""`plain` with its backward pass written out, for CPUs.

It saves one [T, S] array instead of four, needs fewer passes over memory, and leaves out the keys
that a causal mask hides from a whole block of queries.

Shapes: B batch, T queries, S keys, H heads, G key/value heads, K head size.
"""

import functools

import jax
import jax.numpy as jnp

from physlm_jax.models.attention.visibility import NEGATIVE, Visibility

Blocks = tuple[tuple[int, int, int], ...]  # first query, last query + 1, keys 0.. that they see


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
    whole_rows = visibility.causal and visibility.aligned and T == S and visibility.pairs is None
    size = max(64, -(-T // 4)) if whole_rows else T
    blocks = tuple(
        (start, min(start + size, T), min(start + size, S) if whole_rows else S)
        for start in range(0, T, size)
    )
    return _in_blocks(blocks, q, k, v, visibility.mask(T, S)).swapaxes(1, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _in_blocks(
    blocks: Blocks, q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None
) -> jax.Array:
    """[B, H, T, K] of q [B, H, T, K] (scaled), k, v [B, H, S, K] and mask [B or 1, 1, T, S]."""
    return _forward(blocks, q, k, v, mask)[0]


def _forward(blocks, q, k, v, mask):
    """Keeps e = exp(score - max) unnormalised: the weights are e * z with z = 1 / sum(e)."""
    kept = []
    for start, end, keys in blocks:
        scores = jnp.einsum(
            "bhtk,bhsk->bhts",
            q[:, :, start:end],
            k[:, :, :keys],
            preferred_element_type=jnp.float32,
        )
        if mask is not None:
            scores = scores + jnp.where(mask[..., start:end, :keys], 0.0, NEGATIVE)
        e = jnp.exp(scores - scores.max(-1, keepdims=True))
        z = 1 / e.sum(-1, keepdims=True)
        out = jnp.einsum("bhts,bhsk->bhtk", e.astype(v.dtype), v[:, :, :keys]) * z
        kept.append((e, z, out))
    out = jnp.concatenate([out for _, _, out in kept], axis=2)
    return out.astype(v.dtype), (q, k, v, kept)


def _backward(blocks, saved, d_out):
    """With w = e z: dv = w' do, ds = w * (do v' - sum(do * out)), dq = ds k, dk = ds' q.

    dk and dv are summed up as [K, S]: XLA's CPU products contract queries faster into wide arrays.
    """
    q, k, v, kept = saved
    d_q, d_kT, d_vT = [], [], []
    for (start, end, keys), (e, z, out) in zip(blocks, kept, strict=True):
        scaled = d_out[:, :, start:end] * z
        inner = (scaled * out).sum(-1, keepdims=True)
        scaled = scaled.astype(v.dtype)
        d_w = jnp.einsum(
            "bhtk,bhsk->bhts", scaled, v[:, :, :keys], preferred_element_type=jnp.float32
        )
        d_scores = (e * (d_w - inner)).astype(q.dtype)
        d_q.append(jnp.einsum("bhts,bhsk->bhtk", d_scores, k[:, :, :keys]))
        hidden = ((0, 0), (0, 0), (0, 0), (0, k.shape[2] - keys))
        d_vT.append(jnp.pad(jnp.einsum("bhtk,bhts->bhks", scaled, e.astype(v.dtype)), hidden))
        d_kT.append(jnp.pad(jnp.einsum("bhtk,bhts->bhks", q[:, :, start:end], d_scores), hidden))
    d_k, d_v = (functools.reduce(jnp.add, parts).swapaxes(2, 3) for parts in (d_kT, d_vT))
    return jnp.concatenate(d_q, axis=2), d_k, d_v, None


_in_blocks.defvjp(_forward, _backward)
