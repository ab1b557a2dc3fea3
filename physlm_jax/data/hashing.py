"""Counter-based randomness in NumPy: a random word is a pure function of its address.

An address is mixed word by word (seed, example, place in the example, ...) with the finaliser of
splitmix64, whose output passes the usual batteries when fed with counters. Nothing here has state,
so the same address gives the same word on any host, in any order of calls.
"""

import hashlib
import operator

import numpy as np

from physlm_jax.errors import InputError

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, splitmix64's increment
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


def mix(words: np.ndarray) -> np.ndarray:
    """uint64 -> uint64, same shape: the finaliser of splitmix64, a bijection."""
    z = words + GOLDEN
    shifted = z >> _S30
    z ^= shifted
    z *= _MIX1
    z ^= np.right_shift(z, _S27, out=shifted)
    z *= _MIX2
    z ^= np.right_shift(z, _S31, out=shifted)
    return z


def ragged_words(keys: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """uint64[total]: a word for every place of `n` sequences laid end to end.

    Args:
        keys: uint64[n], one key per sequence (different uses need different keys).
        offsets: int64[n + 1], where the sequences begin and end; place j of sequence i gets a
            word that depends on (keys[i], j) alone: output j of splitmix64 started at keys[i].
    """
    starts = keys - offsets[:-1].astype(np.uint64) * GOLDEN
    words = np.arange(offsets[-1], dtype=np.uint64)
    words *= GOLDEN
    words += np.repeat(starts, np.diff(offsets))
    return mix(words)


def below(words: np.ndarray, bound: np.ndarray | int) -> np.ndarray:
    """int64, same shape: words as uniform integers 0..bound-1, for bound < 2**31.

    Multiplies the high 32 bits and shifts: no value is likelier than another by more than
    bound / 2**32.
    """
    drawn = words >> _S32
    drawn *= np.asarray(bound).astype(np.uint64)
    drawn >>= _S32
    return drawn.view(np.int64)


def chances(words: np.ndarray, probability: float) -> np.ndarray:
    """bool, same shape: true with the given probability (to within 2**-32)."""
    return (words >> _S32) < np.uint64(round(probability * 2**32))


def stream_key(seed: int, *purpose: str | int) -> int:
    """Returns a 64-bit key for one named use of `seed`, e.g. `stream_key(3, "held-out")`.

    Different purposes give unrelated streams; the value is stable across versions and machines.
    """
    text = "\x1f".join([str(int(seed)), *(str(p) for p in purpose)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def example_numbers(start: int, count: int) -> np.ndarray:
    """uint64[count]: the numbers start..start+count-1 of examples.

    Raises:
        InputError: not 0 <= start, 0 <= count, start + count <= 2**64.
    """
    start, count = operator.index(start), operator.index(count)
    if start < 0 or count < 0 or start + count > 2**64:
        raise InputError(f"examples {start} to {start} + {count}: expected a range in 0..2**64")
    return np.uint64(start) + np.arange(count, dtype=np.uint64)


def example_keys(seed: int, start: int, count: int) -> np.ndarray:
    """uint64[count]: the key of each of the examples start..start+count-1 of the stream `seed`.

    Raises:
        InputError: see `example_numbers`.
    """
    base = np.uint64(stream_key(seed))
    index = example_numbers(start, count)
    return mix(mix(index) ^ base)
