"""Speed of decoding: a KV cache against recomputing every prefix, beam search against sampling.

`run` measures all in turns, in processor time on CPUs and wall time elsewhere, and keeps the best
of several rounds. No string stops early, so every row takes all the steps.
"""

from __future__ import annotations

import functools
import time

import jax
import numpy as np

from physlm_jax.bench.rows import Row, row
from physlm_jax.decoding.beam import beam
from physlm_jax.decoding.sampling import generate
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig

# A laptop's model of a language with four tokens, as in configs/cfg.py.
LAPTOP = TransformerConfig(vocab_size=7, max_length=160, layers=4, width=128, heads=4)
_STOP = 5
_WIDTH = 4


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
        batch: rows sampled together, a multiple of 4; a quarter as many prompts get 4 beams.
        length: tokens of a row, BOS included.
        slow_rows: rows of the twin without a cache, whose rate hardly depends on them.
    """
    params = transformer.init(config, jax.random.key(0))
    rows = {"cache": batch, "slow": slow_rows, "beams": batch}
    rates = dict.fromkeys(rows, 0.0)
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter

    def sample(kind: str, count: int) -> None:
        prompts = np.zeros((count // _WIDTH if kind == "beams" else count, 1), np.int64)
        decode = (
            functools.partial(beam, width=_WIDTH, sample=True, batch=batch)
            if kind == "beams"
            else functools.partial(generate, cache=kind == "cache")
        )
        decode(
            config,
            params,
            prompts,
            jax.random.key(1),
            max_length=length,
            stop=_STOP,
            forbid=(_STOP,),
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
    fast, slow, beams = rates["cache"], rates["slow"], rates["beams"]
    name = f"decode {config.layers}x{config.width}, {batch} rows of {length}"
    return {
        f"{name}: sampling": row(fast, slow, fast / slow, "tokens/s"),
        f"{name}: one step": row(1e3 * batch / fast, None, None, "ms"),
        f"{name}: cache read in the last step": row(
            cache_bytes(config, batch, length) / 1e6, None, None, "MB"
        ),
        f"{name}: as {_WIDTH} drawn beams, beside sampling": row(
            beams, fast, beams / fast, "tokens/s"
        ),
    }


def cache_bytes(config: TransformerConfig, batch: int, places: int) -> int:
    """Bytes of keys and values of `places` places: what a step reads of the cache."""
    shapes = jax.eval_shape(lambda: transformer.empty_cache(config, batch, places))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes))
