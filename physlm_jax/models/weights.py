"""The two uses of a weight, products and look-ups, and what may stand in its place.

A leaf of a parameter tree is an array or a `StandIn`: a pytree that acts as the array would, such
as a frozen array with a low-rank update beside it, or whole numbers with scales. The model knows
only the two functions here, so that transforms of the tree need no change in it.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from physlm_jax.parallel.mesh import constrain, gathered


class StandIn:
    """What may take an array's place among the parameters; subclasses are registered pytrees."""

    def product(self, x: jax.Array, names: tuple[str, ...], contract: int, dtype: Any) -> jax.Array:
        """Acts as the function `product` does with an array."""
        raise NotImplementedError

    def rows(self, names: tuple[str, ...], index: jax.Array) -> jax.Array:
        """Acts as the function `rows` does with an array."""
        raise NotImplementedError

    def array(self) -> jax.Array:
        """The array that it acts as, formed whole."""
        raise NotImplementedError

    def original(self) -> jax.Array:
        """The array whose place it took; where that is gone, the one that it acts as."""
        raise NotImplementedError

    def output_table(self) -> jax.Array:
        """What a tied output map reads in its place: the original, unless it says otherwise."""
        return self.original()


def product(
    x: jax.Array, kernel: Any, names: tuple[str, ...], contract: int, dtype: Any
) -> jax.Array:
    """Returns x [..., *inputs] times a kernel [*inputs, *outputs]: [..., *outputs] in `dtype`.

    Args:
        names: logical names of the kernel's axes.  contract: how many of them are inputs.
    """
    if isinstance(kernel, StandIn):
        return kernel.product(x, names, contract, dtype)
    lead = x.shape[: x.ndim - contract]
    kernel = gathered(kernel, names, jnp.dtype(dtype))
    features = kernel.shape[contract:]
    fan_in = math.prod(kernel.shape[:contract])
    # one plain matrix product: XLA's CPU backend is slower on structured contractions
    return _matmul(x.reshape(-1, fan_in), kernel.reshape(fan_in, -1)).reshape(*lead, *features)


def _matmul(x: jax.Array, w: jax.Array) -> jax.Array:
    """x [N, I] times w [I, O].

    XLA's CPU backend sums a gradient over N 1.4 times as fast into a wide matrix as into a tall
    one: a tall weight is turned there, behind a barrier lest XLA turn it back, and its gradient
    follows. Where rows are few, as in decoding, turning it would cost more than it saves.
    """
    if w.shape[0] <= w.shape[1] or x.shape[0] < w.shape[0]:
        return x @ w
    turned = jax.lax.platform_dependent(
        w, cpu=lambda w: jax.lax.optimization_barrier(w.T), default=lambda w: w.T
    )
    return jnp.einsum("ni,oi->no", x, turned)


def rows(table: Any, names: tuple[str, ...], index: jax.Array) -> jax.Array:
    """Returns the rows of a table [N, D] at int32 indices, float32[*index.shape, D].

    Its gradient is summed in float32, whole, then cut.

    Args:
        names: logical names of the table's axes.
    """
    if isinstance(table, StandIn):
        return table.rows(names, index)
    whole = gathered(table, names, jnp.dtype(jnp.float32))
    return constrain(whole, names[0], None)[index]


def output_table(leaf: Any) -> jax.Array:
    """Returns the array that an output map tied to this table is."""
    return leaf.output_table() if isinstance(leaf, StandIn) else leaf


def original(leaf: Any) -> jax.Array:
    """Returns the array of a leaf, without what a stand-in adds to it."""
    return leaf.original() if isinstance(leaf, StandIn) else leaf


def array(leaf: Any) -> jax.Array:
    """Returns the array that a leaf acts as."""
    return leaf.array() if isinstance(leaf, StandIn) else leaf
