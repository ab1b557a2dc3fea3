"""The stand-in for a quantised array."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from physlm_jax.models.quantisation import grid
from physlm_jax.models.weights import StandIn, product
from physlm_jax.parallel.mesh import constrain, gathered


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Quantised(StandIn):
    """An array as codes of whole numbers, with scales of blocks of it.

    Codes have the array's own shape, scales and zeros as many axes: along each, a number stands for
    a block of n_codes / n_scales neighbours. So axes in front may be scanned, mapped, cut or taken
    from as those of the array itself.

    Attributes:
        codes: int4 or int8 [*shape].  scales: float32 [*blocks].
        zeros: the codes of 0, of the codes' dtype [*blocks]; None: 0.
    """

    codes: Any
    scales: Any
    zeros: Any = None

    def product(self, x: jax.Array, names: tuple[str, ...], contract: int, dtype: Any) -> jax.Array:
        """See models.weights.product."""
        return product(x, self._gathered(names).array(), names, contract, dtype)

    def rows(self, names: tuple[str, ...], index: jax.Array) -> jax.Array:
        """See models.weights.rows; every row has scales of its own."""
        table = self._gathered(names)
        return jax.tree.map(lambda x: constrain(x, names[0], None)[index], table).array()

    def array(self) -> jax.Array:
        """float32 [*shape], see models.weights.StandIn."""
        shape = self.codes.shape
        blocks = [
            n for b, size in zip(self.scales.shape, shape, strict=True) for n in (b, size // b)
        ]
        wide = tuple(n for b in self.scales.shape for n in (b, 1))
        codes = self.codes.astype(jnp.float32).reshape(blocks)
        zeros = 0.0 if self.zeros is None else self.zeros.astype(jnp.float32).reshape(wide)
        return grid.decode(codes, self.scales.reshape(wide), zeros).reshape(shape)

    def original(self) -> jax.Array:
        """What it acts as: the array is gone."""
        return self.array()

    def _gathered(self, names: tuple[str, ...]) -> "Quantised":
        """Put together from its pieces where storage is cut, while it is small."""
        return jax.tree.map(lambda x: gathered(x, names, x.dtype), self)
