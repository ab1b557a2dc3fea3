"""The train step: a pure function (state, batch) -> (state, metrics), jitted over a mesh.

The loss is a mean over real tokens of the whole global batch (weights count, padding does not),
also under gradient accumulation: micro-batches are summed and divided once.

A population is the same function mapped over whole train states: every leaf but `step` gets a
leading axis of members, cut over the mesh axis "population".
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding

from physlm_jax.models import transformer
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.parallel.mesh import sharding, tree_shardings
from physlm_jax.training.loss import Batch, pieces, summed_loss
from physlm_jax.training.optimizer import NUMBERS, Numbers, Recipe, make_optimizer, schedule

State = dict[str, Any]
Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Program:
    """All that shapes the compiled step; the numbers that flow through it are in the state.

    Attributes:
        model, recipe: the network's and the optimizer's structure.  mesh: the devices.
        accumulation: micro-batches per update; divides the batch.
        segmented: rows hold whole examples that must not see each other.
        loss_chunks: see `loss.pieces`.
        members: K of a population; 0: one run, its arrays without an axis of members.
        shared_rows: all members read the same batch [B, T]; else each its own, [K, B, T].
    """

    model: TransformerConfig
    recipe: Recipe
    mesh: Mesh
    accumulation: int = 1
    segmented: bool = False
    loss_chunks: int = 0
    members: int = 0
    shared_rows: bool = True

    def __post_init__(self) -> None:
        """Settles the attention back end for the devices."""
        settled = transformer.for_platform(
            self.model,
            self.mesh.devices.flat[0].platform,
            segmented=self.segmented,
            population=self.members > 0,
        )
        object.__setattr__(self, "model", settled)

    @property
    def lead(self) -> tuple[str, ...]:
        """Logical names in front of every leaf's own."""
        return ("population",) if self.members else ()

    @property
    def row_axes(self) -> tuple[str, ...]:
        """Logical names of the axes of a batch's arrays."""
        return (*(() if self.shared_rows else self.lead), "batch", "length")

    @property
    def rows(self) -> NamedSharding:
        """How a batch's arrays are laid out."""
        return sharding(self.mesh, *self.row_axes)

    @property
    def whole(self) -> NamedSharding:
        """Every device holds all of it."""
        return sharding(self.mesh)


def init_state(
    config: TransformerConfig, recipe: Recipe, numbers: Numbers, key: jax.Array
) -> State:
    """Returns {params, optimizer, numbers, step = 0, key}; traceable, to be created sharded."""
    init_key, run_key = jax.random.split(key)
    params = transformer.init(config, init_key)
    return {
        "params": params,
        "optimizer": make_optimizer(recipe, numbers).init(params),
        "numbers": {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()},
        "step": jnp.zeros((), jnp.int32),
        "key": jax.random.key_data(run_key),
    }


def init_states(program: Program, numbers: Sequence[Numbers], keys: jax.Array) -> State:
    """Returns the state of a program at step 0, every member as `init_state` makes it alone.

    Args:
        numbers: one mapping per member (one in all for a single run).
        keys: as many PRNG keys.
    """
    make = functools.partial(init_state, program.model, program.recipe)
    if not program.members:
        return make(numbers[0], keys[0])
    stacked = jax.tree.map(lambda *values: jnp.stack(values), *numbers)
    states = jax.vmap(make)(stacked, keys)
    return {**states, "step": states["step"][0]}


def abstract_state(program: Program) -> State:
    """Returns shape, dtype and sharding of every leaf of a program's state."""
    count = program.members or 1
    shapes = jax.eval_shape(
        lambda keys: init_states(program, [dict.fromkeys(NUMBERS, 0.0)] * count, keys),
        jax.eval_shape(lambda: jax.random.split(jax.random.key(0), count)),
    )
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        shapes,
        state_shardings(program),
    )


def state_shardings(program: Program) -> State:
    """Returns the sharding of every leaf of a program's state: moments follow their parameters."""
    lead, mesh = program.lead, program.mesh
    shapes = transformer.abstract(program.model)
    params = tree_shardings(mesh, transformer.axes(program.model), shapes, lead)
    each = sharding(mesh, *lead)
    optimizer = make_optimizer(program.recipe, dict.fromkeys(NUMBERS, 0.0))
    slots = jax.eval_shape(optimizer.init, shapes)
    moments = optax.tree.map_params(
        optimizer, lambda _, s: s, slots, params, transform_non_params=lambda _: each
    )
    return {
        "params": params,
        "optimizer": moments,
        "numbers": dict.fromkeys(NUMBERS, each),
        "step": program.whole,
        "key": each,
    }


def create_state(program: Program, numbers: Sequence[Numbers], seeds: Sequence[int]) -> State:
    """Returns `init_states`, computed straight into its shardings.

    It runs once, so on a CPU it is compiled quickly rather than well: drawing the parameters would
    else take longer to compile than the train step (the drawn values are the same).

    Args:
        numbers, seeds: one per member (one in all for a single run).
    """
    quick = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    create = jax.jit(
        lambda numbers, keys: init_states(program, numbers, keys),
        out_shardings=state_shardings(program),
        compiler_options=quick,
    )
    return create(list(numbers), jnp.stack([jax.random.key(seed) for seed in seeds]))


def _update(program: Program, state: State, batch: Batch) -> tuple[State, Metrics]:
    """One update of one run."""
    tokens = batch["weights"].sum()
    params = state["params"]
    loss, grads = _gradients(program, params, batch, jnp.maximum(tokens, 1))
    optimizer = make_optimizer(program.recipe, state["numbers"])
    updates, slots = optimizer.update(grads, state["optimizer"], params)
    metrics = {
        "loss": loss,
        "gradient_norm": optax.tree.norm(grads),
        "learning_rate": schedule(program.recipe, state["numbers"])(state["step"]),
        "tokens": tokens,
    }
    new = {
        **state,
        "params": optax.apply_updates(params, updates),
        "optimizer": slots,
        "step": state["step"] + 1,
    }
    return new, metrics


def _gradients(
    program: Program, params: Params, batch: Batch, total: jax.Array
) -> tuple[jax.Array, Params]:
    """The summed loss over `total`, and its gradient, micro-batch after micro-batch."""

    def loss_of(params: Params, rows: Batch) -> jax.Array:
        return _summed(program, params, rows)[0] / total

    if program.accumulation == 1:
        return jax.value_and_grad(loss_of)(params, batch)
    # row i goes to micro-batch i mod accumulation, so that each still spans all devices
    micro = jax.tree.map(
        lambda x: x.reshape(-1, program.accumulation, *x.shape[1:]).swapaxes(0, 1), batch
    )

    def add(carry: Any, rows: Batch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, carry, jax.value_and_grad(loss_of)(params, rows)), None

    zeros = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
    return jax.lax.scan(add, zeros, micro)[0]


def _summed(program: Program, params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """`summed_loss`, its logits cut into pieces by what one device would hold."""
    rows, length = batch["tokens"].shape
    cut = program.mesh.shape
    rows = -(-rows // (cut["data"] * cut["fsdp"]))
    vocabulary = -(-program.model.vocab_size // cut["tensor"])
    chunks = pieces(program.loss_chunks, rows, length, vocabulary)
    return summed_loss(program.model, params, batch, program.segmented, chunks)


def _over_members(program: Program, function: Callable[..., Any]) -> Callable[[Any, Batch], Any]:
    """Returns function(member's tree, rows) mapped over the leading axis of the tree.

    On one CPU the members go one after the other, which keeps each in the processor's cache;
    elsewhere all at once.
    """
    serial = program.mesh.size == 1 and program.mesh.devices.flat[0].platform == "cpu"
    mapped = jax.lax.map if serial else lambda f, xs: jax.vmap(f, spmd_axis_name="population")(xs)

    def call(tree: Any, batch: Batch) -> Any:
        if program.shared_rows:
            return mapped(lambda member: function(member, batch), tree)
        return mapped(lambda both: function(*both), (tree, batch))

    return call


def make_train_step(program: Program) -> Callable[[State, Batch], tuple[State, Metrics]]:
    """Returns the jitted step; the state is donated, batches are cut over data and fsdp.

    Metrics, of each member: loss (nats per token), gradient_norm (before clipping), learning_rate,
    tokens.
    """

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        with jax.sharding.use_abstract_mesh(program.mesh.abstract_mesh):
            if not program.members:
                return _update(program, state, batch)
            step = state["step"]

            def one(member: State, rows: Batch) -> tuple[State, Metrics]:
                new, metrics = _update(program, {**member, "step": step}, rows)
                return {k: v for k, v in new.items() if k != "step"}, metrics

            members = {k: v for k, v in state.items() if k != "step"}
            new, metrics = _over_members(program, one)(members, batch)
            return {**new, "step": step + 1}, metrics

    states = state_shardings(program)
    return jax.jit(
        update,
        in_shardings=(states, program.rows),
        out_shardings=(states, program.whole),
        donate_argnums=0,
    )


def make_eval_step(program: Program) -> Callable[[Params, Batch], tuple[jax.Array, jax.Array]]:
    """Returns the jitted `summed_loss` of one batch: exact sums, to be added over batches.

    For a population both are arrays [K].
    """

    def sums(params: Params, batch: Batch) -> tuple[jax.Array, jax.Array]:
        one = functools.partial(_summed, program)
        with jax.sharding.use_abstract_mesh(program.mesh.abstract_mesh):
            return (
                _over_members(program, one)(params, batch)
                if program.members
                else one(params, batch)
            )

    return jax.jit(
        sums,
        in_shardings=(state_shardings(program)["params"], program.rows),
        out_shardings=program.whole,
    )
