"""Fitting storage probes: for each task an update of the embedding, a norm and a linear map.

The transformer is frozen; E' = E + A B of rank r, then its last hidden state (after its final norm)
at some places, a LayerNorm or BatchNorm with affine parameters, and a linear map to the classes. A
set of these for each task: K tasks are K copies of the batch in one forward pass, each copy with
its own update of the embedding, and heads of one shape; classes that a task lacks are never likely.

The paper leaves the dropout of the frozen transformer on, against over-fitting. Transformers here
have none and were trained without: dropout is on what the linear map reads, where a probe over-fits
first. A BatchNorm's statistics are the batch's in fitting, and then those of everybody fitted on.
Source: arXiv 2309.14316, section 5 (P-probing) and section 6 (Q-probing).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from physlm_jax.data.hashing import stream_key
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError
from physlm_jax.models import lora, transformer
from physlm_jax.models.lora.adapter import Adapted
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.probes.linear import NEGATIVE

EPSILON = 1e-5  # of norms
_STEP = 8  # rows have a multiple of so many tokens: few shapes to compile
_STATES = 2**24  # numbers of hidden states at once


@dataclass(frozen=True)
class FitConfig:
    """How probes are fitted; the paper's are 30,000 steps, and as follows.

    Attributes:
        rank: r, of the embedding's update: 2 for positions, 16 for queries.
        norm: "layer" for positions, "batch" for queries.
        batch: 50 for positions, 200 for queries.
        updated: ids whose rows of the embedding are updated; (): all, as in the paper.
    """

    rank: int
    norm: str
    batch: int
    steps: int = 30_000
    learning_rate: float = 1e-3  # of AdamW, falling to 0
    weight_decay: float = 0.3
    dropout: float = 0.1
    seed: int = 0
    updated: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("rank", "batch", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"storage: {name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"storage: dropout must be in [0, 1), got {self.dropout}")


class Reading(NamedTuple):
    """Texts, and where they are read.

    Attributes:
        texts: N of them.  places: int32[N, P].  truth: int32[N, K], the class of each task.
    """

    texts: Ragged
    places: np.ndarray
    truth: np.ndarray


class Probes(NamedTuple):
    """Fitted probes of K tasks.

    Attributes:
        sizes: classes of each.  adapter: of the embedding; leaves have an axis K in front.
        norm: scale, bias [K, D], and for "batch" mean, variance [K, D].
        head: kernel [K, D, C], bias [K, C], C the most classes.
    """

    sizes: tuple[int, ...]
    adapter: lora.Adapter
    norm: dict[str, jax.Array]
    head: dict[str, jax.Array]


def fit(
    config: FitConfig,
    model: TransformerConfig,
    params: Params,
    sizes: tuple[int, ...],
    batches: Iterator[Reading],
    everybody: Callable[[], Iterator[Reading]],
) -> Probes:
    """Returns fitted probes of K tasks.

    Args:
        sizes: classes of each task.
        batches: one for each step.  everybody: those that statistics are taken of at the end.
    Raises:
        InputError: texts longer than the model reads.
    """
    key = jax.random.key(stream_key(config.seed, "storage") >> 33)
    trained = _start(config, model, sizes, jax.random.fold_in(key, 0))
    state = _optimizer(config).init(trained)
    length = 0
    for step in range(config.steps):
        batch = next(batches)
        rows, length = _rows(model, batch.texts, length)
        drop = jax.random.fold_in(key, 1 + step)
        trained, state = _update(
            config, model, sizes, params, trained, state, rows, batch.places, batch.truth, drop
        )
    probes = Probes(sizes, **trained)
    if config.norm == "batch":
        moments = _moments(model, params, probes, everybody())
        probes = probes._replace(norm={**probes.norm, **moments})
    return probes


def predict(
    model: TransformerConfig, params: Params, probes: Probes, reading: Reading
) -> np.ndarray:
    """int32[N, P, K]: the likeliest class of every task at every place."""
    found = [
        np.asarray(_predict(model, probes.sizes, params, probes._replace(sizes=()), rows, places))
        for rows, places in _pieces(model, reading, len(probes.sizes))
    ]
    return np.concatenate(found)[: len(reading.texts)]


def _start(
    config: FitConfig, model: TransformerConfig, sizes: tuple[int, ...], key: jax.Array
) -> dict[str, Any]:
    """Fresh probes: A, the linear map and all biases 0; B normal, with deviation 1 / sqrt(r)."""
    rule = lora.Rule("^embedding$", config.rank, config.rank, init="zero_down")
    keys = jax.random.split(key, len(sizes))
    tasks, width, most = len(sizes), model.width, max(sizes)
    return {
        "adapter": jax.vmap(lambda k: lora.init(model, (rule,), k))(keys),
        "norm": {"scale": jnp.ones((tasks, width)), "bias": jnp.zeros((tasks, width))},
        "head": {"kernel": jnp.zeros((tasks, width, most)), "bias": jnp.zeros((tasks, most))},
    }


def _optimizer(config: FitConfig) -> optax.GradientTransformation:
    rate = optax.linear_schedule(config.learning_rate, 0.0, config.steps)
    return optax.adamw(rate, eps=1e-6, weight_decay=config.weight_decay)


def _rows(model: TransformerConfig, texts: Ragged, least: int = 0) -> tuple[np.ndarray, int]:
    """int32[N, T] and T, at least `least`."""
    longest = int(texts.lengths.max())
    if longest > model.max_length:
        raise InputError(f"texts of {longest} tokens: the model reads {model.max_length}")
    step = 1 if (texts.lengths == longest).all() else _STEP
    length = max(least, min(-(-longest // step) * step, model.max_length))
    rows = np.zeros((len(texts), length), np.int32)
    rows[np.arange(length) < texts.lengths[:, None]] = texts.tokens
    return rows, length


def _pieces(
    model: TransformerConfig, reading: Reading, tasks: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and places, so many at a time; the last piece is filled up."""
    rows, length = _rows(model, reading.texts)
    size = min(len(rows), max(1, _STATES // (tasks * length * model.width)))
    for lo in range(0, len(rows), size):
        some = np.arange(lo, lo + size) % len(rows)
        yield rows[some], reading.places[some]


def states(
    model: TransformerConfig, params: Params, adapter: lora.Adapter, tokens: Any, places: Any
) -> jax.Array:
    """float32[K, N, P, D]: last hidden states at places, each task's with its own embedding.

    Args:
        adapter: leaves have an axis K in front.  tokens: int32[N, T].  places: int32[N, P].
    """
    update = adapter["embedding"]
    count = len(update.down)
    choice, scale = jnp.repeat(jnp.arange(count), len(tokens)), jnp.full(count, update.scale[0])
    beside = Adapted(params["embedding"], update.down, update.up, scale, choice=choice)
    rows = jnp.tile(tokens, (count, 1))
    final = transformer.apply(model, {**params, "embedding": beside}, rows, logits=False).final
    assert final is not None  # asked for
    where = jnp.tile(places, (count, 1))[..., None]
    read = jnp.take_along_axis(final, where, axis=1).astype(jnp.float32)
    return read.reshape(count, len(tokens), *read.shape[1:])


def _logits(
    sizes: tuple[int, ...], x_KNPD: jax.Array, norm: Any, head: Any, kind: str, drop: Any = None
) -> jax.Array:
    """float32[K, N, P, C]; kind: "layer", "batch" (of this batch's statistics) or "known"."""
    if kind == "known":
        mean, variance = norm["mean"][:, None, None], norm["variance"][:, None, None]
    else:
        axes = -1 if kind == "layer" else (1, 2)
        mean, variance = x_KNPD.mean(axes, keepdims=True), x_KNPD.var(axes, keepdims=True)
    x = (x_KNPD - mean) * jax.lax.rsqrt(variance + EPSILON)
    x = x * norm["scale"][:, None, None] + norm["bias"][:, None, None]
    if drop is not None:
        rate, key = drop
        x = jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)
    found = jnp.einsum("knpd,kdc->knpc", x, head["kernel"]) + head["bias"][:, None, None]
    classes = np.arange(max(sizes)) < np.array(sizes)[:, None]
    return jnp.where(classes[:, None, None], found, NEGATIVE)


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=(4, 5))
def _update(
    config: FitConfig,
    model: TransformerConfig,
    sizes: tuple[int, ...],
    params: Params,
    trained: Any,
    state: Any,
    tokens: jax.Array,
    places: jax.Array,
    truth: jax.Array,
    key: jax.Array,
) -> tuple[Any, Any]:
    def loss(trained: Any) -> jax.Array:
        x = states(model, params, _masked(config, trained["adapter"]), tokens, places)
        drop = (config.dropout, key) if config.dropout else None
        found = _logits(sizes, x, trained["norm"], trained["head"], config.norm, drop)
        wanted = jnp.broadcast_to(truth.T[:, :, None], found.shape[:-1])
        each = optax.softmax_cross_entropy_with_integer_labels(found, wanted)
        return each.mean((1, 2)).sum()  # tasks do not touch one another

    change, state = _optimizer(config).update(jax.grad(loss)(trained), state, trained)
    return optax.apply_updates(trained, change), state


def _masked(config: FitConfig, adapter: lora.Adapter) -> lora.Adapter:
    """Lets no gradient reach the rows that stay; they begin at zero."""
    if not config.updated:
        return adapter
    update = adapter["embedding"]
    mask = jnp.zeros(update.down.shape[1]).at[jnp.array(config.updated)].set(1)
    return {"embedding": dataclasses.replace(update, down=update.down * mask[:, None])}


_states = jax.jit(states, static_argnums=0)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _predict(
    model: TransformerConfig,
    sizes: tuple[int, ...],
    params: Params,
    probes: Probes,
    tokens: jax.Array,
    places: jax.Array,
) -> jax.Array:
    x = states(model, params, probes.adapter, tokens, places)
    kind = "known" if "mean" in probes.norm else "layer"
    found = _logits(sizes, x, probes.norm, probes.head, kind)
    return found.argmax(-1).transpose(1, 2, 0).astype(jnp.int32)


def _moments(
    model: TransformerConfig, params: Params, probes: Probes, everybody: Iterator[Reading]
) -> dict[str, jax.Array]:
    """Mean and variance, [K, D] each, of the states that everybody's texts are read as."""
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for reading in everybody:
        left = len(reading.texts)
        for rows, places in _pieces(model, reading, len(probes.sizes)):
            x = np.asarray(_states(model, params, probes.adapter, rows, places), np.float64)
            x = x[:, :left].reshape(x.shape[0], -1, x.shape[-1])
            left -= len(rows)
            count, total = count + x.shape[1], total + x.sum(1)
            squares = squares + np.square(x).sum(1)
    mean = total / count
    moments = {"mean": mean, "variance": squares / count - mean**2}
    return {name: jnp.asarray(value, jnp.float32) for name, value in moments.items()}
