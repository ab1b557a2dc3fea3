"""Rows cut from concatenated examples without regard to their borders, as most papers do.

A layout is where each row starts in the concatenation; a row is then the T + 1 tokens from there
(T inputs, T targets shifted by one). All tokens carry loss, there is one segment, and positions
are not reset (Part 1, section "data"; specs/cfg.md 5.3).

Two kinds of rows exist, and a block holds its aligned rows first in the concatenation:
  aligned  starts at the BOS of the first example of which no earlier row holds a token;
  cut      consecutive windows of the stream that begins at a keyed random phase in what is left.

The phase. An endless stream cut at a far-away place is met at a place uniform in its tokens; in a
block, which starts at an example's border, row 0 would else always start at BOS and row 1 nearly so
for short rows. A place uniform in the tokens of the next E examples comes close for E/2 examples'
worth of tokens not used: with lengths of coefficient of variation v, the chance to start at a BOS
is that of the endless stream times 1 + v**2 / E, in one row of the block. (A place uniform in the
first W tokens would be off by 0.5 / E at the same price, W = E mean lengths: it counts the border
at 0, which every block has.) For the cfg3 grammars v**2 is below 0.07, so E = 4 leaves 2 %.
"""

import numpy as np

PHASE_EXAMPLES = 4


def row_starts(
    offsets: np.ndarray, length: int, aligned: int, cut: int, phase: int
) -> np.ndarray | None:
    """Returns where each row starts in the concatenated examples.

    Args:
        offsets: int64[n + 1], the borders of the examples at hand.
        length: T, the tokens of a row; each row reads T + 1.
        aligned, cut: how many rows of each kind.
        phase: 64 random bits.

    Returns:
        int64[aligned + cut], the aligned rows first; None if the examples at hand do not suffice.
    """
    bos = _aligned_starts(offsets, length, aligned)
    if bos is None:
        return None
    starts, following = bos
    if cut:
        end = following + PHASE_EXAMPLES
        if end >= len(offsets):
            return None
        first = offsets[following]
        skip = phase * int(offsets[end] - first) >> 64
        starts = np.concatenate([starts, first + skip + length * np.arange(cut)])
    return starts if starts[-1] + length + 1 <= offsets[-1] else None


def _aligned_starts(offsets: np.ndarray, length: int, rows: int) -> tuple[np.ndarray, int] | None:
    """Returns the first `rows` aligned starts and the index of the first example unused by them."""
    # The successor of every example as a row's first, then a walk over plain ints: a search per
    # row would cost more than filling it.
    successor = np.searchsorted(offsets, offsets[:-1] + (length + 1)).tolist()
    example, firsts = 0, []
    for _ in range(rows):
        if example >= len(successor):
            return None
        firsts.append(example)
        example = successor[example]
    return offsets[firsts], example


def windows(tokens: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """int32[rows, T + 1]: the tokens from each start on."""
    return np.lib.stride_tricks.sliding_window_view(tokens, length + 1)[starts]
