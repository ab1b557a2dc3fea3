"""A world for tests of the pipeline: examples BOS x EOS whose tokens name their own address."""

from dataclasses import dataclass

import numpy as np

from physlm_jax.data.hashing import example_keys, mix
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.vocabulary import Vocabulary

BOS, EOS, PAD, INNER = 0, 1, 2, 3  # an inner token is INNER + a hash of (seed, example, place)


@dataclass(frozen=True)
class Toy:
    """Lengths uniform in shortest..longest, BOS and EOS included.

    `stated` is what `mean_length` says, if not the truth: it decides how many examples the packer
    asks for at a time.
    """

    shortest: int = 2
    longest: int = 9
    stated: float | None = None
    size: int = 10_000

    @property
    def vocabulary(self) -> Vocabulary:
        names = ["BOS", "EOS", "PAD", *(str(i) for i in range(self.size - INNER))]
        return Vocabulary(tuple(names), bos=BOS, eos=EOS, pad=PAD)

    @property
    def mean_length(self) -> float:
        return self.stated or (self.shortest + self.longest) / 2

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        keys = example_keys(seed, start, count)
        lengths = self.shortest + (keys >> np.uint64(33)) % (self.longest - self.shortest + 1)
        offsets = np.concatenate([[0], np.cumsum(lengths.astype(np.int64))])
        place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
        words = mix(np.repeat(keys, np.diff(offsets)) + place.astype(np.uint64))
        tokens = (INNER + words % (self.size - INNER)).astype(np.int32)
        tokens[offsets[:-1]], tokens[offsets[1:] - 1] = BOS, EOS
        return Ragged(tokens, offsets)
