"""A world without structure: tokens drawn uniformly and independently from any vocabulary.

Nothing can be learned but the vocabulary: the best loss is `entropy`. It stands in where only
sizes matter (how large a model fits, how fast it trains), with vocabularies as large as those of
natural language.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physlm_jax.data.hashing import below, example_keys, ragged_words
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError


@dataclass(frozen=True)
class NoiseWorld:
    """A stream of strings of independent tokens.

    Attributes:
        size: ids in all: BOS = 0, the tokens 1..size-2, EOS = size - 1.
        length: tokens of every example, besides BOS and EOS.
    """

    size: int
    length: int

    def __post_init__(self) -> None:
        if not 3 <= self.size < 2**31:
            raise InputError(f"a vocabulary of noise needs 3..2**31-1 ids, got {self.size}")
        if self.length < 1:
            raise InputError(f"an example of noise needs at least 1 token, got {self.length}")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The ids are written as numbers."""
        plain = (str(t) for t in range(1, self.size - 1))
        return Vocabulary(("<bos>", *plain, "<eos>"), bos=0, eos=self.size - 1)

    @property
    def mean_length(self) -> float:
        """Tokens per example with BOS and EOS."""
        return self.length + 2.0

    @property
    def entropy(self) -> float:
        """Nats per token of an example, BOS and EOS not counted."""
        return math.log(self.size - 2)

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns training examples start..start+count-1 of the stream `seed`, BOS .. EOS."""
        offsets = np.arange(count + 1, dtype=np.int64) * self.length
        words = ragged_words(example_keys(seed, start, count), offsets)
        tokens = (1 + below(words, self.size - 2)).astype(np.int32)
        return Ragged(tokens, offsets).framed(0, self.size - 1)


def world(size: int = 50257, length: int = 512) -> NoiseWorld:
    """Returns the world that a config describes.

    Args:
        size: ids of the vocabulary in all.  length: tokens per example besides BOS and EOS.
    Raises:
        InputError: a number out of range.
    """
    return NoiseWorld(size, length)
