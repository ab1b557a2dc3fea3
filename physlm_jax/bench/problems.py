"""Speed of iGSM on one core: problems, their texts and tokens, the verifier, packed rows.

The authors' generator makes 58 med and 34 hard problems a second on one core (without the reading
of its verifier), which stands beside ours as the other.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from physlm_jax.bench.rows import Row, row
from physlm_jax.data import igsm
from physlm_jax.pipeline import PackingConfig, pack_rows

SPECS = {"med": 768, "hard": 1024, "mini-gpu": 384}  # tokens of a row
AUTHORS = {"med": 58.0, "hard": 34.0}  # problems per second
_COUNT = 500  # problems of one measurement


def run(seconds: float = 20.0, specs: Sequence[str] = tuple(SPECS)) -> dict[str, Row]:
    """Returns the measured rows by name, in processor time of one core.

    Args:
        seconds: about how long to measure, besides compilation.
        specs: of `igsm.SPECS`.
    """
    rows: dict[str, Row] = {}
    for name in specs:
        rows |= _measured(name, seconds / (5 * len(specs)))
    return rows


def _measured(name: str, seconds: float) -> dict[str, Row]:
    spec = dataclasses.replace(igsm.SPECS[name], bins=igsm.TRAIN_BINS)
    vocabulary = igsm.tokenizer(spec)
    texts = [(p, p.solution) for p in igsm.sample(spec, 1, 0, _COUNT)]
    world = igsm.IgsmWorld(spec, igsm.TRAIN_BINS, longest=SPECS[name])
    length = SPECS[name]
    packing = PackingConfig(length, rows_per_block=64)

    def told(start: int) -> int:
        found = igsm.tokens(spec, vocabulary, 0, start, _COUNT)
        for tokens in found:
            vocabulary.decode(tokens)
        return _COUNT

    def emitted(start: int) -> int:
        igsm.tokens(igsm.SPECS[name], vocabulary, 0, start, _COUNT)
        return _COUNT

    def judged(strict: bool) -> Callable[[int], int]:
        def judge(start: int) -> int:
            del start
            fresh = [igsm.Problem(p.arrays, p.names) for p, _ in texts]  # nothing remembered
            for problem, (_, text) in zip(fresh, texts, strict=True):
                igsm.verify(problem, text, strict)
            return _COUNT

        return judge

    def packed(start: int) -> int:
        rows = pack_rows(world, packing, 0, range(64 * start, 64 * start + 64))
        return rows["tokens"].size

    other = AUTHORS.get(name)
    problems = {"tokens and text, train bins": told, "tokens, all bins": emitted}
    found = {f"{name}: {text}": _row(f, seconds, other) for text, f in problems.items()}
    found[f"{name}: verify"] = _row(judged(False), seconds, None, "solutions/s")
    found[f"{name}: verify, strict"] = _row(judged(True), seconds, None, "solutions/s")
    found[f"{name}: packed rows, train bins"] = _row(packed, seconds, None, "tokens/s")
    return found


def _row(
    work: Callable[[int], int], seconds: float, other: float | None, unit: str = "problems/s"
) -> Row:
    """The best rate of several rounds."""
    work(0)  # compiles
    best, turn = 0.0, 1
    end = time.process_time() + seconds
    while not best or time.process_time() < end:
        clock = time.process_time()
        done = work(turn * _COUNT if unit == "problems/s" else turn)
        best, turn = max(best, done / (time.process_time() - clock)), turn + 1
    return row(best, other, best / other if other else None, unit)
