"""Quantised parameters as a whole: plain again, measured, laid out over devices."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from physlm_jax.models import transformer
from physlm_jax.models.paths import flat, nested
from physlm_jax.models.quantisation.standin import Quantised
from physlm_jax.models.transformer import Params, TransformerConfig


class Size(NamedTuple):
    """What parameters take up.

    Attributes:
        parameters: numbers that the model acts on.
        bytes: of all arrays, scales and what is not quantised among them. An int4 is half a byte,
            as on accelerators; XLA's CPU back end gives it a whole one.
        bits: per parameter.
    """

    parameters: int
    bytes: float
    bits: float


def _is_quantised(leaf: Any) -> bool:
    return isinstance(leaf, Quantised)


@jax.jit
def dequantised(params: Params) -> Params:
    """Returns plain float32 arrays that act as the quantised parameters do."""
    return jax.tree.map(
        lambda leaf: leaf.array() if _is_quantised(leaf) else leaf, params, is_leaf=_is_quantised
    )


def size(params: Params) -> Size:
    """Returns what parameters take up, quantised or not; arrays or their shapes."""
    leaves = jax.tree.leaves(params, is_leaf=_is_quantised)
    count = sum(leaf.codes.size if _is_quantised(leaf) else leaf.size for leaf in leaves)
    bits = sum(leaf.size * _width(leaf.dtype) for leaf in jax.tree.leaves(params))
    return Size(count, bits / 8, bits / count)


def _width(dtype: Any) -> int:
    integer = jnp.issubdtype(dtype, jnp.integer)
    return (jnp.iinfo if integer else jnp.finfo)(dtype).bits


def axes(config: TransformerConfig, params: Params) -> Params:
    """Returns the tree with the logical names of every array's axes; see `parallel.mesh`.

    Codes, scales and zeros are cut as the array would be, where their own sizes allow it.

    Args:
        params: quantised, arrays or their shapes; without an adapter.
    """
    names = flat(transformer.axes(config))
    return nested({path: _named(names[path], leaf) for path, leaf in flat(params).items()})


def _named(names: tuple[str, ...], leaf: Any) -> Any:
    if not _is_quantised(leaf):
        return names
    return Quantised(names, names, None if leaf.zeros is None else names)
