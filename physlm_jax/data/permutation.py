"""Keyed permutations of 0..n-1 with random access: place i is computed, nothing is stored.

A Feistel network over the smallest power of two that holds n, walked on until it lands below n: a
bijection for every key, vectorised, the same on every machine. Not for secrets.
"""

import numpy as np

from physlm_jax.data.compiled import Whole, compiled, mix_word
from physlm_jax.data.hashing import mix

ROUNDS = 6


def permuted(index: np.ndarray, size: np.ndarray | int, key: np.ndarray | int) -> np.ndarray:
    """int64, the common shape: where each index goes under the permutation of its key.

    Args:
        index: int64, 0 <= index < size.
        size: n, one for all or one for each index; below 2**62.
        key: 64 bits, one for all or one for each index.
    """
    arrays = np.broadcast_arrays(*(np.asarray(a, np.uint64) for a in (index, size, key)))
    places, sizes, keys = (a.reshape(-1) for a in arrays)
    bits = np.ceil(np.log2(np.maximum(sizes, 2))).astype(np.uint64)
    bits += (np.uint64(1) << bits) < sizes  # log2 rounds
    found = _network(places, bits, keys)
    outside = found >= sizes
    while outside.any():
        found[outside] = _network(found[outside], bits[outside], keys[outside])
        outside = found >= sizes
    return found.astype(np.int64).reshape(arrays[0].shape)


def _network(words: np.ndarray, bits: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """A bijection of the integers of `bits` bits (each word has its own number of them)."""
    low = bits >> np.uint64(1)
    low_mask = (np.uint64(1) << low) - np.uint64(1)
    high_mask = (np.uint64(1) << (bits - low)) - np.uint64(1)
    left, right = words >> low, words & low_mask
    for i in range(ROUNDS):
        keys = mix(keys)
        if i % 2:
            right = right ^ (mix(left ^ keys) & low_mask)
        else:
            left = left ^ (mix(right ^ keys) & high_mask)
    return (left << low) | right


@compiled
def permuted_one(index: Whole, size: Whole, key: np.uint64) -> np.int64:
    """`permuted` of one index, for compiled code."""
    bits = 1
    while (1 << bits) < size:
        bits += 1
    low = np.uint64(bits >> 1)
    one = np.uint64(1)
    low_mask = (one << low) - one
    high_mask = (one << (np.uint64(bits) - low)) - one
    word = np.uint64(index)
    while True:
        left, right, k = word >> low, word & low_mask, key
        for i in range(ROUNDS):
            k = mix_word(k)
            if i % 2:
                right ^= mix_word(left ^ k) & low_mask
            else:
                left ^= mix_word(right ^ k) & high_mask
        word = (left << low) | right
        if word < np.uint64(size):
            return np.int64(word)  # of an unsigned one numba makes floats when it divides
