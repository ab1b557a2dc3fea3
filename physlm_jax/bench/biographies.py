"""Speed of the biography world on one core: biographies and questions as tokens, packed rows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from physlm_jax.bench.rows import Row, row
from physlm_jax.data import bios
from physlm_jax.pipeline import PackingConfig, pack_rows

PEOPLE = 100_000
ROWS = 96  # of a batch of the papers, 512 tokens each
_COUNT = 2000  # examples of one measurement
_PACKING = PackingConfig(512, "exact", rows_per_block=ROWS)


def run(
    seconds: float = 20.0,
    pools: Sequence[str] = ("full", "mini"),
    vocabularies: Sequence[str] = ("word", "atomic"),
    people: int = PEOPLE,
) -> dict[str, Row]:
    """Returns the measured rows by name, in processor time of one core.

    Args:
        seconds: about how long to measure, besides compilation.
        pools, vocabularies: as in `bios.world`.
        people: N, of online bioS and of the extraction questions.
    """
    rows: dict[str, Row] = {}
    cells = list(itertools.product(pools, vocabularies))
    for lists, vocabulary in cells:
        world = bios.world(people, pools=lists, vocabulary=vocabulary)
        asking = bios.world(
            people, pools=lists, vocabulary=vocabulary, tasks="extraction", question_share=1
        )
        each = seconds / (4 * len(cells))
        rows |= _measured(f"{lists}, {vocabulary}: biographies", world, each)
        rows |= _measured(f"{lists}, {vocabulary}: questions", asking, each)
    return rows


def _measured(name: str, world: bios.BiosWorld, seconds: float) -> dict[str, Row]:
    def emitted(turn: int) -> tuple[int, int]:
        return _COUNT, len(world.examples(0, turn * _COUNT, _COUNT).tokens)

    def packed(turn: int) -> tuple[int, int]:
        rows = pack_rows(world, _PACKING, 0, range(ROWS * turn, ROWS * turn + ROWS))
        return ROWS, rows["tokens"].size

    each, tokens = _best(emitted, seconds)
    in_rows = _best(packed, seconds)[1]
    return {
        name: row(each / 1e3, None, None, "thousand/s"),
        f"{name}, tokens": row(tokens / 1e6, None, None, "M tokens/s"),
        f"{name}, packed rows": row(in_rows / 1e6, None, None, "M tokens/s"),
    }


def _best(work: Callable[[int], tuple[int, int]], seconds: float) -> tuple[float, float]:
    """The best rates of several rounds, of examples and of tokens."""
    work(0)  # compiles
    best, turn = (0.0, 0.0), 1
    end = time.process_time() + seconds
    while turn == 1 or time.process_time() < end:
        clock = time.process_time()
        done = work(turn)
        spent = time.process_time() - clock
        best, turn = max(best, (done[0] / spent, done[1] / spent)), turn + 1
    return best
