"""The template of a solution, and the bin that it falls into: the split into training and test.

In a template every parameter's name is "Inst" or "Inter", every number 0, every ";" a "." and the
letters are a, b, ... in the order in which they appear. Its bin is SHA-256 of it modulo 23. It is
built from the pieces of the solution, never by replacing names in text (which goes wrong where a
name is part of another). Source: arXiv 2407.20311, footnote 11.
"""

import hashlib

import numpy as np

from physlm_jax.data.compiled import compiled
from physlm_jax.data.igsm.formulas import Problem
from physlm_jax.data.igsm.language import LETTER, NAMES, NUMBER, PIECES, mark
from physlm_jax.data.igsm.solutions import RETRY, write_solution
from physlm_jax.data.igsm.structure import INSTANCE
from physlm_jax.data.igsm.writing import KEPT, Writer, new_writer, put

BINS = 23

_INSTANCE, _ABSTRACT = NAMES, NAMES + 1
_TEXTS = (*PIECES, " Inst", " Inter")
_FULL_STOP, _SEMICOLON, _OWNS = mark("."), mark(";"), mark("'s")
ROOM = 2048  # pieces; a solution has at most 20 for each of at most 52 operations


@compiled
def write_template(writer: Writer, problem: Problem) -> None:
    """Writes the pieces of a solution's template."""
    plain = new_writer(ROOM)
    write_solution(plain, problem, 0.0, RETRY, np.zeros(1, np.uint64))
    letters = np.full(NAMES, -1, np.int32)
    seen, step = 0, 0
    for n in range(plain.written[0]):
        piece = plain.pieces[n]
        if piece == _OWNS:  # between the two halves of a name
            p = problem.order[step]
            step += 1
            instance = problem.structure.ids[p, 0] == INSTANCE
            put(writer, _INSTANCE if instance else _ABSTRACT, KEPT)
        elif piece >= NAMES:
            continue
        elif piece >= LETTER:
            if letters[piece] < 0:
                letters[piece] = seen
                seen += 1
            put(writer, LETTER + letters[piece], KEPT)
        elif piece >= NUMBER:
            put(writer, NUMBER, KEPT)
        else:
            put(writer, _FULL_STOP if piece == _SEMICOLON else piece, KEPT)


def spell(pieces: np.ndarray) -> str:
    """Returns a template as text."""
    return "".join([_TEXTS[piece] for piece in pieces.tolist()])


def bin_of(text: str) -> int:
    """Returns the bin 0..22 of a template's text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big") % BINS


def template(problem: Problem) -> str:
    """Returns the text of the template of a problem's solution."""
    writer = new_writer(ROOM)
    write_template(writer, problem)
    return spell(writer.pieces[: writer.written[0]])
