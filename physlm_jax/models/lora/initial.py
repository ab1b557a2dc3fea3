"""Fresh adapters: at the start one factor is zero, so the adapted model is the base, bit by bit."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from physlm_jax.errors import InputError
from physlm_jax.models.lora.adapter import STACKED, Adapter, LowRank, column_lengths, stable
from physlm_jax.models.lora.rules import Rule, Target, chosen
from physlm_jax.models.paths import at, nested
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.models.weights import original


def init(
    config: TransformerConfig, rules: Sequence[Rule], key: jax.Array, base: Params | None = None
) -> Adapter:
    """Returns a fresh adapter; traceable, and from the configuration's shapes alone.

    Every array is drawn with a key of its own path and layer: another rule more does not change it.

    Args:
        base: only where rules ask for DoRA (the lengths of its columns) or `full` (its values).
    Raises:
        InputError: rules that do not fit the model; a base that is needed and not given.
    """
    grouped: dict[tuple[str, ...], dict[Target, Rule]] = {}
    for target, rule in chosen(config, rules).items():
        grouped.setdefault(target.path, {})[target] = rule
    return nested({p: _leaf(config, each, key, at(base, p)) for p, each in grouped.items()})


def _leaf(
    config: TransformerConfig,
    targets: dict[Target, Rule],
    key: jax.Array,
    base: jax.Array | None,
) -> LowRank | jax.Array:
    first, rule = next(iter(targets.items()))
    if base is None and (rule.full or rule.dora):
        raise InputError(f"lora rule '{rule.pattern}' needs the base's parameters")
    if rule.full:
        return original(base)
    rank = max(rule.rank for rule in targets.values())
    stacked = first.path[0] == STACKED
    by_layer = {target.layer: (target, rule) for target, rule in targets.items()}
    layers = range(config.layers) if stacked else [None]
    pairs, scales = [], []
    for layer in layers:
        target, own = by_layer.get(layer, (first, None))
        pairs.append(_pair(target, own, rank, key))
        scales.append(own.factor if own else 0.0)
    down, up = (jnp.stack(each) if stacked else each[0] for each in zip(*pairs, strict=True))
    magnitude = None
    if rule.dora and base is not None:
        inputs = tuple(range(int(stacked), int(stacked) + first.inputs))
        magnitude = column_lengths(original(base).astype(jnp.float32), inputs)
    return LowRank(down, up, magnitude, tuple(scales), rule.dropout, rule.tied)


def _pair(
    target: Target, rule: Rule | None, rank: int, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """down and up of one layer, filled up with zeros to `rank`; all zero without a rule."""
    inputs, outputs = target.shape[: target.inputs], target.shape[target.inputs :]
    own = rule.rank if rule else 0
    down, up = jnp.zeros((*inputs, own)), jnp.zeros((own, *outputs))
    if rule:
        draw = jax.random.fold_in(key, stable(target.name.split("/")))
        if rule.init == "gaussian":
            down = jax.random.normal(draw, down.shape) / own
        elif rule.init == "zero_down":
            up = jax.random.normal(draw, up.shape) / own**0.5
        elif target.is_table:
            up = jax.random.normal(draw, up.shape)
        else:
            fan_in = down.size // own
            down = jax.random.uniform(draw, down.shape, minval=-1, maxval=1) / fan_in**0.5
    more = rank - own
    down = jnp.pad(down, [(0, 0)] * len(inputs) + [(0, more)])
    return down, jnp.pad(up, [(0, more)] + [(0, 0)] * len(outputs))
