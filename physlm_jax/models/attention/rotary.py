"""Rotary position embedding: pairs of dimensions of a head turned by the place of its token.

Shapes: B batch, T length, H heads, K head size.
"""

import jax
import jax.numpy as jnp


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
