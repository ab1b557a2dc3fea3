"""The world bioD of arXiv 2404.05405, for configurations; `bios.diversity` makes it."""

from __future__ import annotations

from physlm_jax.data.bios.diversity import ROLES, Diversity
from physlm_jax.data.bios.people import Population

__all__ = ["ROLES", "Diversity", "world"]


def world(
    people: int = 1000,
    attributes: int = 1,
    chunks: int = 1,
    diversity: int = 10,
    length: int = 1,
    alphabet: int = 20,
    pools: str = "full",
    seed: int = 0,
) -> Diversity:
    """Returns the world bioD(N, K, C, D, L, T) that a config describes.

    Args:
        people: N.  attributes: K, of a person.  chunks: C, of a value.
        diversity: D, different chunks of an attribute.  length: L, symbols of a chunk.
        alphabet: T, symbols.
        pools: of names: "full", "mini" or a JSON file.
        seed: of who the people are and what is true of them.

    Raises:
        InputError: any of these is wrong.
    """
    group = Population(people, seed, pools)
    return Diversity(group, attributes, chunks, diversity, length, alphabet)
