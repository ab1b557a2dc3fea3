"""The four kinds of reversal, each a pure function of one sample (section 3 of the paper).

Words are the units of all but the first: runs of letters and digits (with inner apostrophes,
hyphens, points and commas between digits), and punctuation marks, each a word of its own.
"""

import re
from collections.abc import Sequence

import numpy as np

from physlm_jax.data.hashing import mix, stream_key
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.reversal import flat
from physlm_jax.errors import InputError

Span = tuple[int, int]
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]|_")


def split(text: str) -> list[str]:
    """Returns the words of a text, punctuation marks apart; joined by spaces, they split again."""
    return _WORD.findall(text)


def tokens(ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """int32[T]: the ids in reverse order (3.1); its own inverse."""
    return np.asarray(ids, np.int32).reshape(-1)[::-1].copy()


def words(text: str) -> list[str]:
    """Returns the words of a text in reverse order (3.2): joined by spaces, the reversed text.

    `split` undoes the joining; so `words(" ".join(words(text))) == split(text)`.
    """
    return split(text)[::-1]


def entities(words: Sequence[str] | str, spans: Sequence[Span]) -> list[str]:
    """Returns the words in reverse order, but those of an entity in their own (3.3).

    Its own inverse, with the spans that `mapped` gives; without spans it is `words`.

    Args:
        words: a text's words (a text is split).
        spans: half-open, in words, sorted, not overlapping: the entities.
    Raises:
        InputError: spans that overlap, are empty or leave the text.
    """
    units = split(words) if isinstance(words, str) else list(words)
    reversed_units: list[str] = []
    for start, stop in _pieces(len(units), spans)[::-1]:
        reversed_units += units[start:stop]
    return reversed_units


def mapped(spans: Sequence[Span], length: int) -> list[Span]:
    """Returns where the entities of a text of `length` words lie after `entities`."""
    check_spans(spans, length)
    return [(length - stop, length - start) for start, stop in reversed(spans)]


def segments(
    ids: Sequence[int] | np.ndarray,
    k: int,
    seed: int,
    rev_id: int,
    epoch: int = 0,
    index: int = 0,
    leading_rev: bool = False,
) -> np.ndarray:
    """int32[T + segments - 1]: random segments in reverse order, [REV] between them (3.4).

    From left to right segments of n tokens are cut, n uniform in 1..k, the last one what remains;
    their order is reversed, not that inside. The cut is a pure function of (seed, epoch, index).

    Args:
        ids: int[T].  k: longest segment.  rev_id: the id of [REV].
        seed, epoch, index: of the run, of the exposure, of the sample.
        leading_rev: also begin with [REV].
    Raises:
        InputError: k below 1.
    """
    one = Ragged.from_sequences([np.asarray(ids)])
    key = segment_keys(seed, np.array([epoch]), np.array([index]))
    starts = flat.cut(one.offsets, k, key)
    return flat.reversed_units(one, starts, rev_id, leading_rev).tokens


def segment_keys(seed: int, epochs: np.ndarray, index: np.ndarray) -> np.ndarray:
    """uint64[n]: the key of each sample's cut in an epoch."""
    key = np.uint64(stream_key(seed, "segments"))
    return mix(mix(mix(index.astype(np.uint64)) ^ key) ^ epochs.astype(np.uint64))


def check_spans(spans: Sequence[Span], length: int) -> None:
    """Checks entities of a text of `length` words.

    Raises:
        InputError: spans that overlap, are empty or leave the text, or are not sorted.
    """
    end = 0
    for i, (start, stop) in enumerate(spans):
        if not 0 <= start < stop <= length:
            raise InputError(
                f"span {i} ({start}, {stop}): must be half-open and not empty inside the text's "
                f"{length} words"
            )
        if start < end:
            raise InputError(
                f"span {i} ({start}, {stop}) overlaps or precedes the one before it, which ends "
                f"at {end}; spans must be sorted and disjoint"
            )
        end = stop


def _pieces(length: int, spans: Sequence[Span]) -> list[Span]:
    """The units of a text: its entities, and each of its other words."""
    check_spans(spans, length)
    pieces, place = [], 0
    for start, stop in [*spans, (length, length)]:
        pieces += [(i, i + 1) for i in range(place, start)]
        pieces += [(start, stop)] if stop > start else []
        place = stop
    return pieces
