"""Losses of names and values: sums over their tokens, in nats, and whether they are foretold.

Every text stands alone in its row, so that nothing but the starting symbol comes before it. A value
is right if each of its tokens is the likeliest one, those before it given.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.data.hashing import stream_key
from physlm_jax.data.permutation import permuted
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.probes.knowledge.subject import NOTHING, Subject

LEAST = 1000  # members that a measure needs, where there are as many
_ROOM = 2**26  # logits at once
_MEMBERS = 10_000  # whose texts exist at once
_STEP = 8  # rows have a multiple of so many tokens: few shapes to compile

Scorer = Callable[[Ragged], tuple[np.ndarray, np.ndarray]]
"""Texts -> for each of their tokens, laid end to end: float32[total], nats of it given those before
it in its text (0 for the first); bool[total], it is the likeliest one."""


@dataclass(frozen=True)
class Scores:
    """Means over a group; where a text lacks a part, over those that have it.

    Attributes:
        nats, head_nats: loss of each part, and of its beginning.
        right, head_right: share of texts where it is foretold.
        error: standard errors, between members, of the losses of the name, of all values that
            count (values), and of both (total).
        members, texts: how many were read.
    """

    nats: Mapping[str, float]
    head_nats: Mapping[str, float]
    right: Mapping[str, float]
    head_right: Mapping[str, float]
    error: Mapping[str, float]
    members: int
    texts: int


def transformer_scorer(model: TransformerConfig, params: Params) -> Scorer:
    """Returns a scorer of a transformer.

    Raises:
        InputError: an encoder; when called, texts longer than the model reads.
    """
    if not model.causal:
        raise InputError("capacity: losses need a decoder: this model has causal=False")

    def score(texts: Ragged) -> tuple[np.ndarray, np.ndarray]:
        longest = int(texts.lengths.max())
        if longest > model.max_length:
            raise InputError(f"texts of {longest} tokens: the model reads {model.max_length}")
        length = min(-(-longest // _STEP) * _STEP, model.max_length)
        size = min(max(1, _ROOM // (length * model.vocab_size)), len(texts))
        rows = np.zeros((-(-len(texts) // size) * size, length), np.int32)
        inside = np.arange(length) < texts.lengths[:, None]
        rows[: len(texts)][inside] = texts.tokens
        parts = [_scored(model, params, part) for part in rows.reshape(-1, size, length)]
        nats, right = (np.concatenate(each)[: len(texts)] for each in zip(*parts, strict=True))
        return nats[inside], right[inside]

    return score


@functools.partial(jax.jit, static_argnums=0)
def _scored(
    model: TransformerConfig, params: Params, rows_BT: jax.Array
) -> tuple[jax.Array, jax.Array]:
    logits = transformer.apply(model, params, rows_BT).logits[:, :-1]
    wanted = jnp.take_along_axis(logits, rows_BT[:, 1:, None], axis=-1)[..., 0]
    nats = jax.nn.logsumexp(logits, axis=-1) - wanted
    first = ((0, 0), (1, 0))
    return jnp.pad(nats, first), jnp.pad(logits.argmax(-1) == rows_BT[:, 1:], first)


def chosen(n: int, members: int, seed: int) -> np.ndarray:
    """int64[min(n, members)]: who is read, drawn without replacement; all for 0 members.

    Raises:
        InputError: fewer than `LEAST`, where there are more.
    """
    if members and members < min(n, LEAST):
        raise InputError(
            f"capacity: people {members}: expected 0 (all) or at least {min(n, LEAST)}"
        )
    if not members or members >= n:
        return np.arange(n)
    return permuted(np.arange(members), n, stream_key(seed, "members"))


def scores(
    score: Scorer, subject: Subject, *, members: int = 0, draws: int = 4, seed: int = 0
) -> Scores:
    """Returns the mean losses of a group.

    Args:
        members: how many of them are read; 0: all.
        draws: texts of each; of fixed ones no more than there are; 0: all of these.
        seed: of who is read.

    Raises:
        InputError: too few members; no number of draws where texts are fresh; a part that is in no
            text.
    """
    if draws < 0 or (not draws and not subject.kinds):
        raise InputError(f"capacity: draws {draws}: expected 1 or more, as texts are worded anew")
    count = min(draws or subject.kinds, subject.kinds or draws)
    who = chosen(subject.n, members, seed)
    sums = [
        _of_members(score, subject, who[lo : lo + _MEMBERS], count)
        for lo in range(0, len(who), _MEMBERS)
    ]
    return _means(subject, np.concatenate(sums, axis=1), count)


def _of_members(score: Scorer, subject: Subject, who: np.ndarray, draws: int) -> np.ndarray:
    """float64[5, members, parts]: sums over draws of texts, nats, head nats, right, head right."""
    total = np.zeros((5, len(who), len(subject.parts)))
    for draw in range(draws):
        texts = subject.texts(who, draw)
        total += _by_part(texts, *score(texts), len(subject.parts))
    return total


def _by_part(texts: Ragged, nats: np.ndarray, right: np.ndarray, parts: int) -> np.ndarray:
    """float64[5, texts, parts], see `_of_members`; 0 where a text lacks a part."""
    example = np.repeat(np.arange(len(texts)), texts.lengths)
    shape = (len(texts), parts)

    def summed(values: np.ndarray, where: np.ndarray) -> np.ndarray:
        address = example[where] * parts + texts.part[where]
        return np.bincount(address, values[where], len(texts) * parts).reshape(shape)

    inside = texts.part != NOTHING
    heads = inside & texts.head
    there = summed(np.ones(len(inside)), inside) > 0
    wrong = (~right).astype(float)
    found = [there, summed(nats, inside), summed(nats, heads)]
    found += [there & (summed(wrong, where) == 0) for where in (inside, heads)]
    return np.stack(found).astype(float)


def _means(subject: Subject, sums: np.ndarray, draws: int) -> Scores:
    there = sums[0].sum(0)
    for part, count in zip(subject.parts, there, strict=True):
        if part in subject.counted and not count:
            raise InputError(
                f"capacity: no text that was read has the {part} (as it is to be read); "
                "give more draws, or strict=False"
            )
    means = sums[1:].sum(1) / np.maximum(there, 1)
    nats, heads, right, heads_right = (
        {p: float(v) for p, v, n in zip(subject.parts, row, there, strict=True) if n}
        for row in means
    )
    # of a ratio: what each member adds to the sum, less the mean for as many texts
    people = sums.shape[1]
    added = (sums[1] - means[0] * sums[0]) * people / np.maximum(there, 1)
    which = {"name": subject.counted[:1], "values": subject.counted[1:]}
    error = {
        key: _spread(added[:, [subject.parts.index(p) for p in parts]].sum(1))
        for key, parts in which.items()
    }
    error["total"] = _spread(added[:, [subject.parts.index(p) for p in subject.counted]].sum(1))
    return Scores(nats, heads, right, heads_right, error, people, people * draws)


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
