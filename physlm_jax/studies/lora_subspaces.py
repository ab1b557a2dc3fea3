"""Which directions adapters share, and what they amplify (sections 7.2 and 7.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import numpy as np

from physlm_jax.models.lora import subspace as spaces
from physlm_jax.models.lora.adapter import Adapted
from physlm_jax.studies import lora_runs as runs
from physlm_jax.studies import statistics
from physlm_jax.studies.exhibits import Cell, Figure, Measurement, Table
from physlm_jax.training.checkpoint import Run


def _matrices(run: Run, name: str) -> list[dict[str, np.ndarray]]:
    """For each layer W and its update [in, out], down [in, R] and up [out, R], of attention."""
    leaf: Adapted = run.params["blocks"]["attention"][name]["kernel"]
    found = []
    for layer in range(run.model.layers):
        one = jax.tree.map(lambda x, layer=layer: np.asarray(x[layer], np.float64), leaf)
        width = run.model.width
        down, up = one.down.reshape(width, -1), one.up.reshape(one.up.shape[0], -1)
        found.append(
            {
                "w": one.base.reshape(width, -1),
                "down": down,
                "up": up.T,
                "update": one.scale * down @ up,
            }
        )
    return found


def subspace(trained: runs.Trained, scale: str) -> Measurement:
    """How much the directions of two ranks' adapters are one, on both sides of the update."""
    figures: list[Figure] = []
    tables = []
    for name in ("query", "value"):
        for side, letter in (("down", "A"), ("up", "B")):
            for a, b in runs.PAIRS:
                small, large = (trained[runs.adapt(scale, "qv", rank)] for rank in (a, b))
                found = _similarities(small, large, name, side)
                figures += _shared(f"{name}, {letter}: ranks {a} and {b}", found, len(small))
                mean = np.mean(found, axis=0)[: min(a, 8), : min(b, 8)]
                tables.append(_grid(f"{name}, {letter}: ranks {a} and {b}", mean))
            middle = runs.PAIRS[0][1]
            each = trained[runs.adapt(scale, "qv", middle)]
            if len(each) > 1:
                found = _similarities(each[:1], each[1:2], name, side)
                label = f"{name}, {letter}: rank {middle}, two seeds, phi(1, 1)"
                shared = statistics.mean([f[0, 0] for f in found])
                figures.append(Figure.of(label, shared, seeds=2, role="baseline"))
    width = next(iter(trained.values()))[0].model.width
    for a, b in runs.PAIRS:
        rng = np.random.default_rng(0)
        frames = [[rng.standard_normal((width, r)) for r in (a, b)] for _ in range(200)]
        chance = statistics.mean([spaces.similarity(*pair)[0, 0] for pair in frames])
        label = f"random matrices of ranks {a} and {b}, phi(1, 1)"
        figures.append(Figure.of(label, chance, seeds=0, role="control"))
    expected = "expected of random, phi(1, 1) = 1 / d"
    figures.append(Figure(expected, 1 / width, seeds=0, role="truth"))
    return Measurement(tuple(figures), tuple(tables))


def _similarities(a: Sequence[Run], b: Sequence[Run], name: str, side: str) -> list[np.ndarray]:
    """phi(i, j) of each pair of runs and each layer."""
    return [
        spaces.similarity(one[side], other[side])
        for x, y in zip(a, b, strict=True)
        for one, other in zip(_matrices(x, name), _matrices(y, name), strict=True)
    ]


def _shared(label: str, found: Sequence[np.ndarray], seeds: int) -> list[Figure]:
    """The top direction, and all of the smaller adapter's."""
    small, large = found[0].shape
    top = statistics.mean([f[0, 0] for f in found])
    whole = statistics.mean([f[-1, -1] for f in found])
    return [
        Figure.of(f"{label}, phi(1, 1)", top, seeds=seeds),
        Figure.of(f"{label}, phi({small}, {large})", whole, seeds=seeds, role="baseline"),
    ]


def _grid(label: str, mean: np.ndarray) -> Table:
    columns = ("i", *(f"j = {j + 1}" for j in range(mean.shape[1])))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (str(i + 1), *map(float, row)) for i, row in enumerate(mean)
    )
    return Table(f"{label}: phi(i, j), mean over layers and seeds", columns, rows)


def _geometric(values: Sequence[float]) -> statistics.Estimate:
    """The geometric mean: a factor has a long tail where hardly anything of W is met."""
    e = statistics.mean(np.log(values))
    assert e.low is not None and e.high is not None  # several layers and seeds
    return statistics.Estimate(math.exp(e.value), math.exp(e.low), math.exp(e.high), e.n)


def amplified(trained: runs.Trained, scale: str) -> Measurement:
    """How much the update amplifies what the weights have in its directions."""
    figures: list[Figure] = []
    rows: list[tuple[Cell, ...]] = []
    by_rank = dict(zip(runs.RANKS, runs.ranks(scale)[2:], strict=True))
    for name in ("query", "value"):
        for rank in runs.RANKS:
            each = trained[by_rank[rank]]
            found = [
                spaces.amplification(m["w"], m["update"], rank)
                for run in each
                for m in _matrices(run, name)
            ]
            figures.append(
                Figure.of(
                    f"{name}, rank {rank}: amplification",
                    _geometric([f.factor for f in found]),
                    seeds=len(each),
                    role="ours" if rank in (1, 32) else "baseline",
                )
            )
            means = np.mean(np.array(found), axis=0)
            rows.append((f"{name}, rank {rank}", *map(float, means)))
    for rank, paper in ((4, 0.02), (64, 0.33)):
        figures.append(
            Figure(
                f"random directions at d = 12288, r = {rank}",
                spaces.chance(61.95, rank, 12288, 12288),
                paper=paper,
                seeds=0,
                role="truth",
            )
        )
    columns = ("", "dW directions", "W directions", "random", "||dW||", "amplification")
    note = "||U^T W V||_F with the directions of the update, of W, of a random matrix (table 7)."
    return Measurement(tuple(figures), (Table("Table 7 in small", columns, tuple(rows), note),))
