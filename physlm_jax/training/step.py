"""The train step: a pure function (state, batch) -> (state, metrics), jitted over a mesh.

The loss is a mean over real tokens of the whole global batch (weights count, padding does not),
also under gradient accumulation: micro-batches are summed and divided once. Models with experts
also minimise their load-balancing loss, which is that of every micro-batch, weighed by its tokens.

A population is the same function mapped over whole train states: every leaf but `step` gets a
leading axis of members, cut over the mesh axis "population".

With an adapter, `params` are the adapter's and the frozen `base` lies beside them in the state:
nothing is differentiated but what is trained.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding

from physlm_jax.models import lora, transformer
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.parallel.mesh import row_groups, sharding, tree_shardings
from physlm_jax.training.loss import (
    Batch,
    measured,
    objective,
    pieces,
    summed_loss,
    training_sums,
)
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
        adapter: rules of the one that is trained beside a frozen base; (): everything is trained.
        own_bases: every member has a frozen base of its own; else all have the same.
    """

    model: TransformerConfig
    recipe: Recipe
    mesh: Mesh
    accumulation: int = 1
    segmented: bool = False
    loss_chunks: int = 0
    members: int = 0
    shared_rows: bool = True
    adapter: tuple[lora.Rule, ...] = ()
    own_bases: bool = False

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
    program: Program, numbers: Numbers, key: jax.Array, base: Params | None = None
) -> State:
    """Returns {params, optimizer, numbers, step = 0, key} of one run; traceable.

    Args:
        base: the parameters to start from, or those that an adapter's rules may need; default
            fresh ones.
    """
    init_key, run_key = jax.random.split(key)
    if program.adapter:
        params = lora.init(program.model, program.adapter, init_key, base)
    else:
        params = transformer.init(program.model, init_key) if base is None else base
    return {
        "params": params,
        "optimizer": make_optimizer(program.recipe, numbers).init(params),
        "numbers": {name: jnp.asarray(value, jnp.float32) for name, value in numbers.items()},
        "step": jnp.zeros((), jnp.int32),
        "key": jax.random.key_data(run_key),
    }


def init_states(
    program: Program, numbers: Sequence[Numbers], keys: jax.Array, base: Params | None = None
) -> State:
    """Returns the state of a program at step 0, every member as `init_state` makes it alone.

    Args:
        numbers: one mapping per member (one in all for a single run).
        keys: as many PRNG keys.
        base: see `init_state`; with an axis of members if each has its own.
    """
    if not program.members:
        return init_state(program, numbers[0], keys[0], base)
    stacked = jax.tree.map(lambda *values: jnp.stack(values), *numbers)
    make = functools.partial(init_state, program)
    states = jax.vmap(make, (0, 0, 0 if program.own_bases else None))(stacked, keys, base)
    return {**states, "step": states["step"][0]}


def abstract_state(program: Program) -> State:
    """Returns shape, dtype and sharding of every leaf of a program's state."""
    count = program.members or 1
    base = abstract_base(program)
    shapes = jax.eval_shape(
        lambda keys, base: init_states(program, [dict.fromkeys(NUMBERS, 0.0)] * count, keys, base),
        jax.eval_shape(lambda: jax.random.split(jax.random.key(0), count)),
        base if program.adapter else None,
    )
    if program.adapter:
        shapes["base"] = base
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        shapes,
        state_shardings(program),
    )


def abstract_base(program: Program) -> Params:
    """Returns shape, dtype and sharding of the whole network's parameters, as a base has them."""
    lead = (program.members,) if program.own_bases else ()
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype, sharding=s),
        transformer.abstract(program.model),
        _base_shardings(program),
    )


def _base_shardings(program: Program) -> Params:
    model, lead = program.model, program.lead if program.own_bases else ()
    return tree_shardings(program.mesh, transformer.axes(model), transformer.abstract(model), lead)


def _trained(program: Program) -> tuple[Params, Params]:
    """Shapes of one run's trained parameters, and the logical names of their axes."""
    shapes = transformer.abstract(program.model)
    if not program.adapter:
        return shapes, transformer.axes(program.model)
    adapter = jax.eval_shape(
        lambda base: lora.init(program.model, program.adapter, jax.random.key(0), base), shapes
    )
    return adapter, lora.axes(program.model, adapter)


def state_shardings(program: Program) -> State:
    """Returns the sharding of every leaf of a program's state: moments follow their parameters."""
    lead, mesh = program.lead, program.mesh
    shapes, axes = _trained(program)
    params = tree_shardings(mesh, axes, shapes, lead)
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
        **({"base": _base_shardings(program)} if program.adapter else {}),
    }


def create_state(
    program: Program,
    numbers: Sequence[Numbers],
    seeds: Sequence[int],
    base: Params | None = None,
) -> State:
    """Returns `init_states`, computed straight into its shardings.

    It runs once, so on a CPU it is compiled quickly rather than well: drawing the parameters would
    else take longer to compile than the train step (the drawn values are the same).

    Args:
        numbers, seeds: one per member (one in all for a single run).
        base: parameters of another run laid out as `abstract_base`; needed with an adapter.
    """
    quick = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    shardings = state_shardings(program)
    shardings.pop("base", None)
    create = jax.jit(
        lambda numbers, keys, base: init_states(program, numbers, keys, base),
        out_shardings=shardings,
        compiler_options=quick,
    )
    state = create(list(numbers), jnp.stack([jax.random.key(seed) for seed in seeds]), base)
    return {**state, "base": base} if program.adapter else state


def network(program: Program, state: State, key: jax.Array | None = None) -> Params:
    """Returns what `transformer.apply` takes: the parameters, or base and adapter.

    Args:
        state: of one run; at least its `params` and, with an adapter, its `base`.
        key: of the adapter's dropout; None: off.
    """
    return lora.attach(state["base"], state["params"], key) if program.adapter else state["params"]


def _update(program: Program, state: State, batch: Batch) -> tuple[State, Metrics]:
    """One update of one run; what stays or is shared (base, step) is not returned."""
    tokens = batch["weights"].sum()
    params = state["params"]
    means, grads = _gradients(program, state, batch, jnp.maximum(tokens, 1))
    optimizer = make_optimizer(program.recipe, state["numbers"])
    updates, slots = optimizer.update(grads, state["optimizer"], params)
    metrics = {
        **means,
        "gradient_norm": optax.tree.norm(grads),
        "learning_rate": schedule(program.recipe, state["numbers"])(state["step"]),
        "tokens": tokens,
    }
    new = {
        **{name: value for name, value in state.items() if name not in ("base", "step")},
        "params": optax.apply_updates(params, updates),
        "optimizer": slots,
    }
    return new, metrics


def _gradients(
    program: Program, state: State, batch: Batch, total: jax.Array
) -> tuple[Metrics, Params]:
    """`training_sums` over `total`, and the objective's gradient, micro-batch by micro-batch."""
    key = None
    if any(rule.dropout for rule in program.adapter):
        key = jax.random.fold_in(jax.random.wrap_key_data(state["key"]), state["step"])

    def loss_of(params: Params, rows: Batch, key: jax.Array | None) -> tuple[jax.Array, Metrics]:
        whole = network(program, {**state, "params": params}, key)
        sums = _losses(training_sums, program, whole, rows)
        means = {name: value / total for name, value in sums.items()}
        return objective(program.model, means), means

    def found_in(rows: Batch, key: jax.Array | None) -> tuple[Metrics, Params]:
        (_, means), grads = jax.value_and_grad(loss_of, has_aux=True)(state["params"], rows, key)
        return means, grads

    if program.accumulation == 1:
        return found_in(batch, key)
    # row i goes to micro-batch i mod accumulation, so that each still spans all devices
    micro = jax.tree.map(
        lambda x: x.reshape(-1, program.accumulation, *x.shape[1:]).swapaxes(0, 1), batch
    )
    keys = None if key is None else jax.random.split(key, program.accumulation)

    def add(carry: Any, piece: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, carry, found_in(*piece)), None

    nothing = {name: jnp.zeros(()) for name in measured(program.model)}
    zeros = (nothing, jax.tree.map(jnp.zeros_like, state["params"]))
    return jax.lax.scan(add, zeros, (micro, keys))[0]


def _losses(loss: Callable[..., Any], program: Program, params: Params, batch: Batch) -> Any:
    """`summed_loss` or `training_sums`, logits cut into pieces by what one device would hold."""
    rows, length = batch["tokens"].shape
    rows = -(-rows // row_groups(program.mesh.shape))
    vocabulary = -(-program.model.vocab_size // program.mesh.shape["tensor"])
    chunks = pieces(program.loss_chunks, rows, length, vocabulary)
    return loss(program.model, params, batch, program.segmented, chunks)


def _over_members(program: Program, function: Callable[..., Any]) -> Callable[[State, Batch], Any]:
    """Returns function(member's state, rows) mapped over the members of a state.

    On one CPU the members go one after the other, which keeps each in the processor's cache;
    elsewhere all at once. What all members share is seen by each as it is.
    """
    serial = program.mesh.size == 1 and program.mesh.devices.flat[0].platform == "cpu"
    mapped = jax.lax.map if serial else lambda f, xs: jax.vmap(f, spmd_axis_name="population")(xs)
    shared = ("step",) if program.own_bases else ("step", "base")

    def call(state: State, batch: Batch) -> Any:
        common = {name: value for name, value in state.items() if name in shared}
        members = {name: value for name, value in state.items() if name not in shared}
        if program.shared_rows:
            return mapped(lambda member: function({**common, **member}, batch), members)
        return mapped(lambda both: function({**common, **both[0]}, both[1]), (members, batch))

    return call


def make_train_step(program: Program) -> Callable[[State, Batch], tuple[State, Metrics]]:
    """Returns the jitted step; the state is donated, batches are cut over the mesh.

    Metrics, of each member: loss (nats per token), gradient_norm (before clipping), learning_rate,
    tokens; of models with experts also balance and dropped, means over the layers of `experts.Use`.
    """

    one = functools.partial(_update, program)

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        run = _over_members(program, one) if program.members else one
        with jax.sharding.use_abstract_mesh(program.mesh.abstract_mesh):
            new, metrics = run(state, batch)
        kept = {"base": state["base"]} if program.adapter else {}
        return {**new, "step": state["step"] + 1, **kept}, metrics

    states = state_shardings(program)
    return jax.jit(
        update,
        in_shardings=(states, program.rows),
        out_shardings=(states, program.whole),
        donate_argnums=0,
    )


def make_eval_step(program: Program) -> Callable[[State, Batch], tuple[jax.Array, jax.Array]]:
    """Returns the jitted `summed_loss` of one batch: exact sums, to be added over batches.

    It takes `evaluated(state)`. For a population both sums are arrays [K].
    """

    def one(state: State, rows: Batch) -> tuple[jax.Array, jax.Array]:
        return _losses(summed_loss, program, network(program, state), rows)

    def sums(state: State, batch: Batch) -> tuple[jax.Array, jax.Array]:
        with jax.sharding.use_abstract_mesh(program.mesh.abstract_mesh):
            return (_over_members(program, one) if program.members else one)(state, batch)

    return jax.jit(
        sums,
        in_shardings=(evaluated(state_shardings(program)), program.rows),
        out_shardings=program.whole,
    )


def evaluated(state: State) -> State:
    """Returns the part of a state that evaluation reads."""
    return {name: state[name] for name in ("params", "base") if name in state}
