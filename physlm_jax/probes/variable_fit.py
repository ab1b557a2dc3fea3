"""Fitting V-probes: a small update of the embedding and a linear head, the model frozen.

The update sits at the input, so its gradient runs through all layers; an adapter of
`models.lora` is that update (the papers' E + A B), and more than the embedding may be adapted.
Source: arXiv 2407.20311, section 4.2 and appendix F.2; arXiv 2408.16293, section 2 ("version 2").
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from physlm_jax.data.hashing import stream_key
from physlm_jax.errors import InputError
from physlm_jax.models import lora, transformer
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.probes.forks import Forks, fork, longest, row_count, visible
from physlm_jax.probes.variable_tasks import CLASSES, Asked

ADAPTER = "^embedding$: rank=8, alpha=8, init=zero_down"  # the factor of the papers' A is zero


@dataclass(frozen=True)
class FitConfig:
    """How V-probes are fitted. Defaults are a laptop's.

    The papers: steps 100,000, batch 256 (med) or 128 (hard), else as here; version 2: rank 32 and
    "attention/(query|value): rank=2", batch 8, 16,000 steps, weight decay 0.
    """

    adapter: str = ADAPTER
    steps: int = 300
    batch: int = 32  # problems
    most: int = 10  # questions about each
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    seed: int = 0


class Probe(NamedTuple):
    """A fitted probe.

    Attributes:
        model: the network it reads, cut after the layer that is read.
        adapter: see `lora`.  head: kernel [D, C] and bias [C].
        length, most: T of the rows it was fitted on, and questions about a problem.
    """

    model: TransformerConfig
    adapter: lora.Adapter
    head: dict[str, jax.Array]
    length: int
    most: int


def cut(
    model: TransformerConfig, params: Params, layer: int = -1
) -> tuple[TransformerConfig, Params]:
    """Returns the network of the first `layer` blocks, its final norm kept; -1 for all.

    Raises:
        InputError: there is no such layer.
    """
    if not (layer == -1 or 1 <= layer <= model.layers):
        raise InputError(f"no layer {layer}: the model has layers 1..{model.layers} (-1: the last)")
    kept = model.layers if layer == -1 else layer
    blocks = jax.tree.map(lambda x: x[:kept], params["blocks"])
    return dataclasses.replace(model, layers=kept, unroll=0), {**params, "blocks": blocks}


def fit(
    config: FitConfig,
    model: TransformerConfig,
    params: Params,
    task: str,
    batches: Sequence[Sequence[Asked]],
) -> Probe:
    """Returns a probe of one task.

    Args:
        model, params: the network, see `cut`.
        batches: problems with questions, taken in turn, round and round, one batch an update.
    """
    length, rows = _shape(batches)
    key = jax.random.key(stream_key(config.seed, "variable probe", task) >> 33)
    model = dataclasses.replace(model, max_length=max(length, model.max_length), dtype="float32")
    adapter = lora.init(model, lora.parse(config.adapter), key)
    head = {
        "kernel": jnp.zeros((model.width, CLASSES[task])),
        "bias": jnp.zeros(CLASSES[task]),
    }
    trained = {"adapter": adapter, "head": head}
    state = _optimizer(config).init(trained)
    for step in range(config.steps):
        forks, truth = together(batches[step % len(batches)], length, config.most, rows)
        trained, state = _update(config, model, params, trained, state, forks, truth)
    return Probe(model, trained["adapter"], trained["head"], length, config.most)


def together(batch: Sequence[Asked], length: int, most: int, rows: int) -> tuple[Forks, np.ndarray]:
    """Returns the rows of a batch, and the truth int32[N, Q] of its questions (0 where none)."""
    found = fork([a.text for a in batch], [a.questions for a in batch], length, most, rows)
    truth = np.zeros(found.asked.shape, np.int32)
    truth[found.asked] = np.concatenate([a.truth for a in batch])
    return found, truth


def _shape(batches: Sequence[Sequence[Asked]], least: int = 0) -> tuple[int, int]:
    """Tokens of a row, at least so many, and rows of a batch: one compilation serves all."""
    questions = [[a.questions for a in batch] for batch in batches]
    longest_of_all = max(least, *map(longest, questions))
    length = -(-longest_of_all // 32) * 32
    return length, max(row_count(each, length) for each in questions)


def predict(probe: Probe, params: Params, asked: Sequence[Asked], batch: int = 64) -> np.ndarray:
    """int[sum of questions]: the likeliest class of every question, in their order.

    Args:
        params: of the network that the probe was fitted on.
    """
    parts = [list(asked[lo : lo + batch]) for lo in range(0, len(asked), batch)]
    filled = [part + [part[-1]] * (batch - len(part)) for part in parts]
    length, rows = _shape(filled, probe.length)
    model = dataclasses.replace(probe.model, max_length=max(length, probe.model.max_length))
    found = []
    for part, whole in zip(parts, filled, strict=True):
        forks, _ = together(whole, length, probe.most, rows)
        classes = _predict(model, params, probe.adapter, probe.head, forks)
        found.append(np.asarray(classes)[: len(part)][forks.asked[: len(part)]])
    return np.concatenate(found)


def _optimizer(config: FitConfig) -> optax.GradientTransformation:
    rate = optax.linear_schedule(config.learning_rate, 0.0, config.steps)
    return optax.adamw(rate, b1=0.9, b2=0.98, weight_decay=config.weight_decay)


def _logits(model: TransformerConfig, params: Params, trained: Any, rows: Forks) -> jax.Array:
    """float32[N, Q, C]."""
    out = transformer.apply(
        model,
        lora.attach(params, trained["adapter"]),
        jnp.asarray(rows.tokens),
        positions=jnp.asarray(rows.positions),
        visible=visible(rows),
        logits=False,
    )
    assert out.final is not None  # asked for
    ends = out.final.reshape(-1, model.width)[rows.ends].astype(jnp.float32)
    return ends @ trained["head"]["kernel"] + trained["head"]["bias"]


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(3, 4))
def _update(
    config: FitConfig,
    model: TransformerConfig,
    params: Params,
    trained: Any,
    state: Any,
    rows: Forks,
    truth: jax.Array,
) -> tuple[Any, Any]:
    def loss(trained: Any) -> jax.Array:
        each = optax.softmax_cross_entropy_with_integer_labels(
            _logits(model, params, trained, rows), truth
        )
        return (each * rows.asked).sum() / rows.asked.sum()

    change, state = _optimizer(config).update(jax.grad(loss)(trained), state, trained)
    return optax.apply_updates(trained, change), state


@functools.partial(jax.jit, static_argnums=0)
def _predict(
    model: TransformerConfig, params: Params, adapter: Any, head: Any, rows: Forks
) -> jax.Array:
    return _logits(model, params, {"adapter": adapter, "head": head}, rows).argmax(-1)
