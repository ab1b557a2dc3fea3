"""Intervals against published tables, obvious twins and their own coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.studies import statistics
from physlm_jax.studies.statistics import Estimate


@pytest.mark.parametrize(
    ("freedom", "expected"),  # the two-sided 95 % column of any printed table of Student's t
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622), (10, 2.2281),
     (29, 2.0452), (30, 2.0423), (60, 2.0003), (120, 1.9799), (5000, 1.9604)],
)  # fmt: skip
def test_t_quantile_matches_the_printed_table(freedom, expected):
    assert statistics.t_quantile(0.975, freedom) == pytest.approx(expected, abs=6e-5)
    assert statistics.t_quantile(0.025, freedom) == pytest.approx(-expected, abs=6e-5)


@pytest.mark.parametrize("freedom", [1, 2, 3, 6, 7, 40, 41])
def test_t_quantile_inverts_the_integrated_density(freedom):
    end = statistics.t_quantile(0.9, freedom)
    t = np.linspace(0, end, 200_001)
    norm = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    density = norm / math.sqrt(freedom * math.pi) * (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    assert 0.5 + np.trapezoid(density, t) == pytest.approx(0.9, abs=1e-8)


def test_t_quantile_refuses_what_has_none():
    for probability, freedom in [(0, 3), (1, 3), (0.5, 0)]:
        with pytest.raises(ValueError):
            statistics.t_quantile(probability, freedom)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # 8/10 and 81/263 are Wilson's intervals in textbooks (the second: Newcombe 1998, method 3);
    # at the ends Wilson's formula reduces to z^2 / (n + z^2).
    [(8, 10, 0.4902, 0.9433), (81, 263, 0.2553, 0.3662), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1)],
)
def test_wilson_golden_values(successes, trials, low, high):
    e = statistics.proportion(successes, trials)
    assert (e.value, e.n) == (successes / trials, trials)
    assert (e.low, e.high) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(1, 500), st.data())
@settings(max_examples=25, deadline=None)
def test_wilson_bounds_solve_the_score_equation(trials, data):
    successes = data.draw(st.integers(0, trials))
    e = statistics.proportion(successes, trials)
    assert 0 <= e.low <= e.value <= e.high <= 1
    for bound in (e.low, e.high):
        if 0 < bound < 1:  # the share lies exactly 1.96 of the bound's own standard errors away
            error = math.sqrt(bound * (1 - bound) / trials)
            assert abs(e.value - bound) == pytest.approx(1.959964 * error, rel=1e-4)


def test_wilson_refuses_impossible_counts():
    for successes, trials in [(3, 2), (-1, 2), (0, 0)]:
        with pytest.raises(ValueError):
            statistics.proportion(successes, trials)


def test_mean_is_the_textbook_t_interval():
    values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]  # mean 5, sample variance 32 / 7
    e = statistics.mean(values)
    half = 2.364624 * math.sqrt(32 / 7 / 8)
    assert (e.value, e.low, e.high, e.n) == pytest.approx((5, 5 - half, 5 + half, 8))


def test_mean_of_one_value_has_no_interval():
    assert statistics.mean([3.0]) == Estimate(3.0, None, None, 1)


def test_token_mean_is_close_to_the_delete_one_jackknife():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 40, 300)
    sums = rng.normal(0.3, 0.1, 300) * counts
    e = statistics.token_mean(sums, counts)
    drop = [np.delete(sums, i).sum() / np.delete(counts, i).sum() for i in range(300)]
    error = math.sqrt(299 / 300 * np.sum((np.array(drop) - np.mean(drop)) ** 2))
    assert e.value == pytest.approx(sums.sum() / counts.sum())
    assert (e.high - e.low) / 2 == pytest.approx(1.968 * error, rel=0.02)


def test_strings_without_tokens_count_for_nothing():
    with_empty = statistics.token_mean([1.0, 0.0, 3.0], [2, 0, 2])
    assert with_empty == statistics.token_mean([1.0, 3.0], [2, 2])


def test_token_accuracy_widens_when_strings_are_right_or_wrong_as_a_whole():
    counts = np.full(200, 50)
    alike = statistics.token_accuracy(np.full(200, 40) + np.tile([-1, 1], 100), counts)
    whole = statistics.token_accuracy(np.repeat([50, 0], [160, 40]), counts)
    assert alike.value == whole.value == 0.8
    assert whole.high - whole.low > 10 * (alike.high - alike.low)
    assert (whole.low, whole.high) == pytest.approx((0.739, 0.850), abs=2e-3)  # Wilson, 160/200


def test_token_accuracy_without_an_error_still_has_a_width():
    e = statistics.token_accuracy(np.full(100, 30), np.full(100, 30))
    assert (e.value, e.high) == (1.0, 1.0)
    assert e.low == pytest.approx(100 / (100 + 1.984**2), abs=1e-4)  # as 100 of 100 strings


def test_token_accuracy_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(1500):
        counts = rng.integers(5, 30, 60)
        share = rng.beta(9, 1, 60)  # each string has its own difficulty; mean 0.9
        e = statistics.token_accuracy(rng.binomial(counts, share), counts)
        hits += e.low <= 0.9 <= e.high
    assert 0.93 <= hits / 1500 <= 0.97


def test_token_accuracy_refuses_more_right_than_there_are():
    with pytest.raises(ValueError, match="between 0 and"):
        statistics.token_accuracy([3], [2])
    with pytest.raises(ValueError, match="a token"):
        statistics.token_accuracy([0], [0])


def test_difference_is_newcombes_method_10():
    e = statistics.difference(statistics.proportion(56, 70), statistics.proportion(48, 80))
    assert (e.value, e.low, e.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=6e-5)


def test_difference_with_an_exact_value_shifts_the_interval_and_without_one_has_none():
    truth = Estimate(0.5, 0.5, 0.5, 1)
    e = statistics.difference(Estimate(0.9, 0.8, 0.95, 10), truth)
    assert (e.value, e.low, e.high) == pytest.approx((0.4, 0.3, 0.45))
    assert statistics.difference(Estimate(0.9, None, None, 1), truth).low is None


def test_one_seed_keeps_its_own_interval():
    e = statistics.proportion(9, 10)
    assert statistics.over_seeds([e]) is e


def test_seeds_that_differ_give_the_t_interval_over_seeds():
    values = (0.2, 0.5, 0.8)
    e = statistics.over_seeds([Estimate(v, v - 0.01, v + 0.01, 7) for v in values])
    assert (e.value, e.n) == (pytest.approx(0.5), 21)
    assert e.high - e.value == pytest.approx(4.302653 * 0.3 / math.sqrt(3))


def test_seeds_that_agree_by_chance_are_no_surer_than_their_own_intervals():
    e = statistics.over_seeds([Estimate(0.5, 0.4, 0.7, 10)] * 4)
    assert (e.low, e.high) == pytest.approx((0.5 - 0.1 / 2, 0.5 + 0.2 / 2))


def test_seeds_stay_within_bounds():
    e = statistics.over_seeds([Estimate(0.9, 0.8, 0.95, 9), Estimate(1, 0.9, 1, 9)], (0, 1))
    assert (e.low, e.high) == (pytest.approx(0.95 - 12.7062 * 0.05, abs=1e-3), 1)


def test_scaled_turns_shares_into_per_cent():
    assert Estimate(0.5, 0.25, None, 4).scaled(100) == Estimate(50, 25, None, 4)
