"""Functions compiled by numba, and the random numbers that they draw.

For worlds whose examples are made step by step, where whole-array NumPy has nothing to work on. The
compiled code is kept on disk beside the source, so a process pays for it once. The functions are
plain Python: `f.py_func` is the same function uncompiled. They release the interpreter's lock.

A random stream is a state of one word, uint64[1], that every draw moves on: output j of splitmix64
started at a key. Keys come from `hashing`, so what is drawn is a function of the address alone.
"""

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
Whole = int | np.integer[Any]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31, _S32 = (np.uint64(s) for s in (11, 27, 30, 31, 32))


def compiled(function: F) -> F:
    """Returns the function, compiled at its first call for the types it is called with.

    numba keeps compiled code until the function's own file changes, though what the function calls
    is compiled into it: so it is kept under a name that changes with every file of its folder, and
    with those of this one that have compiled functions.
    """
    function.__qualname__ += "-" + _digest(Path(function.__code__.co_filename).parent)
    return cast(F, numba.njit(cache=True, nogil=True)(function))


@lru_cache
def _digest(folder: Path) -> str:
    """A word that changes with any source that compiled code of a folder can be made from."""
    texts = [path.read_bytes() for path in sorted(folder.glob("*.py"))]
    shared = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    texts += [text for text in shared if b"@compiled" in text]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:12]


@compiled
def mix_word(word: np.uint64) -> np.uint64:
    """`hashing.mix` of one word."""
    z = word + _GOLDEN
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@compiled
def draw_word(state: np.ndarray) -> np.uint64:
    """The next 64 random bits of a stream."""
    word = mix_word(state[0])
    state[0] += _GOLDEN
    return word


@compiled
def draw_below(state: np.ndarray, bound: int) -> int:
    """A uniform integer 0..bound-1, for 1 <= bound < 2**31 (uneven by bound / 2**32 at most)."""
    return int(((draw_word(state) >> _S32) * np.uint64(bound)) >> _S32)


@compiled
def draw_uniform(state: np.ndarray) -> float:
    """A uniform number in [0, 1)."""
    return float(draw_word(state) >> _S11) * 2.0**-53


@compiled
def draw_normal(state: np.ndarray) -> float:
    """A standard normal number, by Box and Muller's transform."""
    radius = math.sqrt(-2.0 * math.log(1.0 - draw_uniform(state)))
    return radius * math.cos(2.0 * math.pi * draw_uniform(state))


@compiled
def draw_weighted(state: np.ndarray, weights: np.ndarray) -> int:
    """An index, with probability in proportion to its weight (>= 0, not all 0)."""
    left = draw_uniform(state) * weights.sum()
    last = 0
    for i in range(len(weights)):
        if weights[i] > 0:
            last = i
            left -= weights[i]
            if left < 0:
                return i
    return last  # rounding


@compiled
def shuffle(state: np.ndarray, items: np.ndarray, count: int) -> None:
    """Puts a uniform sample without replacement, in random order, into items[:count]."""
    for i in range(min(count, len(items) - 1)):
        j = i + draw_below(state, len(items) - i)
        items[i], items[j] = items[j], items[i]
