"""The first examples of any other world as samples: reverse training of any language."""

from typing import Any

import numpy as np

from physlm_jax.data.ragged import Ragged
from physlm_jax.data.reversal.source import DIRECTION, REV, Listed
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError


def pool(of: Any, count: int = 10_000, seed: int = 0) -> Listed:
    """Returns a source of another world's examples; without entities, with nothing to ask.

    Args:
        of: that world, as `config.data` describes one: its key `world`, the rest its options.
        count: samples, examples 0..count-1 of the stream `seed`; they are held in memory.
    Raises:
        InputError: no such world, or no sample.
    """
    from physlm_jax.data import open_world  # it opens this package too

    if count < 1:
        raise InputError(f"pool: needs at least one sample, got {count}")
    world = open_world(dict(of))
    old = world.vocabulary
    vocabulary = Vocabulary((*old.names, REV, DIRECTION), old.bos, old.eos, old.pad, old.separator)
    framed = world.examples(seed, 0, count)
    inner = np.ones(len(framed.tokens), bool)
    inner[framed.offsets[:-1]] = inner[framed.offsets[1:] - 1] = False
    tokens, offsets = framed.tokens[inner], framed.offsets - 2 * np.arange(count + 1)
    labels = {"entity": np.zeros(len(tokens), np.int32), "mirrored": np.ones(count, bool)}
    return Listed(vocabulary, Ragged(tokens, offsets, labels), {})
