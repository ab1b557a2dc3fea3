"""Training data: many whole examples at once, straight from random streams to tokens.

An example is <problem> prompt <solution> solution <answer> answer <end>, as in arXiv 2407.20311,
section 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physlm_jax.data.compiled import compiled
from physlm_jax.data.hashing import example_keys, mix, stream_key
from physlm_jax.data.igsm.candidates import Lists, draw_problem
from physlm_jax.data.igsm.language import ANSWER, END, NUMBER, PROBLEM, SOLUTION
from physlm_jax.data.igsm.solutions import MISS, RETRY, WEAK, WEAK_OR_SAME, write_solution
from physlm_jax.data.igsm.spec import Spec
from physlm_jax.data.igsm.streams import Starts, find_starts
from physlm_jax.data.igsm.structure import Sizes
from physlm_jax.data.igsm.tokenizers import Tokenizer, tokenizer
from physlm_jax.data.igsm.writing import (
    KEPT,
    PROMPT,
    Writer,
    new_writer,
    put,
    with_room,
    write_prompt,
)
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError, unknown

ORDERS = ("pq", "qp")
KINDS = {"retry": RETRY, "retry_weak": WEAK, "retry_weak_same": WEAK_OR_SAME, "retry_miss": MISS}
MASKS = {"none": (1, 1), "name": (0, 1), "all": (0, 0)}  # weights of a wrong name, of the rest
_ROOM = 8192  # pieces of one example; longer ones (very many mistakes) are drawn anew
_REDRAWS = 100


@dataclass(frozen=True)
class Retry:
    """Mistakes that are taken back at once: `Define <wrong> as BACK.`

    Attributes:
        rate: probability of a mistake before each step, and after each mistake.
        kind: which parameters are named: "retry", those that cannot be computed yet;
            "retry_weak", those of later steps; "retry_weak_same", and of this one; "retry_miss",
            any of the statement that is not solved yet.
        mask: what of a mistake bears no loss: "none", "name" (the wrong parameter's name) or
            "all" (also the words around it, but not BACK and its full stop).

    Source: arXiv 2408.16293, section 4 and Results 8.
    """

    rate: float = 0.0
    kind: str = "retry"
    mask: str = "none"

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise InputError(f"iGSM: the retry rate must be in [0, 1), got {self.rate}")
        if self.kind not in KINDS:
            raise unknown("kind of retry", self.kind, KINDS, "iGSM")
        if self.mask not in MASKS:
            raise unknown("mask of retries", self.mask, MASKS, "iGSM")


def tokens(
    spec: Spec,
    vocabulary: Tokenizer | str,
    seed: int,
    start: int,
    count: int,
    *,
    order: str = "pq",
    retry: Retry | None = None,
    most: int = 0,
    prompt_weight: float = 1.0,
    symbol_weight: float = 1.0,
) -> Ragged:
    """Returns examples start..start+count-1 of the stream `seed` as tokens.

    Example i is that of `sample`'s problem i, unless that one is too long.

    Args:
        vocabulary: how pieces are spelled; of the same specification, or the kind of one (see
            `tokenizer`).
        order: "pq", the statement first, or "qp", the question first.
        retry: mistakes in the solutions; None for none.
        most: longer examples are drawn anew, in tokens; 0 for no limit.
        prompt_weight, symbol_weight: of the loss of the prompt's tokens, and of the letters that
            new symbols get, which nobody can tell beforehand; the papers' models read all alike.

    Returns:
        A Ragged, with the label `weights`, float32[total], if not all tokens weigh 1.

    Raises:
        InputError: a negative start or count, there are no such problems, or an unknown order.
    """
    if order not in ORDERS:
        raise unknown("order", order, ORDERS, "iGSM")
    if isinstance(vocabulary, str):
        vocabulary = tokenizer(spec, vocabulary)
    vocabulary.check(spec)
    if not min(prompt_weight, symbol_weight) >= 0:  # not a number neither
        raise InputError(
            "iGSM: prompt_weight and symbol_weight must be at least 0, got "
            f"{prompt_weight} and {symbol_weight}"
        )
    retry = retry or Retry()
    weights = np.array([1, *MASKS[retry.mask], prompt_weight, symbol_weight], np.float32)
    keys = example_keys(seed, start, count)
    found = _spelled(spec, vocabulary, keys, order, retry, weights)
    limit = most or np.iinfo(np.int64).max
    for redraw in range(1, _REDRAWS):
        long = np.flatnonzero((found.lengths > limit) | (found.lengths == 0))
        if not len(long):
            return found
        again = mix(keys[long] + np.uint64(redraw))
        found = _replaced(found, long, _spelled(spec, vocabulary, again, order, retry, weights))
    raise InputError(f"iGSM: an example has more than {most} tokens however it is drawn")


def _spelled(
    spec: Spec,
    vocabulary: Tokenizer,
    keys: np.ndarray,
    order: str,
    retry: Retry,
    weights: np.ndarray,
) -> Ragged:
    """The examples of these keys, tokens weighed by their kind; empty without enough room."""
    begun = find_starts(spec, keys)
    mistakes = mix(keys ^ np.uint64(stream_key(0, "mistakes")))
    writer, offsets = _write(
        spec.sizes,
        spec.lists,
        spec.reask,
        begun,
        order == "qp",
        retry.rate,
        KINDS[retry.kind],
        mistakes,
    )
    written = offsets[-1]
    found, lengths = vocabulary.spell(writer.pieces[:written])
    if lengths is not None:
        offsets = np.concatenate([[0], np.cumsum(lengths)])[offsets]
    if (weights == 1).all():
        return Ragged(found, offsets)
    each = weights[writer.kinds[:written]]
    return Ragged(found, offsets, {"weights": each if lengths is None else each.repeat(lengths)})


def _replaced(whole: Ragged, places: np.ndarray, parts: Ragged) -> Ragged:
    """The same sequences, but for those at some places."""
    chosen = [parts.slice(i, i + 1) for i in range(len(parts))]
    rows = [whole.slice(i, i + 1) for i in range(len(whole))]
    for place, part in zip(places, chosen, strict=True):
        rows[place] = part
    offsets = np.concatenate([[0], np.cumsum([len(r.tokens) for r in rows])])
    labels = {name: np.concatenate([r.labels[name] for r in rows]) for name in whole.labels}
    return Ragged(np.concatenate([r.tokens for r in rows]), offsets, labels)


@compiled
def _write(
    sizes: Sizes,
    lists: Lists,
    reask: bool,
    begun: Starts,
    question_first: bool,
    rate: float,
    kind: int,
    mistakes: np.ndarray,
) -> tuple[Writer, np.ndarray]:
    """Writes every example; int64[n + 1], where each begins and ends."""
    offsets = np.zeros(len(mistakes) + 1, np.int64)
    writer = new_writer(300 * len(mistakes))
    state = np.zeros(1, np.uint64)
    for i in range(len(mistakes)):
        state[0] = begun.states[i]
        found, problem = draw_problem(sizes, lists, reask, begun.targets[i], state)
        writer = with_room(writer, _ROOM)
        first = writer.written[0]
        put(writer, PROBLEM, KEPT)
        write_prompt(writer, problem, question_first)
        writer.kinds[first : writer.written[0]] = PROMPT
        put(writer, SOLUTION, KEPT)
        write_solution(writer, problem, rate, kind, mistakes[i : i + 1])
        put(writer, ANSWER, KEPT)
        put(writer, NUMBER + problem.value[problem.order[-1]], KEPT)
        put(writer, END, KEPT)
        if not found or writer.written[0] - first > _ROOM:
            writer.written[0] = first
        offsets[i + 1] = writer.written[0]
    return writer, offsets
