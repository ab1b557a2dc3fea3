"""Packing: examples of any length -> rows of T tokens, with random access to every row.

Block b holds R rows and is filled from the examples b * 2**32 + j, j = 0, 1, ... alone, so a row's
content is arithmetic: global row g is row g % R of block g // R, whoever asks and in what order.
The last example of a block is cut (or left out, `best_fit`); the next block starts afresh.
With one example a row (`single`) nothing is cut or left out: row g is example g, so a world that
goes through a finite set pass by pass shows each of its members exactly once a pass. So it does in
windows with `exact`: a block is the E examples b * E .. b * E + E - 1, one after the other, where E
is as many as are sure to fit; what is left of the block's last row is padding.

Where BOS and EOS are one token, neighbours in a window share it.

A world may weigh its tokens: the label `weights`, one number a token, is the weight of its loss
as a target (none: 1 each).

How rows are laid out is in `concatenate` and `best_fit`; here is how a block gets its examples.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from physlm_jax.data import World
from physlm_jax.data.hashing import stream_key
from physlm_jax.data.mixture import Mixture, part_seed, scattered
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError, unknown
from physlm_jax.pipeline import best_fit, concatenate
from physlm_jax.pipeline.masking import masked

BLOCK_EXAMPLES = 2**32  # example indices that belong to one block
MODES = ("concatenate", "exact", "best_fit", "single")
BLOCKS = 2**32  # so that every index stays below 2**64
_MEASURED = 4096  # examples whose lengths stand for all
_SIGMAS = 6  # standard deviations of a block's length that `exact` leaves room for

Rows = dict[str, np.ndarray]
"""tokens, targets, segment_ids, positions int32[B, T] and weights float32[B, T] (0 = no loss)."""

Plan = TypeVar("Plan")


@dataclass(frozen=True)
class PackingConfig:
    """How examples become rows.

    Attributes:
        length: T, tokens of a row.
        mode: 'concatenate' (the papers': cut without regard to borders, one segment, all weights
            1), 'exact' (the same, of a fixed number of examples a block), 'best_fit' (whole
            examples, one segment each) or 'single' (one example a row).
        align_bos: rows of 'concatenate' that start at a BOS: 'none' (consecutive windows of a
            stream at a random phase), 'half' (rows 0, 2, .. of a block; the others are
            consecutive windows) or 'all'. Rows of the other modes always do ('none' and 'all' are
            one).
        rows_per_block: R, the unit of work; it must divide every host's share of a batch. About
            five mean lengths are generated in vain in every block (phase, margin of the estimate,
            cut end) and each costs some 50 us besides, so larger is cheaper.
        masked: share of the words that are hidden and predicted, see `masking`; 0: the next token
            is predicted.

    Raises:
        InputError: a value outside these.
    """

    length: int
    mode: str = "concatenate"
    align_bos: str = "none"
    rows_per_block: int = 16
    masked: float = 0.0

    def __post_init__(self) -> None:
        check_count("packing.length", self.length)
        check_count("packing.rows_per_block", self.rows_per_block)
        if not 0 <= self.masked <= 1:
            raise InputError(f"packing.masked must be a share in [0, 1], got {self.masked}")
        if self.mode not in MODES:
            raise unknown("packing.mode", self.mode, MODES)
        if self.align_bos not in ("none", "half", "all"):
            raise unknown("packing.align_bos", self.align_bos, ["none", "half", "all"])
        if self.align_bos != "half":
            return
        if self.mode != "concatenate":
            raise InputError(
                f"packing.align_bos 'half' with mode '{self.mode}': its rows always start at a "
                "BOS; use 'none' or 'all'"
            )
        if self.rows_per_block % 2:
            raise InputError(
                f"packing.rows_per_block {self.rows_per_block} is odd, but align_bos 'half' aligns "
                f"every second row of a block; use {self.rows_per_block + 1}"
            )


def check_count(name: str, value: object, least: int = 1) -> None:
    """Raises InputError unless `value` is an integer of at least `least`."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:  # type: ignore[operator]
        raise InputError(f"{name} must be an integer >= {least}, got {value!r}")


def pack_block(world: World, packing: PackingConfig, seed: int, block: int) -> Rows:
    """Returns the R rows of one block; a pure function of its arguments.

    Args:
        world: the examples; of two tokens or more each.
        packing: T, R and the mode.
        seed: the stream of examples.
        block: 0 <= block < 2**32.

    Raises:
        InputError: the block is out of range, or the world breaks its contract.
    """
    if not 0 <= block < BLOCKS:
        raise InputError(f"block {block} is out of range: a stream has blocks 0..{BLOCKS - 1}")
    fill = {
        "concatenate": _concatenated,
        "exact": _exact,
        "best_fit": _best_fit,
        "single": _single,
    }[packing.mode]
    rows = fill(world, packing, seed, block)
    return masked(rows, world, packing.masked, seed, block) if packing.masked else rows


def pack_rows(world: World, packing: PackingConfig, seed: int, rows: range) -> Rows:
    """Returns the global rows rows.start..rows.stop-1 (step 1, not empty) of the stream `seed`."""
    mixture = world if isinstance(world, Mixture) else getattr(world, "mixture", None)
    if mixture:
        return _mixed(mixture, packing, seed, rows)
    size = packing.rows_per_block
    first = rows.start // size
    blocks = range(first, -(-rows.stop // size))
    parts = [pack_block(world, packing, seed, block) for block in blocks]
    if len(parts) == 1 and len(rows) == size:
        return parts[0]
    wanted = slice(rows.start - first * size, rows.stop - first * size)
    return {name: np.concatenate([part[name] for part in parts])[wanted] for name in parts[0]}


def _mixed(world: Mixture, packing: PackingConfig, seed: int, rows: range) -> Rows:
    kinds, ranks = world.places(seed, rows)
    found: list[Rows] = []
    for number, part in enumerate(world.parts):
        own = ranks[kinds == number]  # in order, without gaps
        wanted = range(int(own[0]), int(own[-1]) + 1) if len(own) else range(0)
        key = part_seed(seed, number)
        found.append(pack_rows(part, packing, key, wanted) if wanted else {})
    return scattered(kinds, found)


def _concatenated(world: World, packing: PackingConfig, seed: int, block: int) -> Rows:
    length, size = packing.length, packing.rows_per_block
    aligned = {"none": 0, "half": size // 2, "all": size}[packing.align_bos]
    phase = stream_key(seed, "packing phase", block)
    skipped = concatenate.PHASE_EXAMPLES * phase / 2**64 if aligned < size else 0.0
    guess = size * length / world.mean_length + aligned / 2 + skipped
    ragged, starts = _enough(
        world,
        seed,
        block,
        guess,
        lambda offsets: concatenate.row_starts(offsets, length, aligned, size - aligned, phase),
    )
    if packing.align_bos == "half":
        starts = starts.reshape(2, -1).T.reshape(-1)  # aligned, cut, aligned, cut, ...
    return _windows(ragged.tokens, ragged.labels.get("weights"), starts, length)


def examples_per_block(world: World, packing: PackingConfig) -> int:
    """Returns E, the examples of a block of mode 'exact': with them, exposures are arithmetic.

    Lengths are taken from the first examples of a stream; E of them leave six standard deviations
    of their sum free, so that less than one block in a billion is cut at its end.

    Raises:
        InputError: not one example is sure to fit.
    """
    return _fitting(world, packing)  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _fitting(world: World, packing: PackingConfig) -> int:
    lengths = world.examples(0, 0, _MEASURED).lengths - _shared(world)
    room = packing.rows_per_block * packing.length + (0 if _shared(world) else 1)
    mean, spread = float(lengths.mean()), _SIGMAS * float(lengths.std())
    root = (math.sqrt(spread**2 + 4 * mean * room) - spread) / (2 * mean)
    if (found := math.floor(root**2 + 1e-9)) < 1:
        raise InputError(
            f"packing: a block of {packing.rows_per_block} rows of {packing.length} tokens does "
            f"not hold one example of some {mean:.0f}; make either larger"
        )
    return found


def _shared(world: World) -> int:
    """Tokens that neighbours in a window have in common."""
    return int(world.vocabulary.bos == world.vocabulary.eos)


def _exact(world: World, packing: PackingConfig, seed: int, block: int) -> Rows:
    length, size = packing.length, packing.rows_per_block
    count = examples_per_block(world, packing)
    ragged = _checked(world, world.examples(seed, block * count, count), count)
    weights = ragged.labels.get("weights", np.ones(len(ragged.tokens), np.float32))
    if _shared(world):  # all but the first without their BOS: the EOS before it keeps its weight
        keep = np.ones(len(ragged.tokens), bool)
        keep[ragged.offsets[1:-1]] = False
        ragged, weights = Ragged(ragged.tokens[keep], ragged.offsets), weights[keep]
    missing = (0, max(0, size * length + 1 - len(ragged.tokens)))
    tokens = np.pad(ragged.tokens, missing, constant_values=world.vocabulary.pad)
    starts = length * np.arange(size)
    return _windows(tokens, np.pad(weights, missing), starts, length)


def _windows(
    tokens: np.ndarray, weighed: np.ndarray | None, starts: np.ndarray, length: int
) -> Rows:
    size = len(starts)
    found = concatenate.windows(tokens, starts, length)
    weights = np.ones((size, length), np.float32)
    if weighed is not None:
        weights = concatenate.windows(weighed, starts, length)[:, 1:].astype(np.float32)
    return {
        "tokens": np.ascontiguousarray(found[:, :-1]),
        "targets": np.ascontiguousarray(found[:, 1:]),
        "segment_ids": np.ones((size, length), np.int32),
        "positions": np.broadcast_to(np.arange(length, dtype=np.int32), (size, length)).copy(),
        "weights": np.ascontiguousarray(weights),
    }


def _best_fit(world: World, packing: PackingConfig, seed: int, block: int) -> Rows:
    length, size = packing.length, packing.rows_per_block
    per_row = max(1.0, length / max(world.mean_length - 1, 1) - 0.5)
    ragged, plan = _enough(
        world,
        seed,
        block,
        size * per_row + 1,
        lambda offsets: best_fit.layout(offsets, length, size),
    )
    return best_fit.fill(ragged, plan, length, world.vocabulary.pad)


def _single(world: World, packing: PackingConfig, seed: int, block: int) -> Rows:
    length, size = packing.length, packing.rows_per_block
    ragged = _checked(world, world.examples(seed, block * size, size), size)
    plan = best_fit.Layout(np.minimum(ragged.lengths - 1, length), np.arange(size + 1))
    return best_fit.fill(ragged, plan, length, world.vocabulary.pad)


def _enough(
    world: World,
    seed: int,
    block: int,
    guess: float,
    plan: Callable[[np.ndarray], Plan | None],
) -> tuple[Ragged, Plan]:
    """Returns the block's first examples, as many as `plan` needs, and what it made of them.

    `guess` examples are expected to suffice. How many are asked at a time cannot be seen in the
    result: a plan reads examples in order and does not depend on those after the ones it needs.
    """
    count = math.ceil(guess + 2 + math.sqrt(guess) / 4)
    ragged = _examples(world, seed, block, 0, count)
    while (found := plan(ragged.offsets)) is None:
        more = _examples(world, seed, block, len(ragged), 1 + len(ragged) // 8)
        ragged = Ragged(
            np.concatenate([ragged.tokens, more.tokens]),
            np.concatenate([ragged.offsets, ragged.offsets[-1] + more.offsets[1:]]),
            {n: np.concatenate([a, more.labels[n]]) for n, a in ragged.labels.items()},
        )
    return ragged, found


def _examples(world: World, seed: int, block: int, start: int, count: int) -> Ragged:
    """Returns the block's examples start..start+count-1."""
    return _checked(world, world.examples(seed, block * BLOCK_EXAMPLES + start, count), count)


def _checked(world: World, ragged: Ragged, count: int) -> Ragged:
    if len(ragged) != count or ragged.lengths.min() < 2:
        raise InputError(
            f"{type(world).__name__}.examples returned {len(ragged)} examples of at least "
            f"{min(ragged.lengths, default=0)} tokens; packing needs the {count} asked for, "
            "of 2 tokens or more"
        )
    return ragged
