"""The probability that a string of the language begins with given tokens, for every prefix.

F_a[k] is the probability that the first k tokens are as given and a node of symbol a starts at
boundary k. From the root down, for each rule a -> c1 c2 c3 of weight w = 1 / degree(a):
F_c1 += w F_a;  F_c2 += w F_a I_c1;  F_c3 += w F_a (I_c1 I_c2), with I the inside table. At the
bottom, F_t[k] is the joint probability of the prefix and of terminal t coming next. Works in logs.
Source: the ground truth behind the KL divergences of arXiv 2305.13673; the published solver makes
two passes over spans in 100-digit decimals, this recursion is this project's.
"""

from __future__ import annotations

import numpy as np

from physlm_jax.data.cfg.grammar import Grammar, Level
from physlm_jax.data.cfg.spans import Chart, Plan, Spans, of_symbols, plans
from physlm_jax.data.ragged import Ragged


def prefix_values(
    grammar: Grammar, chart: Chart, strings: Ragged, emission: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns ln of the joint probabilities of prefixes and next terminals, and of prefixes.

    Args:
        chart: the inside table of `strings`; emission as in `spans.chart`.

    Returns:
        start: float64[|T|, boundaries], ln Pr(tokens up to here, then terminal t) at [t - 1].
        prefix: float64[boundaries], ln Pr(a string begins with the tokens up to here).
    """
    start = np.full((1, chart.boundaries), -np.inf)
    start[0, chart.origins] = 0.0
    for k, (table, plan) in enumerate(zip(grammar.tables, plans(grammar), strict=True)):
        size = grammar.sizes[k + 1]
        start = _descend(table, plan, start, chart.levels[k + 1], chart.pairs[k], size)
    prefix = np.full(chart.boundaries, -np.inf)
    prefix[chart.origins] = 0.0
    # A terminal's spans are the places where it may stand: the token they cover ends the prefix.
    spans = chart.levels[-1]
    slot = spans.end
    value = start[spans.symbol, spans.start] + spans.value
    np.logaddexp.at(prefix, slot, value)
    return start, prefix


def _descend(
    table: Level, plan: Plan, start: np.ndarray, below: Spans, pairs: Spans, size: int
) -> np.ndarray:
    """Takes F of one level to the next, float64[symbols, boundaries] -> [size, boundaries]."""
    boundaries = start.shape[1]
    weighted = start[table.owner] + plan.weight[:, None]
    rule, place = np.nonzero(np.isfinite(weighted))
    slots = [table.children[0, rule] * boundaries + place]
    values = [weighted[rule, place]]
    longer = np.concatenate([plan.twos, plan.threes])
    for after, spans, rules, symbols in (
        (1, below, longer, table.children[0, longer]),
        (2, pairs, plan.threes, plan.pair[plan.threes]),
    ):
        which, span = of_symbols(spans, symbols)
        value = weighted[rules[which], spans.start[span]] + spans.value[span]
        alive = np.isfinite(value)
        which, span = which[alive], span[alive]
        slots.append(table.children[after, rules[which]] * boundaries + spans.end[span])
        values.append(value[alive])
    slot, value = np.concatenate(slots), np.concatenate(values)
    return _log_sum_by(slot, value, size * boundaries).reshape(size, boundaries)


def _log_sum_by(slot: np.ndarray, value: np.ndarray, size: int) -> np.ndarray:
    """float64[size]: ln of the sum of exp(value) over the entries of each slot, -inf for none."""
    top = np.full(size, -np.inf)
    np.maximum.at(top, slot, value)
    total = np.bincount(slot, np.exp(value - top[slot]), size)
    with np.errstate(divide="ignore"):
        return top + np.log(total)
