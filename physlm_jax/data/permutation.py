"""Keyed permutations of 0..n-1 with random access: place i is computed, nothing is stored.

A Feistel network over the smallest power of two that holds n, walked on until it lands below n: a
bijection for every key, vectorised, the same on every machine. Not for secrets.
"""

import numpy as np

from physlm_jax.data.hashing import mix

ROUNDS = 6


def permuted(index: np.ndarray, size: np.ndarray | int, key: np.ndarray | int) -> np.ndarray:
    """int64, the common shape: where each index goes under the permutation of its key.

    Args:
        index: int64, 0 <= index < size.
        size: n, one for all or one for each index; below 2**62.
        key: 64 bits, one for all or one for each index.
    """
    index, size = np.broadcast_arrays(np.asarray(index, np.int64), np.asarray(size, np.int64))
    keys = np.broadcast_to(np.asarray(key, np.uint64), index.shape)
    bits = np.ceil(np.log2(np.maximum(size, 2))).astype(np.uint64)
    bits += (np.uint64(1) << bits) < size.astype(np.uint64)  # log2 rounds
    found = _network(index.astype(np.uint64), bits, keys)
    outside = found >= size.astype(np.uint64)
    while outside.any():
        found[outside] = _network(found[outside], bits[outside], keys[outside])
        outside = found >= size.astype(np.uint64)
    return found.astype(np.int64)


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
