"""A finite set shown pass by pass, each pass in an order of its own, so that exposures are exact.

What place i of a stream shows is computed: any share of the stream can be made anywhere.
"""

from __future__ import annotations

import numpy as np

from physlm_jax.data.compiled import compiled, mix_word
from physlm_jax.data.permutation import permuted_one


@compiled
def pass_key(turn: np.uint64, key: np.uint64) -> np.uint64:
    """The key of one pass of a stream."""
    return mix_word(key ^ mix_word(turn))


@compiled
def shown_at(index: np.uint64, size: np.uint64, key: np.uint64) -> tuple[np.uint64, np.int64]:
    """Returns the pass that a place of a stream is in, and which member of the set it shows.

    Args:
        index: the place.  size: of the set, below 2**62.  key: of the stream.
    """
    turn = index // size
    place = np.int64(index % size)
    return turn, permuted_one(place, np.int64(size), pass_key(turn, key))
