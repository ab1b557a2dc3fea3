"""Muon: momentum made orthogonal, for the matrices of the stacked layers.

The update of a matrix is its momentum with all singular values set to about 1, by a few
Newton-Schulz steps; all other parameters (embeddings, biases, norms, the output map) are AdamW's.
Updates are scaled to the root mean square of AdamW's, so that learning rates mean the same. Small
decoders learn to look things up in their context in a third of the updates.

Sources: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), with its
coefficients; Liu et al., arXiv 2502.16982, section 2.2 (the scale 0.2 sqrt(max(inputs, outputs))).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
RMS = 0.2  # of AdamW's updates


def scale_by_muon(
    beta1: ArrayLike, beta2: ArrayLike, epsilon: ArrayLike
) -> optax.GradientTransformation:
    """Returns the transformation of gradients into updates of a learning rate of 1.

    Args:
        beta1: of the momentum, of matrices and of Adam alike (0.95 is usual for Muon).
        beta2, epsilon: of Adam.
    """
    adam = optax.scale_by_adam(beta1, beta2, epsilon)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, new = adam.update(gradients, state, params)

        def choose(path: Any, other: jax.Array, momentum: jax.Array, gradient: jax.Array) -> Any:
            inputs = input_axes(path)
            if not inputs:
                return other
            ahead = beta1 * momentum + (1 - beta1) * gradient  # Nesterov's
            return _matrix_update(jnp.asarray(ahead), stacked_axes(path), inputs)

        chosen = jax.tree_util.tree_map_with_path(choose, updates, new.mu, gradients)
        return chosen, new

    return optax.GradientTransformation(adam.init, update)


def input_axes(path: Any) -> int:
    """Returns how many axes after the stacked ones are inputs of a kernel; 0: it is no matrix."""
    names = _names(path)
    if names[-1] != "kernel" or "blocks" not in names:
        return 0
    return 2 if names[-3:-1] == ["attention", "out"] else 1


def stacked_axes(path: Any) -> int:
    """Returns how many axes of a kernel stack matrices: the layers', and the experts'."""
    return 2 if _names(path)[-2].startswith("expert_") else 1


def _names(path: Any) -> list[str]:
    return [str(getattr(key, "key", getattr(key, "name", ""))) for key in path]


def _matrix_update(x: jax.Array, stacked: int, inputs: int) -> jax.Array:
    """An array [stacked.., inputs.., outputs..] with its matrices orthogonal, of AdamW's size."""
    count, rows = math.prod(x.shape[:stacked]), math.prod(x.shape[stacked : stacked + inputs])
    matrices = x.reshape(count, rows, -1)
    scale = RMS * max(matrices.shape[1:]) ** 0.5
    return (scale * orthogonal(matrices)).reshape(x.shape).astype(x.dtype)


def orthogonal(x: jax.Array) -> jax.Array:
    """[.., R, C]: each matrix with singular values of about 1 (.7 to 1.2), by Newton and Schulz."""
    if x.shape[-2] > x.shape[-1]:
        return orthogonal(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    a, b, c = COEFFICIENTS
    y = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(STEPS):
        square = y @ y.swapaxes(-1, -2)
        y = a * y + (b * square + c * square @ square) @ y
    return y
