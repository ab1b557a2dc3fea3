"""The n-gram model against dictionaries, and against what was measured elsewhere."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import cfg
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError
from physlm_jax.models.ngram import NGram

SIZE = 4
ROWS = st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=12), min_size=1, max_size=5)


class Twin:
    """Witten-Bell by the book: a dictionary from contexts to counters, and recursion."""

    def __init__(self, rows, order):
        self.followers, self.order = defaultdict(Counter), order
        for row in rows:
            for i, token in enumerate(row):
                for k in range(min(order, i + 1)):
                    self.followers[tuple(row[i - k : i])][token] += 1

    def probability(self, history, token):
        history = tuple(history)[-(self.order - 1) :] if self.order > 1 else ()
        return self._mixed(history, token)

    def _mixed(self, history, token):
        lower = self._mixed(history[1:], token) if history else 1 / SIZE
        seen = self.followers.get(history)
        if not seen:
            return lower
        return (seen[token] + len(seen) * lower) / (seen.total() + len(seen))


@settings(max_examples=25, deadline=None)
@given(train=ROWS, test=ROWS, order=st.integers(1, 5))
def test_equals_the_twin_and_sums_to_one(train, test, order):
    model, twin = NGram.fit(train, order, SIZE), Twin(train, order)
    expected = [np.log(twin.probability(row[:i], row[i])) for row in test for i in range(len(row))]
    np.testing.assert_allclose(model.log_prob(test), expected)
    length = max(map(len, test))
    padded = np.array([row + [0] * (length - len(row)) for row in test])
    found = model.next_log_probs(padded)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0)
    for b, row in enumerate(padded):
        for t in range(length):
            each = [np.log(twin.probability(row[: t + 1], w)) for w in range(SIZE)]
            np.testing.assert_allclose(found[b, t], each)


def test_samples_follow_the_model():
    """The draw by counts and back-off has the distribution of the formula, seen contexts or not."""
    rng = np.random.default_rng(0)
    model = NGram.fit(rng.choice(SIZE, (3, 40), p=[0.6, 0.3, 0.1, 0.0]), 3, SIZE)
    for prompt in ([0], [0, 0], [1, 2], [3, 2], [3, 3]):
        n = 20_000
        rows, _ = model.sample([prompt] * n, 5, max_length=len(prompt) + 1, stop=3)
        counts = np.bincount(rows.tokens[rows.offsets[1:] - 1], minlength=SIZE)
        expected = n * np.exp(model.next_log_probs(np.array([prompt]))[0, -1])
        assert ((counts - expected) ** 2 / expected).sum() < 16.3  # 0.999 quantile, 3 degrees


def test_samples_depend_on_seed_row_and_prompt_alone():
    rows = np.random.default_rng(1).integers(0, SIZE, (4, 50))
    model = NGram.fit(rows, 4, SIZE)
    prompts = [[0], [1, 2, 3], [2], [0], [1] * 9]
    all_rows, finished = model.sample(prompts, 9, max_length=10, stop=3)
    some, _ = model.sample(prompts[:2], 9, max_length=10, stop=3)
    other, _ = model.sample(prompts, 8, max_length=10, stop=3)
    assert [r.tolist() for r in some] == [r.tolist() for r in all_rows][:2]
    assert [r.tolist() for r in other] != [r.tolist() for r in all_rows]
    for row, prompt, done in zip(all_rows, prompts, finished, strict=True):
        sampled = row[len(prompt) :].tolist()
        assert row[: len(prompt)].tolist() == prompt
        assert 3 not in sampled[:-1] and (sampled[-1] == 3) == done
        assert len(row) == 10 or done
    assert set(finished) == {True, False}


def test_generates_as_well_as_measured_elsewhere():
    """2.5M tokens of cfg3b under 14: accuracy .12 for n = 10, .37 for n = 12, measured elsewhere.

    Rows of whole strings stand in for rows cut at 64 tokens: no other contexts within a string.
    """
    grammar = cfg.load("cfg3b").under(14)
    train = cfg.sample(grammar, 0, 0, 148_000).framed(grammar.bos, grammar.eos)
    accuracy = {}
    for order in (10, 12):
        model = NGram.fit(train, order, grammar.mask + 1)
        rows, finished = model.sample([[grammar.bos]] * 2000, 0, max_length=64, stop=grammar.eos)
        strings = [row[1:-1] for row in rows]
        accuracy[order] = (finished & cfg.is_valid(grammar, strings)).mean()
    assert accuracy[10] == pytest.approx(0.12, abs=0.03)
    assert accuracy[12] == pytest.approx(0.37, abs=0.05)


def test_bad_input():
    rows = [[0, 1, 2]]
    for call, message in (
        (lambda: NGram.fit(rows, 0, SIZE), "order 0: expected 1 to 31"),
        (lambda: NGram.fit(rows, 40, SIZE), "order 40: expected 1 to 31"),
        (lambda: NGram.fit([[0, 4]], 2, SIZE), "token 4"),
        (lambda: NGram.fit(Ragged(np.zeros(0, np.int32), np.zeros(1, np.int64)), 2, 4), "one tok"),
        (lambda: NGram.fit(rows, 2, SIZE).sample([[0] * 5], 0, max_length=5, stop=3), "1 to 4"),
        (lambda: NGram.fit(rows, 2, SIZE).log_prob([[9]]), "token 9"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert NGram.fit(rows, 31, SIZE).order == 31  # the longest that fits an int64
