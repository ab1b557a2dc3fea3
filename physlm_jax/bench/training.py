"""Speed of the train step: tokens per second, utilisation, compile time, and a peer beside it.

Both models do their updates in turns in one process and are compared by processor time on CPUs
(wall time elsewhere), the median of the ratios, so that other programs on the machine disturb both
alike.
"""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from physlm_jax.bench.rows import Row, row
from physlm_jax.errors import InputError, unknown
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
Update = Callable[[Any, jax.Array], tuple[Any, Any]]


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


def nanodo(model: TransformerConfig, batch: int) -> tuple[Update, Any]:
    """Returns the same update by google-deepmind/nanodo's model and optax, as its trainer does it.

    Raises:
        InputError: nanodo cannot be imported.
    """
    del batch
    try:
        peer = importlib.import_module("nanodo.model")
    except ImportError as error:
        raise InputError(
            f"--peer=nanodo: cannot import it ({error}); put it on PYTHONPATH"
        ) from None
    config = peer.DoConfig(
        D=model.width,
        H=model.heads,
        L=model.max_length,
        N=model.layers,
        V=model.vocab_size,
        F=round(model.mlp_ratio * model.width),
        dtype=jnp.dtype(model.dtype),
    )
    module = peer.TransformerDo(config)
    meta = importlib.import_module("flax.core.meta")
    blank = jnp.zeros((1, model.max_length), jnp.int32)
    params = meta.unbox(module.init(jax.random.key(0), blank))["params"]
    rate = optax.warmup_cosine_decay_schedule(0.0, 3e-4, 100, 1000)
    optimizer = optax.MultiSteps(optax.adamw(rate, b1=0.9, b2=0.98, weight_decay=0.1), 1)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state: Any, rows: jax.Array) -> tuple[Any, Any]:
        params, slots = state

        def loss(params: Any) -> jax.Array:
            logits = module.apply({"params": params}, rows[:, :-1])
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 1:])
            weights = jnp.where(rows[:, 1:] >= 0, 1.0, 0.0)
            return (losses * weights).sum() / weights.sum()

        value, gradient = jax.value_and_grad(loss)(params)
        updates, slots = optimizer.update(gradient, slots, params)
        metrics = {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        return (optax.apply_updates(params, updates), slots), metrics

    return update, (params, optimizer.init(params))


PEERS = {"nanodo": nanodo}


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
