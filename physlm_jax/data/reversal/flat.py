"""Reversal of many samples at once, flat in memory: by which tokens begin a unit.

Every kind is this one operation: tokens are units of one token, entities of several, segments units
with markers between them. `kinds` says the same of one sample, word by word.
"""

import numpy as np

from physlm_jax.data.hashing import below, ragged_words
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError


def unit_starts(entity: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """bool[total]: the tokens that begin a word or an entity.

    Args:
        entity: int32[total], 0 outside entities; neighbours of one number are one entity.
        offsets: int64[n + 1], borders of the samples.
    """
    starts = entity == 0
    starts[1:] |= entity[1:] != entity[:-1]
    starts[offsets[:-1][offsets[:-1] < len(starts)]] = True
    return starts


def cut(offsets: np.ndarray, k: int, keys: np.ndarray) -> np.ndarray:
    """bool[total]: the tokens that begin a random segment of 1..k tokens.

    Args:
        offsets: int64[n + 1].  k: longest segment.
        keys: uint64[n], of each sample's draws.
    Raises:
        InputError: k below 1.
    """
    if k < 1:
        raise InputError(f"k, the longest segment, must be at least 1, got {k}")
    drawn = np.cumsum(1 + below(ragged_words(keys, offsets), k))
    before = np.concatenate([[0], drawn])[offsets[:-1]]
    lengths = np.diff(offsets)
    places = drawn - np.repeat(before, lengths)  # where the next segment would begin
    inside = places < np.repeat(lengths, lengths)
    starts = np.zeros(offsets[-1], bool)
    starts[offsets[:-1][lengths > 0]] = True
    starts[(np.repeat(offsets[:-1], lengths) + places)[inside]] = True
    return starts


def reversed_units(
    ragged: Ragged, starts: np.ndarray, marker: int | None = None, leading: bool = False
) -> Ragged:
    """Returns each sample's units in reverse order, the order inside them kept.

    Args:
        starts: bool[total], which tokens begin a unit; the first one of a sample does.
        marker: id between units, None for nothing.  leading: also before the first one.
    """
    offsets, lengths = ragged.offsets, ragged.lengths
    total = len(ragged.tokens)
    begins = np.flatnonzero(starts)
    unit = np.cumsum(starts) - 1  # of each token, over all samples
    ends = np.append(begins[1:], total)
    sample = np.repeat(np.arange(len(lengths)), lengths)
    new = offsets[sample] + offsets[sample + 1] - ends[unit] + np.arange(total) - begins[unit]
    if marker is None:
        tokens = np.empty(total, np.int32)
        tokens[new] = ragged.tokens
        return Ragged(tokens, offsets)
    units = np.bincount(sample[begins], minlength=len(lengths))
    markers = np.maximum(units - (not leading), 0)
    shifted = offsets + np.concatenate([[0], np.cumsum(markers)])
    after = np.cumsum(units)[sample] - 1 - unit  # units of the sample that follow this one
    new += (shifted - offsets)[:-1][sample] + after + int(leading)
    tokens = np.full(shifted[-1], marker, np.int32)
    tokens[new] = ragged.tokens
    return Ragged(tokens, shifted)
