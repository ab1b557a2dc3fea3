"""Synthetic worlds whose truth is known exactly: pure-function generators and their oracles.

A world is a folder here with a function `world(**options) -> World`; a config names it by
`config.data.world` and passes the other keys of `config.data` as options. Nothing else has to
know about it: the pipeline, the trainer and the entry points see the `World` protocol alone.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol

from physlm_jax.data.ragged import Ragged
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError, unknown


class World(Protocol):
    """What the pipeline asks of a world. Implementations are frozen dataclasses."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Every token id an example can hold."""
        ...

    @property
    def mean_length(self) -> float:
        """Expected number of tokens of one example, BOS and EOS included."""
        ...

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns training examples start..start+count-1 of the stream `seed`, BOS .. EOS.

        Example i depends on (self, seed, i) alone. 0 <= start, start + count <= 2**64.
        """
        ...


def worlds() -> list[str]:
    """Returns the names of the worlds on offer: the packages in this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg)


def open_world(options: Mapping[str, Any]) -> World:
    """Returns the world that `config.data` describes: its key `world`, the rest its options.

    Raises:
        InputError: no such world, or an option that it does not have.
    """
    rest = dict(options)
    name = rest.pop("world", None)
    if name not in worlds():
        raise unknown("world", name, worlds(), "config.data.world")
    make = importlib.import_module(f"{__name__}.{name}").world
    known = inspect.signature(make).parameters
    for key in rest:
        if key not in known:
            raise unknown("option", key, known, f"config.data of world '{name}'")
    try:
        return make(**rest)
    except TypeError as error:
        raise InputError(f"config.data of world '{name}': {error}") from None
