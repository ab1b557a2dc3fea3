"""Problems as text, in pieces: the statement, the question. The solution is in `solutions`.

Source: the grammar of the authors' generator (arXiv 2407.20311, section 2 and appendix).
"""

from typing import Any, NamedTuple

import numpy as np

from physlm_jax.data.compiled import compiled
from physlm_jax.data.igsm.formulas import DIFFERENCE, NONE, PLAIN, SINGLE, TIMES, Problem
from physlm_jax.data.igsm.language import NAMES, NUMBER, mark, phrase
from physlm_jax.data.igsm.structure import INSTANCE

# kinds of pieces: of a BACK sentence its name, and the rest of it; the letter of a new symbol
KEPT, WRONG_NAME, WRONG_FRAME, PROMPT, SYMBOL = 0, 1, 2, 3, 4

_THE_NUMBER = phrase("The number of each")
_EQUALS = phrase("equals")
_EACH = phrase("each")
_MORE = phrase("more than")
_TIMES = phrase("times as much as")
_SUM = phrase("the sum of")
_DIFFERENCE = phrase("the difference of")
_AND = phrase("and")
_HOW_MANY, _DOES, _HAVE = phrase("How many"), phrase("does"), phrase("have?")
_OWNS, _COMMA, _FULL_STOP = mark("'s"), mark(","), mark(".")


class Writer(NamedTuple):
    """Where pieces go. Beyond the room they are counted alone.

    Attributes:
        pieces: int32[room].  kinds: uint8[room], KEPT..
        written: int64[1], how many pieces there are.
    """

    pieces: np.ndarray
    kinds: np.ndarray
    written: np.ndarray


@compiled
def new_writer(room: int) -> Writer:
    """Returns an empty writer."""
    return Writer(np.zeros(room, np.int32), np.zeros(room, np.uint8), np.zeros(1, np.int64))


@compiled
def with_room(writer: Writer, more: int) -> Writer:
    """Returns the writer, or a larger one with the same text, with room for so many pieces."""
    written = writer.written[0]
    if written + more <= len(writer.pieces):
        return writer
    larger = new_writer(2 * len(writer.pieces) + more)
    larger.pieces[:written] = writer.pieces[:written]
    larger.kinds[:written] = writer.kinds[:written]
    larger.written[0] = written
    return larger


@compiled
def put(writer: Writer, piece: Any, kind: int) -> None:
    """Writes one piece."""
    n = writer.written[0]
    if n < len(writer.pieces):
        writer.pieces[n] = piece
        writer.kinds[n] = kind
    writer.written[0] = n + 1


@compiled
def say(writer: Writer, words: np.ndarray) -> None:
    """Writes a phrase."""
    for piece in words:
        put(writer, piece, KEPT)


@compiled
def write_name(writer: Writer, problem: Problem, p: int, kind: int) -> None:
    """Writes a parameter's name: "X's Y"."""
    t, i, j, k = problem.structure.ids[p]
    put(writer, NAMES + problem.names[i, j], kind)
    put(writer, _OWNS, kind)
    put(writer, NAMES + _what(problem, t, i, k), kind)


@compiled
def _what(problem: Problem, t: int, i: int, k: int) -> int:
    """The name of what a parameter counts."""
    if t == INSTANCE:
        return problem.names[i + 1, k]
    return problem.names[k, -1]


@compiled
def write_statement(writer: Writer, problem: Problem) -> None:
    """Writes a sentence for every instance parameter."""
    for p in problem.statement:
        say(writer, _THE_NUMBER)
        write_name(writer, problem, p, KEPT)
        say(writer, _EQUALS)
        if problem.inner[p] == NONE or problem.outer[p] != PLAIN:
            put(writer, NUMBER + problem.constant[p], KEPT)
        if problem.inner[p] != NONE:
            if problem.outer[p] != PLAIN:
                say(writer, _TIMES if problem.outer[p] == TIMES else _MORE)
            _write_base(writer, problem, p)
        put(writer, _FULL_STOP, KEPT)


@compiled
def _write_base(writer: Writer, problem: Problem, p: int) -> None:
    """One parameter, or the sum or difference of several."""
    if problem.inner[p] != SINGLE:
        say(writer, _DIFFERENCE if problem.inner[p] == DIFFERENCE else _SUM)
    count = problem.deps.counts[p]
    for c in range(count):
        if c and c == count - 1:
            say(writer, _AND)
        elif c:
            put(writer, _COMMA, KEPT)
        say(writer, _EACH)
        write_name(writer, problem, problem.deps.used[p, c], KEPT)


@compiled
def write_question(writer: Writer, problem: Problem) -> None:
    """Writes "How many Y does X have?"."""
    t, i, j, k = problem.structure.ids[problem.order[-1]]
    say(writer, _HOW_MANY)
    put(writer, NAMES + _what(problem, t, i, k), KEPT)
    say(writer, _DOES)
    put(writer, NAMES + problem.names[i, j], KEPT)
    say(writer, _HAVE)


@compiled
def write_prompt(writer: Writer, problem: Problem, question_first: bool) -> None:
    """Writes statement and question, in either order."""
    if question_first:
        write_question(writer, problem)
    write_statement(writer, problem)
    if not question_first:
        write_question(writer, problem)
