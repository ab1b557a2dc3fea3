"""Strings to evaluate language models on, and averages over them.

They are fresh: of the clean language whatever a model was trained on, and of a stream that no
training reads.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from physlm_jax.data import World, cfg
from physlm_jax.data.hashing import stream_key
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError


class Mean(NamedTuple):
    """An average over independent strings, its standard error (None for one) and their number."""

    value: float
    error: float | None
    n: int

    @classmethod
    def of(cls, values: np.ndarray) -> Mean:
        n = len(values)
        error = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else None
        return cls(float(np.mean(values)), error, n)


def fresh(world: cfg.CfgWorld, seed: int, count: int, start: int = 0) -> Ragged:
    """Returns strings start..start+count-1 for evaluation: of the clean language, no training's."""
    clean = dataclasses.replace(world, corruption=cfg.Corruption())
    return clean.strings(stream_key(seed, "generation"), start, count)


def as_cfg(world: World) -> cfg.CfgWorld:
    """Returns the world itself if it is a language with exact oracles.

    Raises:
        InputError: it is another kind of world.
    """
    if isinstance(world, cfg.CfgWorld):
        return world
    raise InputError(f"{type(world).__name__} has no parser: this needs config.data.world = 'cfg'")


def check_count(count: int) -> None:
    """Raises InputError unless there is at least one string to average over."""
    if count < 1:
        raise InputError(f"count {count}: expected at least 1 string")
