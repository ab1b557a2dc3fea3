"""Fits linear probes to the hidden states of a frozen model, several layers and bands at once.

The model's forward pass costs ten times a probe's step, so its states are computed once per chunk
of strings and shared by all layers and bands; `reuse` says how many times a string is then used.
Probes are independent: their losses are added, and Adam works entry by entry.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from physlm_jax.data.hashing import stream_key
from physlm_jax.errors import InputError, unknown
from physlm_jax.models import transformer
from physlm_jax.models.layers import Norm
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.probes import linear

MASKS = {"full": None, "diagonal": 0, "tridiagonal": 1}
DECAYS = ("linear", "constant")


def option(
    default: Any, text: str, flag: str = "", least: int = 1, everything: bool = False
) -> Any:
    """Returns a dataclass field that is a flag of the entry point.

    Args:
        text: its help.  flag: the flag's name, if it has another.
        least: of whole numbers but seeds; fractions are at least 0.
        everything: of lists: empty means all, and so "all" may be given; () as default says it too.
    """
    told = {"help": text, "flag": flag, "least": least, "everything": everything or default == ()}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class FitConfig:
    """How linear probes are fitted. Defaults are a laptop's, for strings of up to 100 tokens.

    The paper: heads 16, head_dim 1024, steps 30000, learning_rate 3e-3, reuse 1; whether the rate
    decayed, which states were read (before or after the final norm) and how P began are not told.
    Behind the final norm, states of a trained and of an untrained model have the same scale, so
    that Adam's steps do not favour either.
    """

    layers: tuple[int, ...] = option(
        (-1,),
        "blocks whose output is read, 0 for the embeddings, -1 the last; all",
        "layer",
        everything=True,
    )
    masks: tuple[str, ...] = option(
        ("full",), "where a probe looks: full, diagonal, tridiagonal or a half-width", "mask"
    )
    final_norm: bool = option(True, "read the states through the model's final norm")
    heads: int = option(8, "H, heads of the probe")
    head_dim: int = option(32, "d', size of a position vector")
    position_norm: float = option(1.0, "length of position vectors at the start")
    steps: int = option(400, "updates")
    batch: int = option(60, "strings per update")
    reuse: int = option(10, "times that a training string is used; 1 for always fresh")
    learning_rate: float = option(2e-2, "of AdamW(.9, .98)")
    decay: str = option("linear", "of the learning rate, to 0: linear; or constant")
    weight_decay: float = option(1e-3, "of AdamW")
    seed: int = option(0, "of strings, their order and the start")
    cache_mb: int = option(256, "memory for the hidden states of a chunk of strings, MiB")

    def __post_init__(self) -> None:
        for name in ("heads", "head_dim", "steps", "batch", "reuse", "cache_mb"):
            if getattr(self, name) < 1:
                raise InputError(f"probe: {name} must be at least 1, got {getattr(self, name)}")
        if self.decay not in DECAYS:
            raise unknown("decay", self.decay, DECAYS, "the probe's settings")
        if not self.masks:
            raise InputError(f"probe: no mask; choose from {', '.join(MASKS)} or a half-width")
        _ = self.deltas

    @property
    def deltas(self) -> tuple[int | None, ...]:
        """Half-width of the band of each mask, None for the whole string."""
        for mask in self.masks:
            if mask not in MASKS and not mask.isdecimal():
                raise unknown("mask", mask, [*MASKS, "2"], "the probe's settings")
        return tuple(MASKS[m] if m in MASKS else int(m) for m in self.masks)

    def blocks(self, layers: int) -> tuple[int, ...]:
        """Returns the indices 0..L of the layers to read in a model of L = `layers` blocks."""
        for layer in self.layers:
            if not -layers - 1 <= layer <= layers:
                raise InputError(f"probe: no layer {layer} (0 is the embeddings, last: {layers})")
        return tuple(i % (layers + 1) for i in self.layers) or tuple(range(layers + 1))


class Chunk(NamedTuple):
    """Strings to fit on: hidden states float32[K, N, T, D], int32[N], classes int32[N, T, G]."""

    states: jax.Array
    lengths: np.ndarray
    classes: np.ndarray


class Slots(NamedTuple):
    """What an update changes: parameters, one dict per mask (leading axis K), and AdamW's state."""

    probes: tuple[linear.Params, ...]
    optimizer: Any


@functools.partial(jax.jit, static_argnames=("model", "blocks", "final_norm"))
def hidden_states(
    model: TransformerConfig,
    params: transformer.Params,
    tokens: jax.Array,
    blocks: tuple[int, ...],
    final_norm: bool,
) -> jax.Array:
    """float32[K, M * B, T, D]: E_1..E_T of the strings, from the K layers.

    Args:
        tokens: int32[M, B, 1 + T], BOS and the strings; M batches go through the model in turn.
        blocks: indices into embeddings (0) and blocks (1..L).
    """
    norm = Norm(model.width, kind=model.norm, epsilon=model.norm_epsilon, bias=model.bias)
    normed = nnx.merge(nnx.split(norm)[0], params["final_norm"])

    def one(rows: jax.Array) -> jax.Array:
        states = transformer.apply(model, params, rows, hidden=True).hidden
        assert states is not None  # asked for
        read = states[np.array(blocks), :, 1:]
        return (normed(read) if final_norm else read).astype(jnp.float32)

    states = jax.lax.map(one, tokens).swapaxes(0, 1)
    return states.reshape(states.shape[0], -1, *states.shape[3:])


def batches_per_chunk(config: FitConfig, probed: int, positions: int, width: int) -> int:
    """Returns how many batches of strings a chunk holds: as the memory allows, evenly shared."""
    one = 4 * probed * config.batch * positions * width
    most = max(1, config.cache_mb * 2**20 // one)
    needed = -(-config.steps // config.reuse)
    chunks = -(-needed // most)
    return -(-needed // chunks)


def fit(
    config: FitConfig, sizes: tuple[int, ...], chunks: Iterable[Chunk]
) -> tuple[linear.Params, ...]:
    """Returns fitted probes, one dict of parameters per mask; each leaf has a leading axis K.

    Args:
        sizes: classes of each of the G groups.
        chunks: of equal shapes, N a multiple of the batch; drawn from until `steps` are done.
    """
    slots, done = None, 0
    for number, chunk in enumerate(chunks):
        slots = _start(config, sizes, chunk.states.shape) if slots is None else slots
        order = _order(config, number, len(chunk.lengths))
        count = min(len(order), config.steps - done)
        slots = _updates(config, sizes, slots, *chunk, order, count)
        done += count
        if done == config.steps:
            return slots.probes
    raise ValueError(f"strings for {done} of {config.steps} steps")


def _order(config: FitConfig, number: int, strings: int) -> np.ndarray:
    """int32[steps, batch]: which strings of a chunk each step takes; passes in random order."""
    rng = np.random.default_rng(stream_key(config.seed, "probe-order", number))
    passes = [rng.permutation(strings) for _ in range(config.reuse)]
    return np.concatenate(passes).astype(np.int32).reshape(-1, config.batch)


def _start(config: FitConfig, sizes: tuple[int, ...], shape: tuple[int, ...]) -> Slots:
    probed, _, positions, width = shape
    keys = jax.random.split(jax.random.key(stream_key(config.seed, "probe") >> 33), probed)

    def init(delta: int | None) -> linear.Params:
        return jax.vmap(
            lambda key: linear.init(
                key,
                delta,
                positions=positions,
                width=width,
                heads=config.heads,
                head_dim=config.head_dim,
                position_norm=config.position_norm,
                sizes=sizes,
            )
        )(keys)

    probes = tuple(init(delta) for delta in config.deltas)
    return Slots(probes, _optimizer(config).init(probes))


def _optimizer(config: FitConfig) -> optax.GradientTransformation:
    end = 0.0 if config.decay == "linear" else config.learning_rate
    rate = optax.linear_schedule(config.learning_rate, end, config.steps)
    return optax.adamw(rate, b1=0.9, b2=0.98, weight_decay=config.weight_decay)


@functools.partial(jax.jit, static_argnames=("config", "sizes"), donate_argnames="slots")
def _updates(
    config: FitConfig,
    sizes: tuple[int, ...],
    slots: Slots,
    states: jax.Array,
    lengths: jax.Array,
    classes: jax.Array,
    order: jax.Array,
    count: jax.Array,
) -> Slots:
    """Runs the first `count` steps of `order`; one dispatch and one compilation for all chunks."""
    optimizer = _optimizer(config)

    def total(probes: tuple[linear.Params, ...], x: jax.Array, rows: jax.Array) -> jax.Array:
        def one(params: linear.Params, x_BTD: jax.Array, delta: int | None) -> jax.Array:
            found = linear.logits(params, x_BTD, lengths[rows], delta, sizes)
            return linear.loss(found, classes[rows], lengths[rows])

        each = zip(config.deltas, probes, strict=True)
        return sum(
            (jax.vmap(functools.partial(one, delta=d))(p, x).sum() for d, p in each),
            start=jnp.zeros(()),
        )

    def step(i: jax.Array, slots: Slots) -> Slots:
        gradients = jax.grad(total)(slots.probes, states[:, order[i]], order[i])
        change, state = optimizer.update(gradients, slots.optimizer, slots.probes)
        return Slots(optax.apply_updates(slots.probes, change), state)

    return jax.lax.fori_loop(0, count, step, slots)


@functools.partial(jax.jit, static_argnames=("deltas", "sizes"))
def predict(
    deltas: tuple[int | None, ...],
    sizes: tuple[int, ...],
    probes: tuple[linear.Params, ...],
    states: jax.Array,
    lengths: jax.Array,
) -> jax.Array:
    """int32[masks, K, N, T, G]: the likeliest class of every group at every position."""

    def one(params: linear.Params, x_BTD: jax.Array, delta: int | None) -> jax.Array:
        return linear.logits(params, x_BTD, lengths, delta, sizes).argmax(-1).astype(jnp.int32)

    each = zip(deltas, probes, strict=True)
    return jnp.stack([jax.vmap(functools.partial(one, delta=d))(p, states) for d, p in each])
