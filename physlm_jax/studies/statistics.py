"""Estimates with 95 % intervals: the error bars of every claim, in NumPy alone.

Proportions use Wilson's interval, which stays inside [0, 1] and has a width at 0 and at 1, where
results of trained models often lie. Per-token figures are clustered by string: tokens of one string
are not independent, so the string is the unit of sampling and the figure a ratio of two sums.
Few seeds use Student's t. Differences combine two finished intervals (Newcombe's method), so any
two of these estimates can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % interval (None when one cannot be given) and the number of units behind it.

    Attributes:
        n: independent units: trials, strings or seeds, as the function that made it says.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def scaled(self, factor: float) -> Estimate:
        """Returns the estimate in another unit; `factor` > 0, e.g. 100 for per cent."""
        low = None if self.low is None else self.low * factor
        high = None if self.high is None else self.high * factor
        return Estimate(self.value * factor, low, high, self.n)


def t_quantile(probability: float, freedom: int) -> float:
    """Returns the quantile of Student's t: P(T <= result) = probability.

    Bisection on the closed form of the distribution for integer degrees of freedom.

    Args:
        probability: strictly between 0 and 1.
        freedom: degrees of freedom, an integer >= 1.

    Source: Abramowitz and Stegun 26.7.3 and 26.7.4.
    """
    if not 0 < probability < 1 or freedom < 1:
        raise ValueError(f"t_quantile({probability}, {freedom}): need 0 < p < 1, freedom >= 1")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    inside = 2 * probability - 1
    weights = _cosine_weights(freedom)
    low, high = 0.0, math.pi / 2  # t = sqrt(freedom) tan(theta) turns the half-line into this
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom, weights) < inside else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _cosine_weights(freedom: int) -> np.ndarray:
    """float64[terms]: weights of cos^0, cos^2, ... (even freedom) or of cos^1, cos^3, ... (odd)."""
    odd = freedom % 2
    k = np.arange(1, (freedom - odd) // 2)
    ratios = 2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k)
    return np.concatenate([np.ones(min(1, freedom // 2)), np.cumprod(ratios)])


def _inside(theta: float, freedom: int, weights: np.ndarray) -> float:
    """P(|T| < sqrt(freedom) tan(theta))."""
    odd = freedom % 2
    powers = math.cos(theta) ** (2.0 * np.arange(len(weights)) + odd)
    total = math.sin(theta) * float(weights @ powers)
    return 2 / math.pi * (theta + total) if odd else total


_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def _t(freedom: int) -> float:
    """The two-sided quantile; from 10^4 on the normal one, which is then within 0.02 %."""
    return t_quantile((1 + CONFIDENCE) / 2, freedom) if freedom < 10**4 else _Z


def proportion(successes: int, trials: int) -> Estimate:
    """Returns the share of successes among independent trials, with Wilson's interval.

    Args:
        successes: 0 <= successes <= trials.
        trials: at least 1.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes in {trials} trials")
    share = successes / trials
    return Estimate(share, *_wilson(share, trials, _Z), int(trials))


def _wilson(share: float, trials: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval; `trials` may be an effective, fractional number."""
    square = quantile**2 / trials
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return min(low, share), max(high, share)  # equal at 0 and 1 but for rounding


def token_mean(sums: ArrayLike, counts: ArrayLike) -> Estimate:
    """Returns a per-token mean of any quantity, clustered by string, with a t interval.

    Args:
        sums: float[strings], the quantity summed over the tokens of each string (e.g. nats).
        counts: int[strings], the tokens counted in each string; at least one in all.

    Returns:
        The ratio of the sums; n = strings. No interval for a single string.

    Source: the linearised variance of a ratio estimator (Cochran, Sampling Techniques, 6.4).
    """
    value, error, n = _ratio(sums, counts)
    if n < 2:
        return Estimate(value, None, None, n)
    half = _t(n - 1) * error
    return Estimate(value, value - half, value + half, n)


def token_accuracy(correct: ArrayLike, counts: ArrayLike) -> Estimate:
    """Returns the share of correct tokens, clustered by string, with an interval inside [0, 1].

    Wilson's interval at the effective number of trials: the number of independent tokens whose
    share would vary as much as this one does. Where all strings have the same share (as when all
    tokens are right) the data cannot tell it, and the number of strings is taken: the least
    favourable case, in which a string is right or wrong as a whole.

    Args:
        correct: int[strings], correct tokens of each string.
        counts: int[strings], tokens counted in each string; at least one in all.

    Returns:
        n = strings.

    Source: the effective sample size of Korn and Graubard, in Wilson's formula (this project).
    """
    if np.any(np.asarray(correct) > np.asarray(counts)) or np.any(np.asarray(correct) < 0):
        raise ValueError("correct tokens must lie between 0 and the tokens of each string")
    share, error, n = _ratio(correct, counts)
    effective = share * (1 - share) / error**2 if n > 1 and error > 1e-12 else float(n)
    quantile = _t(n - 1) if n > 1 else _Z
    return Estimate(share, *_wilson(share, effective, quantile), n)


def _ratio(sums: ArrayLike, counts: ArrayLike) -> tuple[float, float, int]:
    """(sum / count, its standard error, the number of strings that have tokens at all)."""
    total = np.asarray(sums, np.float64)
    count = np.asarray(counts, np.float64)
    if total.shape != count.shape or total.ndim != 1 or count.sum() <= 0:
        raise ValueError(f"need one sum per count and a token; got {total.shape}, {count.shape}")
    kept = count > 0
    total, count, n = total[kept], count[kept], int(kept.sum())
    value = float(total.sum() / count.sum())
    residual = total - value * count
    variance = n / max(n - 1, 1) * float(residual @ residual) / float(count.sum()) ** 2
    return value, math.sqrt(variance), n


def mean(values: ArrayLike) -> Estimate:
    """Returns the mean of independent values with a t interval (none for a single value).

    Args:
        values: float[n], n >= 1.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"mean of values of shape {array.shape}; need a vector with an entry")
    return token_mean(array, np.ones(array.size, int))


def over_seeds(
    estimates: Sequence[Estimate], bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Estimate:
    """Returns one estimate from those of several seeds of the same run.

    One seed: its own estimate, which says nothing of other seeds. More: the mean with a t interval
    over the seeds, on each side at least as wide as the seeds' own intervals make it, so that two
    seeds that agree by chance claim no precision that neither has.

    Args:
        estimates: one per seed, at least one.
        bounds: what the quantity cannot leave, e.g. (0, 1) for a share or (0, 100) for per cent.

    Returns:
        n = the sum of the seeds' n.
    """
    if len(estimates) == 1:
        return estimates[0]
    across = mean([e.value for e in estimates])
    n = sum(e.n for e in estimates)
    assert across.low is not None and across.high is not None  # at least two values
    below = max(across.value - across.low, _pooled([(e.value, e.low) for e in estimates]))
    above = max(across.high - across.value, _pooled([(e.value, e.high) for e in estimates]))
    low, high = max(bounds[0], across.value - below), min(bounds[1], across.value + above)
    return Estimate(across.value, low, high, n)


def _pooled(sides: Sequence[tuple[float, float | None]]) -> float:
    """The half-width of a mean whose terms have these half-widths (unknown ones count as 0)."""
    squares = [(value - end) ** 2 for value, end in sides if end is not None]
    return math.sqrt(sum(squares)) / len(sides)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """Returns a - b for independent estimates; no interval where either has none.

    Returns:
        n = the smaller of the two.

    Source: Newcombe 1998, method 10, for any two intervals (MOVER, Zou and Donner 2008).
    """
    value, n = a.value - b.value, min(a.n, b.n)
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(value, None, None, n)
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, value - below, value + above, n)
