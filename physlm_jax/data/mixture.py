"""Several worlds in one stream: each row is of one of them, in fixed proportion.

Of every P = shares.sum() rows, shares[k] are of part k, in an order drawn anew; which row of its
part a row holds is arithmetic, so parts keep their exact order and exposures.

Sources: arXiv 2309.14316, section 3 (windows wholly of biographies or of questions); 2404.05405,
section 10 (junk).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from physlm_jax.data.hashing import mix, stream_key
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError

if TYPE_CHECKING:
    from physlm_jax.data import World


@dataclass(frozen=True)
class Mixture:
    """Worlds of one vocabulary, row by row.

    Attributes:
        parts: the worlds.  shares: rows of each in every sum(shares) rows, all at least 1.
    """

    parts: tuple[World, ...]
    shares: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.shares) or len(self.parts) < 2 or min(self.shares) < 1:
            raise InputError(f"a mixture needs parts with shares >= 1, got {self.shares}")
        if len({part.vocabulary.names for part in self.parts}) > 1:
            raise InputError("the parts of a mixture must have one vocabulary")

    @property
    def vocabulary(self) -> Vocabulary:
        """That of all parts."""
        return self.parts[0].vocabulary

    @property
    def mean_length(self) -> float:
        """Expected tokens of an example, whichever part a row is of."""
        rates = [s / part.mean_length for s, part in zip(self.shares, self.parts, strict=True)]
        return sum(self.shares) / sum(rates)

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Refused: rows are of one part each, see `pipeline.packing`."""
        raise InputError(
            "a mixture has rows, not examples (show: --rows); ask its parts for theirs"
        )

    def places(self, seed: int, rows: range) -> tuple[np.ndarray, np.ndarray]:
        """int64[n] each: the part that each row is of, and which row of that part it is."""
        period = sum(self.shares)
        first, last = rows.start // period, -(-rows.stop // period)
        number = np.arange(first, last, dtype=np.uint64)
        words = mix(number ^ np.uint64(stream_key(seed, "parts")))[:, None]
        order = np.argsort(mix(words + np.arange(period, dtype=np.uint64)), axis=1)
        kinds = np.repeat(np.arange(len(self.shares)), self.shares)[order]
        ranks = np.empty_like(kinds)
        for part, share in enumerate(self.shares):
            mine = kinds == part
            ranks[mine] = first * share + np.arange(mine.sum())
        wanted = slice(rows.start - first * period, rows.stop - first * period)
        return kinds.reshape(-1)[wanted], ranks.reshape(-1)[wanted]


def part_seed(seed: int, part: int) -> int:
    """Returns the stream of one part of a mixture."""
    return stream_key(seed, "part", part)


def whole_shares(share: float, what: str) -> tuple[int, int]:
    """Returns small whole numbers (a, b) with b / (a + b) = share.

    Raises:
        InputError: a share outside (0, 1) or not a fraction of at most 1000 rows.
    """
    found = Fraction(share).limit_denominator(1000) if 0 < share < 1 else Fraction(0)
    if not found or not math.isclose(found, share, rel_tol=1e-9):
        raise InputError(f"{what} must be in (0, 1), a fraction of at most 1000 rows, got {share}")
    return found.denominator - found.numerator, found.numerator


def scattered(kinds: np.ndarray, found: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns rows put back in the order of their kinds, those of kind k from found[k]."""
    names = next(rows for rows in found if rows)
    whole = {n: np.empty((len(kinds), *a.shape[1:]), a.dtype) for n, a in names.items()}
    for kind, rows in enumerate(found):
        for name, array in rows.items():
            whole[name][kinds == kind] = array
    return whole
