"""Speed of sampling: the compiled loop with a KV cache against recomputing every prefix.

`run` measures both in turns, in processor time on CPUs and wall time elsewhere, and keeps the best
of several rounds. No string stops early, so every row takes all the steps.
"""

from __future__ import annotations

import time

import jax
import numpy as np

from physlm_jax.bench.rows import Row, row
from physlm_jax.decoding.sampling import generate
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig

# A laptop's model of a language with four tokens, as in configs/cfg.py.
LAPTOP = TransformerConfig(vocab_size=7, max_length=160, layers=4, width=128, heads=4)
_STOP = 5


def run(
    seconds: float = 20.0,
    config: TransformerConfig = LAPTOP,
    batch: int = 256,
    length: int = 141,
    slow_rows: int = 8,
) -> dict[str, Row]:
    """Returns tokens per second, milliseconds per step and bytes of cache per step.

    Args:
        seconds: about how long to measure, besides compilation.
        config: of the model; parameters are random.
        batch: rows sampled together. length: tokens of a row, BOS included.
        slow_rows: rows of the twin without a cache, whose rate hardly depends on them.
    """
    params = transformer.init(config, jax.random.key(0))
    rates = {"cache": 0.0, "slow": 0.0}
    rows = {"cache": batch, "slow": slow_rows}
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter

    def sample(kind: str, count: int) -> None:
        generate(
            config,
            params,
            np.zeros((count, 1), np.int64),
            jax.random.key(1),
            max_length=length,
            stop=_STOP,
            forbid=(_STOP,),
            cache=kind == "cache",
        )

    for kind, count in rows.items():
        sample(kind, count)  # compiles
    end = clock() + seconds
    while True:
        for kind, count in rows.items():
            begin = clock()
            sample(kind, count)
            rates[kind] = max(rates[kind], count * (length - 1) / (clock() - begin))
        if clock() > end:
            break
    fast, slow = rates["cache"], rates["slow"]
    name = f"decode {config.layers}x{config.width}, {batch} rows of {length}"
    return {
        f"{name}: sampling": row(fast, slow, fast / slow, "tokens/s"),
        f"{name}: one step": row(1e3 * batch / fast, None, None, "ms"),
        f"{name}: cache read in the last step": row(
            cache_bytes(config, batch, length) / 1e6, None, None, "MB"
        ),
    }


def cache_bytes(config: TransformerConfig, batch: int, places: int) -> int:
    """Bytes of keys and values of `places` places: what a step reads of the cache."""
    shapes = jax.eval_shape(lambda: transformer.empty_cache(config, batch, places))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes))
