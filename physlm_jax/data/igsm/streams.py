"""Streams of problems: problem i of a seed, for any i, one at a time or many together.

What tells one problem from another is the state of the random stream at which it begins; drawing
from there again gives it again. A problem whose template falls into a bin that is not allowed is
drawn once more, from where its stream then stands.
"""

import itertools
from typing import NamedTuple

import numpy as np

from physlm_jax.data.compiled import compiled
from physlm_jax.data.igsm.candidates import Lists, draw_problem, draw_target
from physlm_jax.data.igsm.formulas import Problem
from physlm_jax.data.igsm.spec import Spec, check_reachable
from physlm_jax.data.igsm.structure import Sizes
from physlm_jax.data.igsm.templates import BINS, ROOM, bin_of, spell, write_template
from physlm_jax.data.igsm.writing import Writer, new_writer, with_room
from physlm_jax.errors import InputError

_ROUNDS = 2000  # of one problem, before its bins are taken to be out of reach


class Starts(NamedTuple):
    """Where problems begin.

    Attributes:
        targets: int32[n], the operations asked for.
        states: uint64[n], the states of their random streams.
    """

    targets: np.ndarray
    states: np.ndarray


def find_starts(spec: Spec, keys: np.ndarray) -> Starts:
    """Returns where the problems of these keys begin.

    Raises:
        InputError: there are no such problems.
    """
    check_reachable(spec)
    states = keys.copy()
    targets = _draw_targets(spec.sizes, states)
    if len(spec.bins) == BINS and not spec.reask:
        return Starts(targets, states)
    allowed = np.isin(np.arange(BINS), spec.bins)
    found, pending = states.copy(), np.arange(len(keys))
    for _ in range(_ROUNDS):
        ends = states[pending]
        writer, offsets = _templates(spec.sizes, spec.lists, spec.reask, targets[pending], ends)
        texts = [spell(writer.pieces[a:b]) for a, b in itertools.pairwise(offsets)]
        accepted = np.array([text != "" and allowed[bin_of(text)] for text in texts], bool)
        found[pending] = states[pending]
        states[pending] = ends
        pending = pending[~accepted]
        if not len(pending):
            return Starts(targets, found)
    raise InputError(
        f"iGSM: none of {_ROUNDS} problems with {targets[pending[0]]} operations is in the bins "
        f"{list(spec.bins)}: such short solutions have few templates; ask for more operations"
    )


def draw(spec: Spec, target: int, start: int) -> Problem:
    """Returns the problem that begins there: see `Starts`.

    Raises:
        InputError: there is none.
    """
    state = np.array([start], np.uint64)
    found, problem = draw_problem(spec.sizes, spec.lists, spec.reask, int(target), state)
    if not found:
        raise InputError(f"iGSM: no problem with {target} operations was found")
    return problem


@compiled
def _draw_targets(sizes: Sizes, states: np.ndarray) -> np.ndarray:
    """int32[n]: operations drawn from each stream, which moves on."""
    targets = np.empty(len(states), np.int32)
    for i in range(len(states)):
        targets[i] = draw_target(sizes, states[i : i + 1])
    return targets


@compiled
def _templates(
    sizes: Sizes, lists: Lists, reask: bool, targets: np.ndarray, states: np.ndarray
) -> tuple[Writer, np.ndarray]:
    """The templates of one problem of each stream, which moves on; empty where there is none."""
    offsets = np.zeros(len(states) + 1, np.int64)
    writer = new_writer(200 * len(states))
    for i in range(len(states)):
        found, problem = draw_problem(sizes, lists, reask, targets[i], states[i : i + 1])
        if found:
            writer = with_room(writer, ROOM)
            write_template(writer, problem)
        offsets[i + 1] = writer.written[0]
    return writer, offsets
