"""Closed vocabularies: the token ids of a world and how a person reads and writes them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from physlm_jax.errors import InputError, unknown


@dataclass(frozen=True)
class Vocabulary:
    """Names of the token ids 0..size-1 and the ids with a role.

    Attributes:
        names: the text of every id, unique; `names[i]` is what id i is written as.
        bos, eos: ids that begin and end an example; pad fills rows (weight 0).
        separator: what stands between two tokens in text.
    """

    names: tuple[str, ...]
    bos: int
    eos: int
    pad: int = 0
    separator: str = " "
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {name: i for i, name in enumerate(self.names)}
        if len(ids) != len(self.names):
            raise InputError("a vocabulary needs pairwise different token names")
        object.__setattr__(self, "_ids", ids)

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, text: str) -> np.ndarray:
        """int32[n]: the ids of the separated names in `text`.

        Raises:
            InputError: a word is outside the vocabulary.
        """
        words = text.split(self.separator) if self.separator.strip() else text.split()
        for position, word in enumerate(words):
            if word not in self._ids:
                raise unknown("token", word, self.names, f"the text at word {position + 1}")
        return np.array([self._ids[w] for w in words], np.int32)

    def decode(self, ids: Iterable[int] | Sequence[int] | np.ndarray) -> str:
        """Returns the names of the ids, joined by the separator."""
        return self.separator.join(self.names[int(i)] for i in ids)
