"""AdamW with warm-up, a learning-rate schedule and gradient clipping, as the papers use it; Muon.

What shapes the program (`Recipe`) is apart from the numbers that flow through it: the numbers live
in the train state, so that one compiled step serves every learning rate, and the members of a
population may each have their own.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from physlm_jax.errors import InputError, unknown
from physlm_jax.training.muon import scale_by_muon

KINDS = ("adamw", "muon")
SCHEDULES = ("constant", "linear", "cosine")
NUMBERS = (
    "learning_rate",
    "warmup",
    "final_fraction",
    "beta1",
    "beta2",
    "epsilon",
    "weight_decay",
    "clip",
)
Numbers = Mapping[str, ArrayLike]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The structure of the optimizer.

    Attributes:
        schedule: "constant", "linear" or "cosine".  steps: updates of the whole run.
        kind: "adamw", or "muon" for the matrices of the layers (see `muon`).
        clipped: whether gradients are clipped.
    """

    schedule: str
    steps: int
    clipped: bool
    kind: str = "adamw"


def recipe(config: ConfigDict, steps: int) -> Recipe:
    """Returns the structure that config.optimizer asks for.

    Raises:
        InputError: an unknown kind or schedule, or a number out of range.
    """
    if config.kind not in KINDS:
        raise unknown("optimizer", config.kind, KINDS, "config.optimizer.kind")
    if config.schedule not in SCHEDULES:
        raise unknown("schedule", config.schedule, SCHEDULES, "config.optimizer.schedule")
    if not 0 <= config.warmup <= steps:
        raise InputError(
            f"config.optimizer.warmup must be in 0..{steps} (steps), got {config.warmup}"
        )
    for name in ("learning_rate", "final_fraction", "epsilon", "weight_decay", "clip"):
        if not 0 <= config[name] < math.inf:
            raise InputError(f"config.optimizer.{name} must be at least 0, got {config[name]}")
    for name in ("beta1", "beta2"):
        if not 0 <= config[name] < 1:
            raise InputError(f"config.optimizer.{name} must be in [0, 1), got {config[name]}")
    return Recipe(config.schedule, steps, config.clip > 0, config.kind)


def numbers(config: ConfigDict) -> dict[str, np.float32]:
    """Returns the numbers of config.optimizer: see `NUMBERS`."""
    return {name: np.float32(config[name]) for name in NUMBERS}


def schedule(recipe: Recipe, numbers: Numbers) -> optax.Schedule:
    """Returns step -> learning rate.

    Linear warm-up from 0 over `warmup` steps (update 0 already moves: it gets 1/warmup of the
    peak), then constant, or linear or cosine decay that ends at `final_fraction` of the peak when
    the last of `steps` updates is done.

    Args:
        numbers: learning_rate (peak), warmup (steps), final_fraction; may be traced.
    """
    peak, warmup = numbers["learning_rate"], numbers["warmup"]

    def rate(step: Any) -> Any:
        ramp = jnp.minimum((step + 1) / jnp.maximum(warmup, 1), 1.0)
        done = jnp.clip((step - warmup) / jnp.maximum(recipe.steps - warmup, 1), 0.0, 1.0)
        left = {
            "constant": jnp.ones_like(done),
            "linear": 1 - done,
            "cosine": 0.5 * (1 + jnp.cos(jnp.pi * done)),
        }[recipe.schedule]
        floor = numbers["final_fraction"] if recipe.schedule != "constant" else 0.0
        return peak * ramp * (floor + (1 - floor) * left)

    return rate


def decayed(params: Any) -> Any:
    """Returns True for each leaf that weight decay acts on: not biases, scales and lengths."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: _last(path) not in ("bias", "scale", "magnitude"), params
    )


def _last(path: Any) -> str:
    return str(getattr(path[-1], "key", None) or path[-1].name)


def make_optimizer(recipe: Recipe, numbers: Numbers) -> optax.GradientTransformation:
    """Returns AdamW or Muon, behind global-norm clipping.

    Decay is decoupled and scaled by the learning rate.

    Args:
        numbers: see `NUMBERS`; may be traced.
    """
    rate = schedule(recipe, numbers)
    betas = (numbers["beta1"], numbers["beta2"], numbers["epsilon"])
    decay = numbers["weight_decay"]
    if recipe.kind == "muon":
        optimizer = optax.chain(
            scale_by_muon(*betas),
            optax.add_decayed_weights(decay, decayed),
            optax.scale_by_learning_rate(rate),
        )
    else:
        optimizer = optax.adamw(rate, *betas, weight_decay=decay, mask=decayed)
    if not recipe.clipped:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(numbers["clip"]), optimizer)
