"""The people of bioD(N, K, C, D, L, T), as subjects of capacity: names, values and first chunks.

The parts of a paragraph are the name and the values of the attributes ID 1 .. ID K; the beginning
of a value is its first chunk, whose loss says what is known of the diversity sets. Source: arXiv
2404.05405, sections 2 and 3 (theorem 3.2: p1, p2, p3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from physlm_jax.data.bios.capacity import Bits, biod_bits
from physlm_jax.data.bios.diversity import FIRST_CHUNK, NAME, OTHER, Diversity
from physlm_jax.data.bios.used import used_ids
from physlm_jax.data.ragged import Ragged
from physlm_jax.probes.knowledge.subject import NOTHING, Asked


@dataclass(frozen=True)
class BiodGroup:
    """Everybody of a world bioD; see `Subject`.

    Attributes:
        world: bioD.  seed: of the orders of sentences, which are fresh.
    """

    world: Diversity
    seed: int = 0

    @property
    def label(self) -> str:
        """The world's numbers."""
        return f"bioD({', '.join(map(str, (self.n, *self._shape)))})"

    @property
    def _shape(self) -> tuple[int, int, int, int, int]:
        """K, C, D, L, T."""
        w = self.world
        return w.attributes, w.chunks, w.diversity, w.length, w.alphabet

    @property
    def n(self) -> int:
        """N."""
        return self.world.people.n

    @property
    def kinds(self) -> int:
        """0: any number."""
        return 0

    @property
    def parts(self) -> tuple[str, ...]:
        """The name and the K attributes."""
        return ("name", *self.known)

    counted = parts

    @property
    def known(self) -> tuple[str, ...]:
        """The K attributes."""
        return tuple(f"ID {a + 1}" for a in range(self.world.attributes))

    def texts(self, members: np.ndarray, draw: int) -> Ragged:
        """See `Subject`."""
        shown = np.stack([members, np.full_like(members, draw)], 1)
        whole = self.world.paragraphs(shown, self.seed)
        length = int(whole.lengths[0])  # of all, and roles stand where they stand in all
        tokens, role = (x.reshape(-1, length)[:, :-1] for x in (whole.tokens, whole.role))
        starts = 1 + np.flatnonzero((role[0, :-1] == OTHER) & (role[0, 1:] == FIRST_CHUNK))
        numbers = tokens[:, starts - 2] - self.world.vocabulary.encode(" 1")[0]  # ID 7 is ..
        part = np.where(role == NAME, 0, NOTHING).astype(np.int16)
        size = np.count_nonzero(role[0] > NAME) // len(starts)
        for start, number in zip(starts, numbers.T, strict=True):
            part[:, start : start + size] = 1 + number[:, None]
        head = role == FIRST_CHUNK
        head[:, np.argmax(role[0] == NAME)] = True
        offsets = (length - 1) * np.arange(len(members) + 1)
        return Ragged(
            tokens.reshape(-1), offsets, {"part": part.reshape(-1), "head": head.reshape(-1)}
        )

    def bits(self, losses: Mapping[str, float], heads: Mapping[str, float], params: int) -> Bits:
        """See `Subject`; bioD of section 6.2: values and first chunks are means over attributes."""
        w = self.world
        value, chunk = (
            sum(x[part] for part in self.known) / len(self.known) for x in (losses, heads)
        )
        shape = (w.attributes, w.chunks, w.diversity, w.length, w.alphabet)
        names = w.people.lists.names
        return biod_bits(self.n, *shape, names, losses["name"], value, chunk, params)

    def ceilings(self) -> Mapping[str, float]:
        """See `Subject`; the diversity sets come on top."""
        value = self.world.chunks * math.log2(self.world.diversity)
        name = math.log2(self.world.people.lists.names / self.n)
        return {"name": name, **dict.fromkeys(self.known, value)}


def groups(world: Diversity, strict: bool, seed: int) -> Asked:
    """Returns the group of a world; see `subjects.asked`."""
    del strict  # no value gives another one away
    return Asked((BiodGroup(world, seed),), len(used_ids(world)))
