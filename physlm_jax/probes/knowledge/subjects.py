"""What is measured of a run's world; another kind of world joins by a function in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from physlm_jax.data.bios import BiosWorld
from physlm_jax.data.bios.diversity import Diversity
from physlm_jax.errors import InputError
from physlm_jax.probes.knowledge import diversity, people
from physlm_jax.probes.knowledge.subject import Asked

KINDS: dict[type, Callable[[Any, bool, int], Asked]] = {
    BiosWorld: people.groups,
    Diversity: diversity.groups,
}


def asked(world: Any, strict: bool = True, seed: int = 0) -> Asked:
    """Returns the groups of a run's world, and how many ids its stream has.

    Args:
        strict: leave out values that another one gives away.  seed: of fresh wordings.
    Raises:
        InputError: a world without names and values.
    """
    for kind, groups in KINDS.items():
        if isinstance(world, kind):
            return groups(world, strict, seed)
    raise InputError(f"{type(world).__name__} has no names and values to count in bits")
