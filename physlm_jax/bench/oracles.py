"""Speed of the oracles of the layered languages: parsing, likelihoods, next-token rows.

Host oracles are measured in processor time beside the textbook's table; the matrix form for
accelerators in wall time on JAX's default device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import jax
import numpy as np

from physlm_jax.bench.data import chosen
from physlm_jax.bench.rows import Row, row
from physlm_jax.data import cfg
from physlm_jax.data.cfg import device, reference


def run(seconds: float = 20.0, grammars: Sequence[cfg.Grammar] | None = None) -> dict[str, Row]:
    """Returns the measured rows by name; ratio says how many times faster ours is.

    Args:
        seconds: about how long to measure, besides compilation and one textbook table per grammar
            (some ten seconds for strings of 300 tokens).
        grammars: by default those of `bench.data`.
    """
    rows: dict[str, Row] = {}
    measured = chosen(grammars)
    for grammar in measured:
        rows |= _oracles(grammar, seconds / (2 * len(measured)))
        rows |= _device(grammar, seconds / (2 * len(measured)))
    return rows


def _oracles(grammar: cfg.Grammar, seconds: float) -> dict[str, Row]:
    """Milliseconds of host oracles on the published sampler's strings."""
    strings = cfg.official_sample(grammar, 7711, 64)
    first = [strings[0].tolist()]
    clock = time.process_time()
    assert reference.cyk(grammar, first[0])
    cyk = 1e3 * (time.process_time() - clock)
    timed: dict[str, tuple[Callable[[], object], int, float | None]] = {
        "is_valid, one string": (lambda: cfg.is_valid(grammar, first), 1, cyk),
        "is_valid, of 64": (lambda: cfg.is_valid(grammar, strings), len(strings), cyk),
        "next-token rows, one string": (lambda: cfg.next_token_probs(grammar, first[0]), 1, None),
        "parse, one string": (lambda: cfg.parse(grammar, first[0]), 1, None),
    }
    found = {}
    for name, (call, count, slow) in timed.items():
        ours = 1e3 * _best(call, seconds / len(timed), time.process_time) / count
        found[f"{grammar.name}: {name}"] = row(ours, slow, slow and slow / ours, "ms per string")
    return found


def _device(grammar: cfg.Grammar, seconds: float) -> dict[str, Row]:
    """Milliseconds of wall time per string on JAX's default device, compiled before."""
    platform = jax.default_backend()
    tokens, lengths = device.pad(cfg.official_sample(grammar, 7711, 2 if platform == "cpu" else 64))
    found = {}
    for oracle in (device.log_prob, device.next_token_probs):
        call = lambda oracle=oracle: np.asarray(oracle(grammar, tokens, lengths))  # noqa: E731
        call()
        ours = 1e3 * _best(call, seconds / 2, time.perf_counter) / len(tokens)
        name = f"{grammar.name}: {oracle.__name__} on {platform}"
        found[name] = row(ours, None, None, "ms per string")
    return found


def _best(call: Callable[[], object], seconds: float, clock: Callable[[], float]) -> float:
    """Seconds of the fastest of the calls that fit into the time (at least three)."""
    call()
    best, end, rounds = float("inf"), clock() + seconds, 0
    while rounds < 3 or clock() < end:
        begin = clock()
        call()
        best, rounds = min(best, clock() - begin), rounds + 1
    return best
