"""W strings with a common beginning as W tokens side by side in one row of the KV cache.

Places that all strings of all rows have in common (`shared` of them) take one slot of the cache
each; of every later place there are W slots in turn, and a string's own past lies where its lineage
says. So no key or value is ever moved, strings that part share what they have, and each step reads
the cache once for all W of them.

Shapes: B rows, W strings of each, S places, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from physlm_jax.models import transformer
from physlm_jax.models.transformer import Cache, Params, TransformerConfig

Place = TypeVar("Place", int, jax.Array)


class Layout(NamedTuple):
    """How strings lie in a cache: shared places, W, and how many tokens back is seen (0: all)."""

    shared: int
    width: int
    window: int = 0

    def slots(self, place: Place) -> Place:
        """Slots of the cache before those of a place that is not among the shared ones."""
        return self.shared + self.width * (place - self.shared)

    def visible(self, lineage_BWS: jax.Array, place: jax.Array) -> jax.Array:
        """bool[B, W, slots]: what the tokens at `place` see; -1 in the lineage is no slot."""
        B, W, S = lineage_BWS.shape
        own = lineage_BWS[:, :, self.shared :, None] == jnp.arange(W)
        before = jnp.ones((B, W, self.shared), bool)
        if self.window:
            near = jnp.arange(S) > place - self.window
            own &= near[self.shared :, None]
            before &= near[: self.shared]
        return jnp.concatenate([before, own.reshape(B, W, -1)], axis=-1)


def prefill(
    config: TransformerConfig, params: Params, layout: Layout, tokens_BS: jax.Array, places: int
) -> Cache | None:
    """Returns a cache with room for `places` places that holds the shared ones."""
    cache = transformer.empty_cache(config, len(tokens_BS), layout.slots(places))
    if not layout.shared:
        return cache
    known = tokens_BS[:, : layout.shared]
    return transformer.apply(config, params, known, cache=cache).cache


def following(
    config: TransformerConfig,
    params: Params,
    layout: Layout,
    tokens_BW: jax.Array,
    place: jax.Array,
    lineage_BWS: jax.Array,
    cache: Cache | None,
) -> tuple[jax.Array, Cache | None]:
    """Returns the logits that follow the tokens at `place`, float32[B, W, V], and the new cache.

    Args:
        lineage_BWS: S is the number of places the cache has room for.
    """
    out = transformer.apply(
        config,
        params,
        tokens_BW,
        positions=jnp.full(layout.width, place),
        cache=cache,
        start=layout.slots(place),
        visible=layout.visible(lineage_BWS, place),
    )
    return out.logits, out.cache
