"""Speed of the train step: tokens per second, utilisation, compile time, and a peer beside it.

Both models do their updates in turns in one process and are compared by processor time on CPUs
(wall time elsewhere), the median of the ratios, so that other programs on the machine disturb both
alike.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.bench.peers import PEERS, Update
from physlm_jax.bench.rows import Row, row
from physlm_jax.errors import unknown
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.parallel.mesh import make_mesh
from physlm_jax.training.config import base
from physlm_jax.training.optimizer import numbers, recipe
from physlm_jax.training.records import peak_flops
from physlm_jax.training.step import Program, create_state, make_train_step

# The shape at which laptops are compared: 3.3 M parameters, biases off as in nanodo.
SHAPE = TransformerConfig(
    vocab_size=512,
    max_length=256,
    layers=4,
    width=256,
    heads=4,
    position="learned",
    bias=False,
)
SHAPES = {
    "laptop": (SHAPE, 16),
    "laptop-experts": (dataclasses.replace(SHAPE, mlp="experts", mlp_ratio=1.0), 16),
    "gpt2-small": (
        TransformerConfig(
            vocab_size=50304,
            max_length=512,
            layers=12,
            width=768,
            heads=12,
            position="learned",
            bias=False,
            dtype="bfloat16",
        ),
        32,
    ),
}
REST = 0.02  # seconds between turns: threads of the one before may still spin


def ours(model: TransformerConfig, batch: int) -> tuple[Update, Any]:
    """Returns this package's update of int32[B, T + 1] rows, and its first state."""
    c = base()
    c.optimizer.clip, c.optimizer.warmup, c.optimizer.schedule = 0.0, 100, "cosine"
    program = Program(model, recipe(c.optimizer, 1000), make_mesh({"data": -1}))
    step = make_train_step(program)
    weights = jnp.ones((batch, model.max_length))
    zeros = jnp.zeros((batch, model.max_length), jnp.int32)

    def update(state: Any, rows: jax.Array) -> tuple[Any, Any]:
        packed = {"tokens": rows[:, :-1], "targets": rows[:, 1:], "weights": weights}
        return step(state, {**packed, "segment_ids": zeros, "positions": zeros})

    return update, create_state(program, [numbers(c.optimizer)], [0])


def run(
    peer: str = "",
    rounds: int = 8,
    model: TransformerConfig = SHAPE,
    batch: int = 16,
) -> dict[str, Row]:
    """Returns tokens per second, time to the first update and utilisation, ours and the peer's.

    Args:
        peer: one of `PEERS`, or "" for ours alone.
        rounds: of two updates each, in turns.
        model, batch: the shape of both.
    """
    if peer and peer not in PEERS:
        raise unknown("peer", peer, PEERS, "--peer")
    on_cpu = jax.default_backend() == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    makers = {"ours": ours, **({peer: PEERS[peer]} if peer else {})}
    shape = (batch, model.max_length + 1)
    rows = jnp.asarray(np.random.default_rng(0).integers(0, model.vocab_size, shape), jnp.int32)
    updates, states, first = {}, {}, {}
    for name, make in makers.items():
        began = clock()
        updates[name], state = make(model, batch)
        states[name], metrics = updates[name](state, rows)
        jax.block_until_ready((states[name], metrics))
        first[name] = clock() - began
    spent: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(rounds):
        for name, update in updates.items():
            time.sleep(REST)
            began = clock()
            for _ in range(2):
                states[name], metrics = update(states[name], rows)
            jax.block_until_ready((states[name], metrics))
            spent[name].append((clock() - began) / 2)
    return _report(model, batch, spent, first, peer, on_cpu)


def _report(
    model: TransformerConfig,
    batch: int,
    spent: dict[str, list[float]],
    first: dict[str, float],
    peer: str,
    on_cpu: bool,
) -> dict[str, Row]:
    mine, tokens = np.array(spent["ours"]), batch * model.max_length
    other = np.array(spent[peer]) if peer else None
    flops = transformer.train_flops_per_token(model, model.max_length) * tokens
    peak = (_matmul_flops() if on_cpu else peak_flops(jax.devices()[0])) or np.nan
    second = "processor second" if on_cpu else "second"
    used = "% of a large matrix product's rate" if on_cpu else "% of the device's peak (MFU)"

    middle = float(np.median(mine))
    theirs = None if other is None else float(np.median(other))
    ratio = None if other is None else float(np.median(other / mine))
    return {
        "train step": row(
            tokens / middle, None if theirs is None else tokens / theirs, ratio, f"tokens/{second}"
        ),
        "utilisation": row(
            100 * flops / middle / peak,
            None if theirs is None else 100 * flops / theirs / peak,
            ratio,
            used,
        ),
        "compile and first update": row(
            first["ours"],
            first.get(peer),
            first[peer] / first["ours"] if peer else None,
            "processor s" if on_cpu else "s",
        ),
    }


def _matmul_flops(size: int = 2048) -> float:
    """FLOP per processor second of a large float32 matrix product, the best of several."""
    a = jnp.ones((size, size))
    multiply = jax.jit(jnp.dot)
    jax.block_until_ready(multiply(a, a))
    best = np.inf
    for _ in range(8):
        began = time.process_time()
        jax.block_until_ready(multiply(a, a))
        best = min(best, time.process_time() - began)
    return 2 * size**3 / best
