"""Evenly spaced grids: what numbers are rounded to, and how a grid is fitted to numbers.

A code q, a whole number of b bits with its sign, stands for (q - zero) * scale. Symmetric grids
have zero = 0 and use all 2^b values: the largest magnitude lies half a step beyond the last of
them, so that nothing is off by more than half a step (the grid of the GPTQ tools). Asymmetric grids
span the numbers' own range, which always holds 0.
"""

import functools

import jax
import jax.numpy as jnp

# the largest magnitude would lie between two codes, on their very border: which of them it gets
# must not hang on the last bit of a division
WITHIN = 1 - 1e-6


def bounds(bits: int) -> tuple[int, int]:
    """Returns the least and the largest code."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def fit(w: jax.Array, bits: int, symmetric: bool) -> tuple[jax.Array, jax.Array]:
    """Returns the scale and the zero of every column of w [..., I, O], each float32[..., O]."""
    steps = 2**bits - 1
    low, high = jnp.minimum(w.min(-2), 0), jnp.maximum(w.max(-2), 0)
    if symmetric:
        high = jnp.maximum(-low, high) * WITHIN
        low = -high
    scale = (high - low) / steps
    scale = jnp.where(scale > 0, scale, 1.0)
    if symmetric:
        return scale, jnp.zeros_like(scale)
    return scale, jnp.round(-low / scale) + bounds(bits)[0]


def encode(w: jax.Array, scale: jax.Array, zero: jax.Array, bits: int) -> jax.Array:
    """Returns the codes nearest to w, as whole float32 numbers."""
    return jnp.clip(jnp.round(w / scale) + zero, *bounds(bits))


def decode(codes: jax.Array, scale: jax.Array, zero: jax.Array | float) -> jax.Array:
    """Returns the numbers that codes stand for."""
    return (codes - zero) * scale


@functools.partial(jax.jit, static_argnames=("bits", "symmetric", "group"))
def nearest(
    w: jax.Array, bits: int, symmetric: bool, group: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rounds a matrix, every number for itself.

    Args:
        w: float32[..., I, O].  group: inputs that share a scale, a divisor of I.
    Returns:
        codes [..., I, O]; scales and zeros [..., I / group, O].
    """
    cut = w.reshape(*w.shape[:-2], -1, group, w.shape[-1])
    scale, zero = fit(cut, bits, symmetric)
    codes = encode(cut, scale[..., None, :], zero[..., None, :], bits)
    return codes.reshape(w.shape), scale, zero
