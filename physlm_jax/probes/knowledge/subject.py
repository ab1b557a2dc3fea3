"""Whose knowledge is measured: a group, and texts that say what there is to know of its members.

A text is the symbol that starts examples and what training has after it. Every token is part of
something to be known (a name, one of its values) or of nothing. `people` has the groups of
biographies, `diversity` those of bioD.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from physlm_jax.data.bios.capacity import Bits
from physlm_jax.data.ragged import Ragged

NOTHING = -1  # the part of tokens that are part of nothing


class Subject(Protocol):
    """A group, its texts, and what its losses say."""

    @property
    def label(self) -> str:
        """What it is called."""
        ...

    @property
    def n(self) -> int:
        """How many members it has."""
        ...

    @property
    def parts(self) -> tuple[str, ...]:
        """What there is to know of a member; the first is the name."""
        ...

    @property
    def counted(self) -> tuple[str, ...]:
        """The parts that are knowledge of their own, the name first."""
        ...

    @property
    def known(self) -> tuple[str, ...]:
        """The parts whose accuracy makes up the number of people that are known."""
        ...

    @property
    def kinds(self) -> int:
        """Different texts of a member; 0: any number."""
        ...

    def texts(self, members: np.ndarray, draw: int) -> Ragged:
        """Returns the draw-th text of each member, 0 <= member < n, the starting symbol first.

        Labels of every token: part int16, a place in `parts` or NOTHING; head bool, it belongs to
        the beginning of its part (the first token, or the first chunk).
        """
        ...

    def bits(self, losses: Mapping[str, float], heads: Mapping[str, float], params: int) -> Bits:
        """Returns what a model has stored.

        Args:
            losses: nats of each part, mean over members.  heads: of its beginning.
        """
        ...

    def ceilings(self) -> Mapping[str, float]:
        """Returns the bits of each part of one member that a model that knows all of it has."""
        ...


class Asked(NamedTuple):
    """What is measured of a world.

    Attributes:
        subjects: the groups.  used: V_used, ids that occur in the stream.
    """

    subjects: tuple[Subject, ...]
    used: int
