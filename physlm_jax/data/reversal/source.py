"""Where the samples of reverse training come from: a finite set with exact entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from physlm_jax.data.questions import Questions
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.reversal.kinds import Span, check_spans
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError

REV, DIRECTION = "[REV]", "[REVERSED]"


def special(words: Sequence[str]) -> Vocabulary:
    """Returns a vocabulary of words behind the special tokens, the same for every kind."""
    return Vocabulary(("<pad>", "<bos>", "<eos>", REV, DIRECTION, *words), bos=1, eos=2)


class Source(Protocol):
    """A finite set of training samples. Implementations compare and pickle by value."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Of words, with `REV` and `DIRECTION` in it."""
        ...

    @property
    def size(self) -> int:
        """Number of samples."""
        ...

    @property
    def mean_length(self) -> float:
        """Mean tokens of a sample, without BOS and EOS."""
        ...

    def samples(self, index: np.ndarray, occasion: np.ndarray) -> Ragged:
        """Returns samples without BOS and EOS.

        Labels: entity int32[total] (0 outside; neighbours of one number are one entity), and
        mirrored bool[n], which of them may be shown reversed.

        Args:
            index: int64[n], which samples.
            occasion: uint64[n], key of this exposure: of the wording, where it is drawn anew.
        """
        ...

    def questions(self) -> Mapping[str, Questions]:
        """Returns what to ask a model that was trained on the samples."""
        ...


@dataclass(frozen=True, eq=False)
class Listed:
    """Samples of fixed wording, held in memory.

    Attributes:
        vocabulary: of all words.  rows: the samples, with labels entity and mirrored.
        asked: the questions.
    """

    vocabulary: Vocabulary
    rows: Ragged
    asked: Mapping[str, Questions]

    @classmethod
    def of(
        cls,
        vocabulary: Vocabulary,
        texts: Sequence[tuple[Sequence[str], Sequence[Span], bool]],
        asked: Mapping[str, Questions],
    ) -> Listed:
        """Returns the source of (words, spans of entities, may be reversed).

        Raises:
            InputError: a word outside the vocabulary, or spans that are not disjoint.
        """
        if not texts:
            raise InputError("a source of training samples needs at least one")
        ids = Ragged.from_sequences([vocabulary.encode(" ".join(words)) for words, _, _ in texts])
        entity = np.zeros(len(ids.tokens), np.int32)
        for start, (words, spans, _) in zip(ids.offsets, texts, strict=False):
            check_spans(spans, len(words))
            for number, (a, b) in enumerate(spans, 1):
                entity[start + a : start + b] = number
        mirrored = np.array([may for _, _, may in texts], bool)
        labels = {"entity": entity, "mirrored": mirrored}
        return cls(vocabulary, Ragged(ids.tokens, ids.offsets, labels), asked)

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.rows)

    @property
    def mean_length(self) -> float:
        """Mean tokens of a sample."""
        return len(self.rows.tokens) / len(self.rows)

    def samples(self, index: np.ndarray, occasion: np.ndarray) -> Ragged:
        """Returns samples; see `Source`. The wording never changes."""
        del occasion
        lengths = self.rows.lengths[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        inside = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        take = np.repeat(self.rows.offsets[index], lengths) + inside
        labels = {"entity": self.rows.entity[take], "mirrored": self.rows.mirrored[index]}
        return Ragged(self.rows.tokens[take], offsets, labels)

    def questions(self) -> Mapping[str, Questions]:
        """Returns what to ask."""
        return self.asked
