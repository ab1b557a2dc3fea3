"""Speed of the data: the sampler of the layered languages against its slow twin, and packed rows.

`run` measures in turns, the fast function and its twin in the same minute, in processor time, and
keeps the best of several rounds: other programs only make it slower.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from physlm_jax.bench.rows import Row, row
from physlm_jax.data import cfg
from physlm_jax.data.cfg import reference
from physlm_jax.pipeline import PackingConfig, pack_rows

GRAMMARS = ("cfg3b", "cfg3f")
_FAST, _SLOW = 2000, 30  # strings per measurement of the vectorised and the recursive sampler
_LENGTH = 512  # tokens of a row


def run(seconds: float = 20.0, grammars: Sequence[cfg.Grammar] | None = None) -> dict[str, Row]:
    """Returns the measured rows by name; ratio says how many times faster ours is.

    Args:
        seconds: about how long to measure.
        grammars: by default cfg3b and cfg3f.
    """
    rows: dict[str, Row] = {}
    measured = chosen(grammars)
    for grammar in measured:
        rows |= _sampling(grammar, seconds / (2 * len(measured)))
        rows |= _packing(grammar, seconds / (2 * len(measured)))
    return rows


def chosen(grammars: Sequence[cfg.Grammar] | None) -> Sequence[cfg.Grammar]:
    """Returns the grammars to measure: those given, or `GRAMMARS`."""
    return [cfg.load(name) for name in GRAMMARS] if grammars is None else grammars


def _sampling(grammar: cfg.Grammar, seconds: float) -> dict[str, Row]:
    rng = random.Random(0)
    rates: dict[str, float] = {"labels": 0.0, "plain": 0.0, "slow": 0.0}
    end, start = time.process_time() + seconds, 0
    while True:
        for kind in rates:
            clock = time.process_time()
            if kind == "slow":
                strings = (reference.recursive_sample(grammar, rng) for _ in range(_SLOW))
                tokens = sum(len(s.tokens) for s in strings)
            else:
                sampled = cfg.sample(grammar, 0, start, _FAST, labels=kind == "labels")
                tokens = len(sampled.tokens)
            rates[kind] = max(rates[kind], tokens / (time.process_time() - clock))
        start += _FAST
        if time.process_time() > end:
            break
    return {
        f"{grammar.name}: sample, {text}": row(
            rates[kind] / 1e6, rates["slow"] / 1e6, rates[kind] / rates["slow"], "M tokens/s"
        )
        for kind, text in (("labels", "all labels"), ("plain", "tokens alone"))
    }


def _packing(grammar: cfg.Grammar, seconds: float) -> dict[str, Row]:
    """Rows as the train step reads them, made by one core, sampling included."""
    world, best, t = cfg.CfgWorld(grammar, cfg.Corruption(), None), 0.0, 0
    end = time.process_time() + seconds
    while not best or time.process_time() < end:
        clock = time.process_time()
        rows = pack_rows(world, PackingConfig(_LENGTH), 0, range(96 * t, 96 * (t + 1)))
        best = max(best, rows["tokens"].size / (time.process_time() - clock))
        t += 1
    return {f"{grammar.name}: packed rows": row(best / 1e6, None, None, "M tokens/s")}
