"""Implicit languages: every terminal stands for a bag of observable tokens.

After a string is drawn, each terminal is replaced by an independent draw from its bag, and the
model sees only those tokens. Bags are disjoint (token v belongs to terminal number v mod |T|,
counted from 0) or overlap (each holds the distinct values of floor(3 V / (2 |T|)) uniform draws);
within a bag, tokens are equally likely, or weighted 1, 2, 3, .. in ascending order.
Source: arXiv 2305.13673, Result 10 and the authors' published generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physlm_jax.data.hashing import below, mix, ragged_words, stream_key
from physlm_jax.errors import InputError, unknown

BAGS = ("disjoint", "overlap")
WEIGHTS = ("uniform", "linear")
_PURPOSE = np.uint64(2001)


@dataclass(frozen=True)
class Alphabet:
    """The observable tokens 1..size behind the terminals 1..terminals.

    Attributes:
        terminals: |T|. size: V, the number of observable tokens.
        bags: "disjoint" or "overlap". weights: "uniform" or "linear".
        seed: of the overlapping bags.

    Raises:
        InputError: a word outside those, or a bag would be empty.
    """

    terminals: int
    size: int
    bags: str = "disjoint"
    weights: str = "uniform"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bags not in BAGS:
            raise unknown("kind of bags", self.bags, BAGS)
        if self.weights not in WEIGHTS:
            raise unknown("kind of bag weights", self.weights, WEIGHTS)
        if self.size < self.terminals:
            raise InputError(
                f"an alphabet of {self.size} tokens: needs one per terminal or more, "
                f"at least {self.terminals}"
            )

    @cached_property
    def members(self) -> tuple[np.ndarray, ...]:
        """For every terminal, the tokens of its bag, ascending."""
        tokens = np.arange(1, self.size + 1)
        if self.bags == "disjoint":
            return tuple(tokens[tokens % self.terminals == t] for t in range(self.terminals))
        draws = np.int64(self.size * 3 // (2 * self.terminals))
        keys = np.array([stream_key(self.seed, "bag", t) for t in range(self.terminals)], np.uint64)
        words = ragged_words(keys, draws * np.arange(self.terminals + 1))
        return tuple(np.unique(below(w, self.size) + 1) for w in np.split(words, self.terminals))

    @cached_property
    def emission(self) -> np.ndarray:
        """float64[V + 1, |T|]: Pr(token v | terminal t) at [v, t - 1]; row 0 is zero."""
        matrix = np.zeros((self.size + 1, self.terminals))
        for t, members in enumerate(self.members):
            weights = self._weights(len(members))
            matrix[members, t] = weights / weights.sum()
        return matrix

    def observe(self, keys: np.ndarray, tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Returns int32[total]: the terminals of n strings replaced by observable tokens.

        Args:
            keys: uint64[n], the key of each string; tokens: terminals 1..|T|, int[total];
            offsets: int64[n + 1].
        """
        first, size, urns = self._urns
        words = ragged_words(mix(keys ^ _PURPOSE), offsets)
        return urns[first.take(tokens - 1) + below(words, size.take(tokens - 1))]

    @cached_property
    def _urns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(first, size, urns): each terminal's bag with every token as often as it weighs."""
        filled = [np.repeat(m, self._weights(len(m))) for m in self.members]
        size = np.array([len(f) for f in filled])
        return np.cumsum(size) - size, size, np.concatenate(filled).astype(np.int32)

    def _weights(self, size: int) -> np.ndarray:
        return np.arange(1, size + 1) if self.weights == "linear" else np.ones(size, np.int64)
