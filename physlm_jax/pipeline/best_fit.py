"""Rows of whole examples, each its own segment: nothing attends or predicts across a border.

An example of n tokens takes n - 1 slots: its last token has no target, and masked attention lets no
other segment see it, so a slot for it would be wasted. Examples keep their order. A row ends at the
first example that does not fit, which starts the next row: going on past it to a shorter one would
fill rows better but prefer short examples. An example with more than T slots has a row to itself
and is cut to the window.

The example that closes the last row of a block is the first that did not fit; it is not used, so
lengths keep a bias of the order of one example in a block.
"""

from dataclasses import dataclass

import numpy as np

from physlm_jax.data.ragged import Ragged


@dataclass(frozen=True)
class Layout:
    """Which examples each row holds: row r those from firsts[r] up to firsts[r + 1] (exclusive).

    Attributes:
        slots: int64[n], the slots each example at hand takes, at most T.
        firsts: int64[rows + 1].
    """

    slots: np.ndarray
    firsts: np.ndarray


def layout(offsets: np.ndarray, length: int, rows: int) -> Layout | None:
    """Returns the rows' examples, or None if those at hand do not suffice.

    Args:
        offsets: int64[n + 1], the borders of the examples at hand, all of two tokens or more.
        length: T, the slots of a row.
        rows: how many rows to fill.
    """
    slots = np.minimum(np.diff(offsets) - 1, length)
    filled = np.concatenate([[0], np.cumsum(slots)])
    successor = np.searchsorted(filled, filled + length, side="right") - 1
    step, example, firsts = successor.tolist(), 0, [0]
    for _ in range(rows):
        example = step[example]
        firsts.append(example)
    # With no example left to be the misfit, the last row is complete only if it is full.
    at_end = example == len(slots)
    if at_end and filled[example] - filled[firsts[-2]] < length:
        return None
    return Layout(slots, np.array(firsts))


def fill(ragged: Ragged, plan: Layout, length: int, pad: int) -> dict[str, np.ndarray]:
    """Returns the rows of a layout: tokens, targets, segment_ids, positions, weights, each [R, T].

    Args:
        ragged: the examples; their label `weights`, if there is one, is each target's weight.
        plan: from `layout`.
        length: T.
        pad: the id in `tokens` and `targets` where the weight is 0.
    """
    tokens, offsets = ragged.tokens, ragged.offsets
    used, per_row = int(plan.firsts[-1]), np.diff(plan.firsts)
    slots = plan.slots[:used]
    begins = np.concatenate([[0], np.cumsum(slots)])  # in the slots of all rows, end to end
    filled = np.diff(begins[plan.firsts])
    inside = np.arange(length) < filled[:, None]
    keep = _inputs(offsets[: used + 1], length)
    segment = np.arange(used) - np.repeat(plan.firsts[:-1], per_row) + 1
    values = {
        "tokens": tokens[: len(keep)][keep],
        "targets": tokens[1 : len(keep)][keep[:-1]],
        "segment_ids": np.repeat(segment.astype(np.int32), slots),
        "positions": np.arange(begins[-1], dtype=np.int32)
        - np.repeat(begins[:-1].astype(np.int32), slots),
    }
    padding = {"tokens": pad, "targets": pad, "segment_ids": 0, "positions": 0}
    rows = {"weights": inside.astype(np.float32)}
    for name, flat in values.items():
        rows[name] = np.full(inside.shape, padding[name], np.int32)
        rows[name][inside] = flat
    if "weights" in ragged.labels:
        rows["weights"][inside] = ragged.weights[1 : len(keep)][keep[:-1]]
    return rows


def _inputs(offsets: np.ndarray, length: int) -> np.ndarray:
    """bool[total]: which tokens of the examples are an input: all but the last, at most T each."""
    keep = np.ones(offsets[-1], bool)
    keep[offsets[1:] - 1] = False
    for example in np.flatnonzero(np.diff(offsets) - 1 > length):
        keep[offsets[example] + length : offsets[example + 1]] = False
    return keep
