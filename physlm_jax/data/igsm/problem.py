"""A problem in Python: its texts, its parameters and its truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from physlm_jax.data.hashing import example_keys, stream_key
from physlm_jax.data.igsm import formulas
from physlm_jax.data.igsm.emission import KINDS, ORDERS, Retry
from physlm_jax.data.igsm.language import NAMES, PIECES
from physlm_jax.data.igsm.solutions import write_solution
from physlm_jax.data.igsm.spec import Spec
from physlm_jax.data.igsm.streams import draw, find_starts
from physlm_jax.data.igsm.structure import INSTANCE
from physlm_jax.data.igsm.templates import bin_of, template
from physlm_jax.data.igsm.writing import KEPT, Writer, new_writer, write_name, write_prompt
from physlm_jax.errors import unknown

Id = tuple[int, int, int, int]
"""A parameter: (t, i, j, k), t = 0 how many items (i + 1, k) each item (i, j) has, t = 1 how many
items of the category of layer k; layers and items are counted from 0, layer 0 is the coarsest."""

_ROOM = 8192


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem with its solution.

    Attributes:
        arrays: its structure, formulas and values: see `formulas.Problem`.
        names: what `arrays.names` are indices of.
    """

    arrays: formulas.Problem
    names: tuple[str, ...]

    @cached_property
    def op(self) -> int:
        """Operations of the solution: the number of its ";"."""
        counts, constant = self.arrays.deps.counts.tolist(), self.arrays.deps.constant.tolist()
        return sum([max(counts[n] + constant[n] - 1, 1) for n in self.arrays.order.tolist()])

    @property
    def answer(self) -> int:
        """The value asked for, 0..22."""
        return int(self.arrays.value[self.arrays.order[-1]])

    @property
    def query(self) -> Id:
        """The parameter asked for."""
        t, i, j, k = self.arrays.structure.ids[self.arrays.order[-1]].tolist()
        return t, i, j, k

    @cached_property
    def params(self) -> list[Id]:
        """Every parameter: all instance ones, then all abstract ones."""
        return [tuple(row) for row in self.arrays.structure.ids.tolist()]

    def used(self, place: int) -> list[int]:
        """The places of what one parameter uses, in the order of the text."""
        deps = self.arrays.deps
        return deps.used[place, : deps.counts[place]].tolist()

    @cached_property
    def uses(self) -> list[list[int]]:
        """For each parameter the places of those it uses, in the order of the text."""
        deps = self.arrays.deps
        counts = deps.counts.tolist()
        return [row[:n] for row, n in zip(deps.used.tolist(), counts, strict=True)]

    @cached_property
    def items(self) -> list[list[str]]:
        """The names of the items of each layer."""
        widths, names = self.arrays.structure.widths.tolist(), self.arrays.names.tolist()
        return [[self.names[n] for n in row[:w]] for row, w in zip(names, widths, strict=True)]

    @cached_property
    def categories(self) -> list[str]:
        """The name of the category of each layer."""
        return [self.names[row[-1]] for row in self.arrays.names.tolist()]

    def place(self, param: Id) -> int:
        """Returns the place of a parameter in `params`; -1 for two items without an edge."""
        t, i, j, k = param
        structure = self.arrays.structure
        if t != INSTANCE:
            return int(structure.abstract[i, j, k])
        first = int(structure.first[i, j])
        held = structure.ids[first : first + int(structure.children[i, j]), 3].tolist()
        return first + held.index(k) if k in held else -1

    def name(self, param: Id) -> str:
        """Returns a parameter's name as solutions write it: "X's Y"."""
        t, i, j, k = param
        what = self.items[i + 1][k] if t == INSTANCE else self.categories[k]
        return f"{self.items[i][j]}'s {what}"

    def prompt(self, order: str = "pq") -> str:
        """Returns statement and question ("pq"), or question and statement ("qp").

        Raises:
            InputError: another order.
        """
        return self.told(self.prompt_pieces(order))

    def prompt_pieces(self, order: str = "pq") -> np.ndarray:
        """int32[n]: the prompt as pieces (see `language`); names are `NAMES` + n, of `names`.

        Raises:
            InputError: another order.
        """
        if order not in ORDERS:
            raise unknown("order", order, ORDERS, "iGSM")
        return self._pieces(lambda writer: write_prompt(writer, self.arrays, order == "qp"))

    def solution_pieces(self, rate: float = 0.0, kind: str = "retry", seed: int = 0) -> np.ndarray:
        """int32[n]: the solution as pieces, with mistakes that are taken back as of `retry`."""
        kind = Retry(rate, kind).kind
        key = stream_key(seed, "mistakes", self.arrays.letters.tobytes().hex())

        def write(writer: Writer) -> None:
            state = np.array([key], np.uint64)
            write_solution(writer, self.arrays, float(rate), KINDS[kind], state)

        return self._pieces(write)

    def name_pieces(self, place: int) -> np.ndarray:
        """int32[3]: the name of the parameter at a place of `params` as pieces."""
        return self._pieces(lambda writer: write_name(writer, self.arrays, place, KEPT))

    @cached_property
    def solution(self) -> str:
        """The solution's text, with its leading space and its last full stop."""
        return self.told(self.solution_pieces())

    @cached_property
    def template(self) -> str:
        """The solution's template: see `templates`."""
        return template(self.arrays)

    @property
    def bin(self) -> int:
        """The bin 0..22 of the template."""
        return bin_of(self.template)

    def _pieces(self, write: Callable[[Writer], None]) -> np.ndarray:
        """What is written, twice if it needs more room than is usual."""
        writer = new_writer(_ROOM)
        write(writer)
        if writer.written[0] > _ROOM:
            writer = new_writer(int(writer.written[0]))
            write(writer)
        return writer.pieces[: writer.written[0]]

    def told(self, pieces: np.ndarray) -> str:
        """Returns the text of pieces."""
        found = pieces.tolist()
        return "".join([PIECES[n] if n < NAMES else " " + self.names[n - NAMES] for n in found])

    def facts(self) -> dict[str, Any]:
        """Returns the problem as a record of plain values, for JSON; see `from_facts`."""
        from physlm_jax.data.igsm.facts import write

        return write(self)

    @classmethod
    def from_facts(cls, record: Mapping[str, Any], seed: int = 0) -> Problem:
        """Returns the problem of a record, made here or elsewhere.

        Args:
            record: see the documentation of worlds; indices from 0, layer 0 the coarsest.
            seed: of the symbols' letters and the order of the statement's sentences.

        Raises:
            InputError: the record is malformed; the message names the entry.
        """
        from physlm_jax.data.igsm.reading import read

        return read(record, seed)


def sample(spec: Spec, seed: int, start: int, count: int) -> list[Problem]:
    """Returns problems start..start+count-1 of the stream `seed`.

    Problem i depends on (spec, seed, i) alone.

    Raises:
        InputError: a negative start or count, or there are no such problems.
    """
    begun = find_starts(spec, example_keys(seed, start, count))
    pairs = zip(begun.targets, begun.states, strict=True)
    return [Problem(draw(spec, target, state), spec.all_names) for target, state in pairs]


def retry(problem: Problem, rate: float, kind: str = "retry", seed: int = 0) -> str:
    """Returns the solution with sentences `Define <wrong parameter> as BACK.` in it.

    Args:
        rate: probability of one before each step, and of another after each: 0 <= rate < 1.
        kind: see `Retry`.
        seed: of the mistakes.

    Raises:
        InputError: a rate or kind outside these.

    Source: arXiv 2408.16293, section 4; Result 8 for the other kinds.
    """
    return problem.told(problem.solution_pieces(rate, kind, seed))
