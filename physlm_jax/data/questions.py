"""What a trained model is asked: prompts and the answers that count as right."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from physlm_jax.data.ragged import Ragged
from physlm_jax.data.vocabulary import Vocabulary

Ids = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Questions:
    """Prompts with their answers; never reversed, and never part of the training strings.

    Attributes:
        prompts: BOS and the question.  answers: the right continuation, without EOS.
        accepted: for each question all answers that count as right: several where several fit what
            is asked (people who share a date).
        ends: the answer ends the string; else what follows it does not matter.
    """

    prompts: Ragged
    answers: Ragged
    accepted: tuple[frozenset[tuple[int, ...]], ...]
    ends: bool = True

    @classmethod
    def of(
        cls, pairs: Sequence[tuple[Ids, Ids]], bos: int, among: Sequence[tuple[Ids, Ids]] = ()
    ) -> Questions:
        """Returns questions of (prompt without BOS, answer) pairs.

        Args:
            among: pairs whose answers also count as right where the prompt is the same.
        """
        right: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
        for prompt, answer in (*pairs, *among):
            right.setdefault(_plain(prompt), set()).add(_plain(answer))
        return cls(
            Ragged.from_sequences([[bos, *_plain(prompt)] for prompt, _ in pairs]),
            Ragged.from_sequences([answer for _, answer in pairs]),
            tuple(frozenset(right[_plain(prompt)]) for prompt, _ in pairs),
        )

    @classmethod
    def worded(
        cls,
        vocabulary: Vocabulary,
        pairs: Sequence[tuple[Sequence[str], Sequence[str]]],
        ends: bool = True,
    ) -> Questions:
        """Returns questions of (prompt, answer) pairs of words.

        Raises:
            InputError: a word outside the vocabulary.
        """
        ids = [[vocabulary.encode(" ".join(words)) for words in pair] for pair in pairs]
        made = cls.of([(prompt, answer) for prompt, answer in ids], vocabulary.bos)
        return dataclasses.replace(made, ends=ends)

    def __len__(self) -> int:
        return len(self.prompts)

    def first(self, count: int) -> Questions:
        """Returns the first questions, or all if there are no more."""
        n = min(count, len(self))
        return dataclasses.replace(
            self,
            prompts=self.prompts.slice(0, n),
            answers=self.answers.slice(0, n),
            accepted=self.accepted[:n],
        )


def _plain(ids: Ids) -> tuple[int, ...]:
    return tuple(int(i) for i in ids)
