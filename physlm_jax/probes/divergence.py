"""How far a model's next-token distributions are from the true ones: the KL divergence.

The truth is the exact dynamic programme over the grammar. Measured on strings alone in their row
(what prompts from BOS see) or after other strings (what training on windows of a stream sees): a
model trained briefly on cut windows may know the second much better than the first.
Source: arXiv 2305.13673, section 3 (KL) and the authors' published demo (smoothing).
"""

from __future__ import annotations

import numpy as np

from physlm_jax.data import cfg
from physlm_jax.data.hashing import stream_key
from physlm_jax.data.ragged import Ragged
from physlm_jax.decoding.interface import Predictor
from physlm_jax.errors import InputError
from physlm_jax.probes.held_out import Mean, check_count, fresh

_ROWS = 64  # strings whose [T, V] predictions are in memory at once


def kl(
    predictor: Predictor,
    world: cfg.CfgWorld,
    *,
    count: int,
    seed: int = 0,
    max_length: int,
    in_stream: bool = False,
    smoothing: float = 0.0,
) -> Mean:
    """Returns the KL divergence of the next-token distributions, truth || model, nats per token.

    A string of n tokens gives the mean over its n + 1 places (after BOS, x_1, .., x_n) of
    sum_t p*(t) ln(p*(t) / p(t)), t in the tokens and EOS; the result is the mean over strings. What
    the model gives to other ids counts against it.

    Strings too long for a row are left out (below 1 in 1000 of the published languages at 512).

    Args:
        count: fresh strings.
        max_length: tokens of the longest row.
        in_stream: put whole other strings before each, as many as the row holds, and score its own
            places alone, as where a model was trained on a stream without borders.
        smoothing: epsilon of the published demo: both distributions become (q + epsilon) / sum over
            the tokens and EOS, the weight p* stays; 0 for none.

    Raises:
        InputError: rows hold no string at all, or none after another one, in a stream.
    """
    check_count(count)
    divergences = []
    for lo in range(0, count, _ROWS):
        strings = _fitting(fresh(world, seed, min(_ROWS, count - lo), lo), max_length)
        before = [np.zeros(0, np.int32)] * len(strings)
        if in_stream:
            before = _preceding(world, stream_key(seed, "before"), lo, strings, max_length)
        rows, starts = _rows(world, before, strings, max_length)
        predicted = predictor(rows)
        columns = [world.vocabulary.eos, *range(1, world.tokens + 1)]
        truths = cfg.next_token_probs_of(world.grammar, strings, world.emission)
        for row, start, truth in zip(predicted, starts, truths, strict=True):
            found = row[start : start + len(truth), columns].astype(float)
            divergences.append(_divergence(truth, found, smoothing))
    if not divergences:
        raise InputError(
            f"rows of {max_length} tokens hold none of {count} strings of '{world.grammar.name}'"
        )
    return Mean.of(np.array(divergences))


def _fitting(strings: Ragged, max_length: int) -> Ragged:
    """The strings that fit a row behind BOS."""
    return Ragged.from_sequences([s.tolist() for s in strings if len(s) < max_length])


def _preceding(
    world: cfg.CfgWorld, seed: int, start: int, strings: Ragged, max_length: int
) -> list[np.ndarray]:
    """For each string, as many framed other strings as fit before BOS and it."""
    most = max_length // (cfg.statistics(world.grammar).min_length + 2)
    others = fresh(world, seed, most * len(strings), most * start)
    framed = others.framed(world.vocabulary.bos, world.vocabulary.eos)
    found = []
    for i, length in enumerate(strings.lengths):
        mine = framed.slice(i * most, (i + 1) * most)
        fitting = np.searchsorted(mine.offsets, max_length - 1 - length, "right") - 1
        if fitting < 1:
            raise InputError(
                f"rows of {max_length} tokens hold no other string of '{world.grammar.name}' "
                f"before one of {length} tokens: no in-stream KL"
            )
        found.append(mine.tokens[: mine.offsets[fitting]])
    return found


def _rows(
    world: cfg.CfgWorld, before: list[np.ndarray], strings: Ragged, max_length: int
) -> tuple[np.ndarray, list[int]]:
    """Rows `before BOS x`, padded to max_length, and the place of each BOS."""
    rows = np.zeros((len(strings), max_length), np.int32)
    starts = [len(b) for b in before]
    for row, prior, string in zip(rows, before, strings, strict=True):
        whole = np.concatenate([prior, [world.vocabulary.bos], string])
        row[: len(whole)] = whole
    return rows, starts


def _divergence(truth: np.ndarray, log_found: np.ndarray, smoothing: float) -> float:
    """Mean over the rows of sum_t truth ln(truth / found)."""
    log_truth = np.log(np.where(truth > 0, truth, 1.0))
    if smoothing:
        log_truth, log_found = (
            np.log((q + smoothing) / (q + smoothing).sum(1, keepdims=True))
            for q in (truth, np.exp(log_found))
        )
    possible = truth > 0  # elsewhere the model's logarithm may be -inf
    terms = truth[possible] * (log_truth - log_found)[possible]
    return float(terms.sum() / len(truth))
