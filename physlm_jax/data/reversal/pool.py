"""The first examples of any other world as samples: reverse training of any language."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from physlm_jax.data.ragged import Ragged
from physlm_jax.data.reversal.questions import Questions
from physlm_jax.data.reversal.source import DIRECTION, REV
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError


@dataclass(frozen=True)
class Pool:
    """Examples 0..count-1 of the stream `seed` of a world; no entities, nothing to ask.

    Attributes:
        world: a `World`.  count: samples.  seed: of its stream.
    """

    world: Any
    count: int
    seed: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"pool: needs at least one sample, got {self.count}")

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The world's, and behind it the special tokens of reversal."""
        old: Vocabulary = self.world.vocabulary
        names = (*old.names, REV, DIRECTION)
        return Vocabulary(names, old.bos, old.eos, old.pad, old.separator)

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.count

    @property
    def mean_length(self) -> float:
        """The world's, without BOS and EOS."""
        return self.world.mean_length - 2

    def samples(self, index: np.ndarray, occasion: np.ndarray) -> Ragged:
        """Returns samples; see `Source`. Each is read from the world by its own number."""
        del occasion
        found = [self.world.examples(self.seed, int(i), 1).tokens[1:-1] for i in index]
        rows = Ragged.from_sequences(found)
        none = np.zeros(len(rows.tokens), np.int32)
        return Ragged(
            rows.tokens, rows.offsets, {"entity": none, "mirrored": np.ones(len(rows), bool)}
        )

    def questions(self) -> Mapping[str, Questions]:
        """Returns nothing to ask."""
        return {}


def pool(of: Any, count: int = 10_000, seed: int = 0) -> Pool:
    """Returns a source of another world's examples.

    Args:
        of: that world, as `config.data` describes one: its key `world`, the rest its options.
        count: samples.  seed: of its stream.
    Raises:
        InputError: no such world.
    """
    from physlm_jax.data import open_world  # it opens this package too

    return Pool(open_world(dict(of)), count, seed)
