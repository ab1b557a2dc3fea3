"""GPTQ: a matrix is rounded input by input, and what is still to come makes up for the errors.

For x W with W [I, O] and calibration inputs whose Gram matrix is H = sum x^T x [I, I], the codes Q
should keep |x W - x Q|^2 small rather than |W - Q|^2. With U the upper triangular factor of
H^-1 = U^T U: after input i is rounded, every later input j gives up U[i, j] / U[i, i] of its error.
Blocks of inputs put off what concerns inputs beyond the block, so that most work is in products.

Source: GPTQ, arXiv 2210.17323, section 3 and algorithm 1.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.errors import InputError
from physlm_jax.models.quantisation import grid

BLOCK = 128  # inputs, the paper's
EXACT = jax.lax.Precision.HIGHEST


class Inverse(NamedTuple):
    """What GPTQ needs to know of a matrix's inputs; matrices of the same inputs share it.

    Attributes:
        order: int[I], in which they are taken.  factor: float32[I, I], U of the inputs so ordered.
        sorted: the order is not their own.
    """

    order: np.ndarray
    factor: np.ndarray
    sorted: bool


def inverse(gram: np.ndarray, act_order: bool = False, damping: float = 0.01) -> Inverse:
    """Returns the inverse of a Gram matrix, ready for `gptq`.

    Args:
        gram: [I, I], the sum of x^T x; its scale does not matter.
        act_order: take inputs of large second moment first; they are then rounded the most freely.
        damping: what is added to the diagonal of H, in parts of its mean.
    Raises:
        InputError: H is not finite, or has no inverse.
    """
    if not np.isfinite(gram).all():
        raise InputError(
            "quantisation: the model's states on the calibration tokens are not finite"
        )
    order = np.argsort(-gram.diagonal(), kind="stable") if act_order else np.arange(len(gram))
    return Inverse(order, inverse_factor(gram[np.ix_(order, order)], damping), act_order)


def gptq(
    w: jax.Array, inputs: Inverse, bits: int, symmetric: bool, group: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rounds a matrix with a view to its inputs.

    Args:
        w: float32[I, O].
        group: inputs that share a scale, a divisor of I. The grid of a group is fitted when its
            turn comes, to what the errors before have made of it; with sorted inputs, which mixes
            groups, or with one group, to w itself.
    Returns:
        codes [I, O], whole float32 numbers; scales and zeros [I / group, O].
    """
    if group < len(w) and not inputs.sorted:
        return _with_moving_grids(w, inputs.factor, bits, symmetric, group)
    return _with_fixed_grids(w, inputs.factor, inputs.order, bits, symmetric, group)


def inverse_factor(gram: np.ndarray, damping: float) -> np.ndarray:
    """Returns U [I, I], upper triangular, with (H + damping mean(diag H))^-1 = U^T U; float32.

    In float64, from one Cholesky factor of H turned around, which is that of its inverse: H = M M^T
    with M upper triangular, U = M^-1. Inputs that never occur are left to themselves.
    """
    if not np.isfinite(gram).all():
        raise InputError(
            "quantisation: the model's states on the calibration tokens are not finite"
        )
    damped = np.array(gram, np.float64)
    diagonal = np.einsum("ii->i", damped)
    diagonal += damping * diagonal.mean()
    diagonal[diagonal == 0] = 1
    try:
        turned = np.linalg.cholesky(damped[::-1, ::-1])
    except np.linalg.LinAlgError:
        raise InputError(
            "quantisation: too few calibration tokens for this damping; raise either"
        ) from None
    return np.triu(np.linalg.inv(turned[::-1, ::-1])).astype(np.float32)


_compiled = functools.partial(jax.jit, static_argnames=("bits", "symmetric", "group"))


@_compiled
def _with_moving_grids(
    w: jax.Array, factor: jax.Array, bits: int, symmetric: bool, group: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Groups in turn, each a block with a grid for what the errors have made of it."""
    return _sweep(w, factor, None, bits, symmetric, group)


@_compiled
def _with_fixed_grids(
    w: jax.Array, factor: jax.Array, order: jax.Array, bits: int, symmetric: bool, group: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Inputs in a given order, with the grids of w itself; filled up to whole blocks."""
    scales, zeros = grid.fit(w.reshape(-1, group, w.shape[1]), bits, symmetric)
    inputs = len(w)
    block = min(BLOCK, inputs)
    more = -inputs % block
    of_rows = (jnp.repeat(x, group, axis=0)[order] for x in (scales, zeros))
    grids = tuple(jnp.pad(x, ((0, more), (0, 0)), constant_values=1) for x in of_rows)
    square = jnp.eye(inputs + more).at[:inputs, :inputs].set(factor)
    rows = jnp.pad(w[order], ((0, more), (0, 0)))
    codes, _, _ = _sweep(rows, square, grids, bits, symmetric, block)
    return jnp.zeros_like(w).at[order].set(codes[:inputs]), scales, zeros


def _sweep(
    w: jax.Array, factor: jax.Array, grids: Any, bits: int, symmetric: bool, block: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns codes, and the scales and zeros of every block; block divides I.

    Args:
        grids: scales and zeros of every input [I, O]; None: fitted to every block in its turn.
    """
    starts = jnp.arange(0, w.shape[0], block)

    def one(w: jax.Array, start: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        take = functools.partial(jax.lax.dynamic_slice_in_dim, slice_size=block)
        part, ahead = take(w, start), take(factor, start)
        scale, zero = (
            grid.fit(part, bits, symmetric) if grids is None else (take(x, start) for x in grids)
        )
        codes, errors = _round(part, take(ahead, start, axis=1), scale, zero, bits)
        # what lies before the block is done: what this does to it is of no concern
        return w - jnp.matmul(ahead.T, errors, precision=EXACT), (codes, scale, zero)

    _, (codes, scales, zeros) = jax.lax.scan(one, w, starts)
    return codes.reshape(w.shape), scales, zeros


def _round(
    part: jax.Array, factor: jax.Array, scale: jax.Array, zero: jax.Array, bits: int
) -> tuple[jax.Array, jax.Array]:
    """Returns the codes of a block [B, O], input by input, and their errors over U[i, i]."""
    scale, zero = (jnp.broadcast_to(x, part.shape) for x in (scale, zero))

    def one(i: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        part, codes, errors = carry
        code = grid.encode(part[i], scale[i], zero[i], bits)
        error = (part[i] - grid.decode(code, scale[i], zero[i])) / factor[i, i]
        part = part - factor[i][:, None] * error
        return part, codes.at[i].set(code), errors.at[i].set(error)

    empty = jnp.zeros_like(part)
    _, codes, errors = jax.lax.fori_loop(0, part.shape[0], one, (part, empty, empty))
    return codes, errors
