"""The train step: a pure function (state, batch) -> (state, metrics), jitted over a mesh.

The loss is a mean over real tokens of the whole global batch (weights count, padding does not),
also under gradient accumulation: micro-batches are summed and divided once.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from physlm_jax.models import transformer
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.parallel.mesh import sharding, tree_shardings

Batch = dict[str, jax.Array]
State = dict[str, Any]
Metrics = dict[str, jax.Array]


def summed_loss(
    config: TransformerConfig, params: Params, batch: Batch, segmented: bool
) -> tuple[jax.Array, jax.Array]:
    """Returns (sum of weighted cross-entropies in nats, number of weighted tokens), float32.

    Args:
        batch: tokens, targets, segment_ids, positions int32[B, T], weights float32[B, T].
        segmented: rows hold whole examples that must not see each other (best_fit packing); then
            positions restart at each. Otherwise places are 0..T-1 and all is visible.
    """
    logits = transformer.apply(
        config,
        params,
        batch["tokens"],
        positions=batch["positions"] if segmented else None,
        segment_ids=batch["segment_ids"] if segmented else None,
    ).logits
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["targets"])
    return jnp.vdot(losses, batch["weights"]), batch["weights"].sum()


def init_state(
    config: TransformerConfig, optimizer: optax.GradientTransformation, key: jax.Array
) -> State:
    """Returns {params, optimizer, step = 0, key}; traceable, so that it can be created sharded."""
    init_key, run_key = jax.random.split(key)
    params = transformer.init(config, init_key)
    return {
        "params": params,
        "optimizer": optimizer.init(params),
        "step": jnp.zeros((), jnp.int32),
        "key": jax.random.key_data(run_key),
    }


def state_shardings(
    config: TransformerConfig, optimizer: optax.GradientTransformation, mesh: Mesh
) -> State:
    """Returns the sharding of every leaf of `init_state`: moments follow their parameters."""
    params = tree_shardings(mesh, transformer.axes(config))
    replicated = sharding(mesh)
    slots = jax.eval_shape(optimizer.init, transformer.abstract(config))
    moments = optax.tree.map_params(
        optimizer, lambda _, s: s, slots, params, transform_non_params=lambda _: replicated
    )
    return {"params": params, "optimizer": moments, "step": replicated, "key": replicated}


def create_state(
    config: TransformerConfig,
    optimizer: optax.GradientTransformation,
    key: jax.Array,
    shardings: State | None = None,
) -> State:
    """Returns `init_state`, computed straight into its shardings (None: the default device).

    It runs once, so on a CPU it is compiled quickly rather than well: drawing the parameters would
    else take longer to compile than the train step (the drawn values are the same).
    """
    quick = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    create = functools.partial(init_state, config, optimizer)
    return jax.jit(create, out_shardings=shardings, compiler_options=quick)(key)


def make_train_step(
    config: TransformerConfig,
    optimizer: optax.GradientTransformation,
    rate: optax.Schedule,
    mesh: Mesh,
    *,
    accumulation: int,
    segmented: bool,
) -> Callable[[State, Batch], tuple[State, Metrics]]:
    """Returns the jitted step; the state is donated, batches are cut over data and fsdp.

    Metrics: loss (nats per token), gradient_norm (before clipping), learning_rate, tokens.

    Args:
        rate: the schedule inside `optimizer`, for the metrics alone.
        accumulation: micro-batches per update; divides the batch.
    """

    def loss_of(params: Params, batch: Batch, total: jax.Array) -> jax.Array:
        return summed_loss(config, params, batch, segmented)[0] / total

    def gradients(params: Params, batch: Batch, total: jax.Array) -> tuple[jax.Array, Params]:
        if accumulation == 1:
            return jax.value_and_grad(loss_of)(params, batch, total)
        # row i goes to micro-batch i mod accumulation, so that each still spans all devices
        micro = jax.tree.map(
            lambda x: x.reshape(-1, accumulation, *x.shape[1:]).swapaxes(0, 1), batch
        )

        def add(carry: Any, rows: Batch) -> tuple[Any, None]:
            return jax.tree.map(
                jnp.add, carry, jax.value_and_grad(loss_of)(params, rows, total)
            ), None

        zeros = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        return jax.lax.scan(add, zeros, micro)[0]

    def step(state: State, batch: Batch) -> tuple[State, Metrics]:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return update(state, batch)

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        tokens = batch["weights"].sum()
        params = state["params"]
        loss, grads = gradients(params, batch, jnp.maximum(tokens, 1))
        updates, slots = optimizer.update(grads, state["optimizer"], params)
        metrics = {
            "loss": loss,
            "gradient_norm": optax.tree.norm(grads),
            "learning_rate": rate(state["step"]),
            "tokens": tokens,
        }
        new = {
            "params": optax.apply_updates(params, updates),
            "optimizer": slots,
            "step": state["step"] + 1,
            "key": state["key"],
        }
        return new, metrics

    states = state_shardings(config, optimizer, mesh)
    rows = sharding(mesh, "batch", "length")
    return jax.jit(
        step, in_shardings=(states, rows), out_shardings=(states, sharding(mesh)), donate_argnums=0
    )


def make_eval_step(
    config: TransformerConfig, mesh: Mesh, *, segmented: bool
) -> Callable[[Params, Batch], tuple[jax.Array, jax.Array]]:
    """Returns the jitted `summed_loss` of one batch: exact sums, to be added over batches."""
    params = tree_shardings(mesh, transformer.axes(config))
    rows = sharding(mesh, "batch", "length")

    def sums(params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return summed_loss(config, params, batch, segmented)

    return jax.jit(
        sums,
        in_shardings=(params, rows),
        out_shardings=sharding(mesh),
    )
