"""Forward and reversed exposures of a source's samples, as one stream of training examples.

Exposures go through the source pass by pass; each pass shows every sample once, in an order of its
own, some forward and some reversed. With ratio 1/2 a sample's two forms alternate from pass to
pass, so two passes are one epoch of the doubled set {x} + {REVERSE(x)} of section 2. The order is
such that a sample comes back only after half of the others: its two forms are never in one window,
where the model could copy one from the other (unless a window holds half the source).

Each sample is reversed by itself, between its BOS and EOS: nothing is reversed across samples.
A reversal at random segments is drawn anew for every exposure. Budgets: steps count exposures, so
as many as those of standard training are compute-matched, and twice as many data-matched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from physlm_jax.data.hashing import example_numbers, mix, stream_key
from physlm_jax.data.permutation import permuted
from physlm_jax.data.questions import Questions
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.reversal import flat
from physlm_jax.data.reversal.kinds import segment_keys
from physlm_jax.data.reversal.source import DIRECTION, REV, Source
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError, unknown

KINDS = ("none", "token", "word", "entity", "segment")
BLOCK = 2**32  # examples i of one block of the packer are BLOCK * block + j


@dataclass(frozen=True)
class ReverseMix:
    """A world that shows samples forward and reversed.

    Attributes:
        source: the samples.
        kind: how they are reversed, one of `KINDS`; "none" is standard training.
        k: longest segment of kind "segment", tokens.
        ratio: share of reversed exposures.
        leading_rev: segments also begin with [REV].
        direction_token: reversed samples begin with a token that says so.

    Raises:
        InputError: any of these is out of range.
    """

    source: Source
    kind: str = "none"
    k: int = 25
    ratio: float = 0.5
    leading_rev: bool = False
    direction_token: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("kind of reversal", self.kind, KINDS)
        if self.k < 1:
            raise InputError(f"k, the longest segment, must be at least 1, got {self.k}")
        if not 0 <= self.ratio <= 1:
            raise InputError(f"ratio, the share of reversed exposures, is {self.ratio}, not 0..1")
        if self.kind == "none" and self.ratio:
            raise InputError("kind 'none' shows nothing reversed: its ratio is 0")

    @property
    def vocabulary(self) -> Vocabulary:
        """The source's."""
        return self.source.vocabulary

    @property
    def mean_length(self) -> float:
        """Expected tokens of an exposure, BOS and EOS included (if all may be reversed)."""
        inner = self.source.mean_length
        markers = inner * 2 / (self.k + 1) if self.kind == "segment" else 0.0
        return inner + 2 + self.ratio * (markers + self.direction_token)

    def questions(self) -> Mapping[str, Questions]:
        """Returns the source's questions: read forward, whatever the training was."""
        return self.source.questions()

    def exposures(
        self, seed: int, start: int, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which sample each example of the stream `seed` shows, in which pass, and which way.

        Returns:
            index int64[count], epoch uint64[count] (number of the pass, different in every
            block), reversed bool[count] (if the sample may be).
        """
        i = example_numbers(start, count)
        block, j = i // BLOCK, (i % BLOCK).astype(np.int64)
        size = self.source.size
        turn, place = j // size, j % size
        first = (size + 1) // 2
        late = place >= first
        epoch = block * np.uint64(BLOCK) + turn.astype(np.uint64)
        order = np.uint64(stream_key(seed, "order"))
        inner = permuted(
            place - late * first, np.where(late, size - first, first), mix(epoch ^ order) + late
        )
        index = permuted(inner + late * first, size, mix(mix(block) ^ order))
        phase = mix(mix(mix(index.astype(np.uint64)) ^ order) ^ block) / 2.0**64
        turned = np.floor(phase + (turn + 1) * self.ratio) > np.floor(phase + turn * self.ratio)
        return index, epoch, turned

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns training examples start..start+count-1 of the stream `seed`, BOS .. EOS."""
        index, epoch, turned = self.exposures(seed, start, count)
        occasion = segment_keys(seed, epoch, index)
        shown = self.source.samples(index, occasion)
        turned &= shown.mirrored
        vocabulary = self.vocabulary
        if turned.any():
            shown = _chosen(shown, self._reversed(shown, occasion), turned)
        return shown.framed(vocabulary.bos, vocabulary.eos)

    def _reversed(self, shown: Ragged, keys: np.ndarray) -> Ragged:
        """Every sample reversed."""
        rev, direction = self.vocabulary.encode(f"{REV} {DIRECTION}")
        if self.kind == "segment":
            starts = flat.cut(shown.offsets, self.k, keys)
            made = flat.reversed_units(shown, starts, int(rev), self.leading_rev)
        elif self.kind == "entity":
            made = flat.reversed_units(shown, flat.unit_starts(shown.entity, shown.offsets))
        else:  # a word is a token of these vocabularies
            made = flat.reversed_units(shown, np.ones(len(shown.tokens), bool))
        if not self.direction_token:
            return made
        n = np.arange(len(made) + 1)
        return Ragged(np.insert(made.tokens, made.offsets[:-1], direction), made.offsets + n)


def _chosen(plain: Ragged, other: Ragged, which: np.ndarray) -> Ragged:
    """The sequences of `other` where `which`, else those of `plain`."""
    lengths = np.where(which, other.lengths, plain.lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.empty(offsets[-1], np.int32)
    tokens[np.repeat(which, lengths)] = other.tokens[np.repeat(which, other.lengths)]
    tokens[np.repeat(~which, lengths)] = plain.tokens[np.repeat(~which, plain.lengths)]
    return Ragged(tokens, offsets)
