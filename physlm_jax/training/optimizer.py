"""AdamW with warm-up, a learning-rate schedule and gradient clipping, as the papers use it."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from physlm_jax.errors import InputError, unknown

SCHEDULES = ("constant", "linear", "cosine")


def schedule(config: ConfigDict, steps: int) -> optax.Schedule:
    """Returns step -> learning rate.

    Linear warm-up from 0 over `warmup` steps (update 0 already moves: it gets 1/warmup of the
    peak), then constant, or linear or cosine decay that ends at `final_fraction` of the peak when
    the last of `steps` updates is done.

    Args:
        config: config.optimizer; reads learning_rate, warmup (steps), schedule, final_fraction.
        steps: total number of updates of the run.
    """
    peak, warmup, kind = config.learning_rate, config.warmup, config.schedule
    if kind not in SCHEDULES:
        raise unknown("schedule", kind, SCHEDULES, "config.optimizer.schedule")
    if not 0 <= warmup <= steps:
        raise InputError(f"config.optimizer.warmup must be in 0..{steps} (steps), got {warmup}")

    def rate(step: jax.Array) -> jax.Array:
        ramp = jnp.minimum((step + 1) / max(warmup, 1), 1.0)
        done = jnp.clip((step - warmup) / max(steps - warmup, 1), 0.0, 1.0)
        left = {
            "constant": jnp.ones_like(done),
            "linear": 1 - done,
            "cosine": 0.5 * (1 + jnp.cos(jnp.pi * done)),
        }[kind]
        floor = config.final_fraction if kind != "constant" else 0.0
        return peak * ramp * (floor + (1 - floor) * left)

    return rate


def decayed(params: Any) -> Any:
    """Returns True for each leaf that weight decay acts on: matrices, not biases or norm scales."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: path[-1].key not in ("bias", "scale"), params
    )


def make_optimizer(config: ConfigDict, steps: int) -> optax.GradientTransformation:
    """Returns AdamW (decoupled decay scaled by the learning rate) behind global-norm clipping.

    Args:
        config: config.optimizer; reads clip (0: none), beta1, beta2, epsilon, weight_decay and the
            keys of `schedule`.
    """
    adamw = optax.adamw(
        schedule(config, steps),
        b1=config.beta1,
        b2=config.beta2,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        mask=decayed,
    )
    if config.clip < 0:
        raise InputError(f"config.optimizer.clip must be at least 0 (0: none), got {config.clip}")
    return optax.chain(optax.clip_by_global_norm(config.clip), adamw) if config.clip else adamw
