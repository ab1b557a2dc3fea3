"""Many token sequences of different lengths, flat in memory: what every generator returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from physlm_jax.errors import InputError


@dataclass(frozen=True)
class Ragged:
    """`n` sequences of integers: flat `tokens` and the `offsets` that cut them apart.

    Attributes:
        tokens: int32[total]; sequence i is `tokens[offsets[i]:offsets[i + 1]]`.
        offsets: int64[n + 1], non-decreasing, from 0 to total.
        labels: named arrays whose first axis is either total (per token) or n (per example).
            `ragged.name` reads `ragged.labels["name"]`.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def from_sequences(cls, sequences: Sequence[Sequence[int] | np.ndarray]) -> Ragged:
        """Returns the sequences (lists or arrays of ints) as one Ragged without labels."""
        arrays = [np.asarray(s, np.int32).reshape(-1) for s in sequences]
        offsets = np.zeros(len(arrays) + 1, np.int64)
        np.cumsum([a.size for a in arrays], out=offsets[1:])
        return cls(np.concatenate([np.zeros(0, np.int32), *arrays]), offsets)

    @property
    def lengths(self) -> np.ndarray:
        """int64[n]: the number of tokens of each sequence."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        """int32[length]: sequence i (negative i counts from the end)."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"sequence {i} of {len(self)}")
        i %= len(self)
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> np.ndarray:
        try:
            return self.__dict__["labels"][name]
        except KeyError:
            raise AttributeError(f"Ragged has no label '{name}'") from None

    def slice(self, start: int, stop: int) -> Ragged:
        """Returns sequences start..stop-1 with their labels (views, no copy)."""
        lo, hi = self.offsets[start], self.offsets[stop]
        total, n = len(self.tokens), len(self)
        labels = {}
        for name, array in self.labels.items():
            per_token = array.shape[0] == total and total != n
            labels[name] = array[lo:hi] if per_token else array[start:stop]
        return Ragged(self.tokens[lo:hi], self.offsets[start : stop + 1] - lo, labels)

    def framed(self, before: int, after: int) -> Ragged:
        """Returns every sequence x as `before x after`, e.g. BOS x EOS; labels are dropped."""
        n = len(self)
        tokens = np.empty(len(self.tokens) + 2 * n, np.int32)
        offsets = self.offsets + 2 * np.arange(n + 1)
        inner = np.ones(len(tokens), bool)
        inner[offsets[:-1]] = False
        inner[offsets[1:] - 1] = False
        tokens[inner] = self.tokens
        tokens[offsets[:-1]] = before
        tokens[offsets[1:] - 1] = after
        return Ragged(tokens, offsets)


def as_ragged(sequences: Ragged | Sequence[Sequence[int]]) -> Ragged:
    """Returns the argument as a Ragged: a Ragged itself, or a sequence of sequences of ints."""
    if isinstance(sequences, Ragged):
        return sequences
    try:
        return Ragged.from_sequences(sequences)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected a sequence of sequences of ints or a Ragged: {error}") from None
