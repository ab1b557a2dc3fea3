"""The n-gram language model with Witten-Bell interpolation: what counting alone can learn.

With c the counts, h the last k tokens, h' the last k - 1, and U(h) the number of different tokens
seen after h,

    p(w | h) = (c(h w) + U(h) p(w | h')) / (c(h) + U(h)),      p(w | h') if h was never seen,

from the n - 1 tokens before w (fewer at the start of a row) down to the uniform distribution over
the vocabulary. So no token ever has probability zero: log-probabilities and KL are finite.

An n-gram is one integer, its tokens the digits in base V; per order one sorted array of those seen
and their cumulative counts. Memory follows the distinct n-grams, and a draw is two binary searches:
the formula is a mixture, so one random number below c(h) + U(h) picks a seen occurrence of h, or
says to go to h'.
Source: Witten and Bell, IEEE Transactions on Information Theory 37 (1991), method C.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from physlm_jax.data.hashing import below, example_keys, mix, stream_key
from physlm_jax.data.ragged import Ragged, as_ragged
from physlm_jax.errors import InputError

_NONE = -1  # the context of a place with too few tokens before it

Rows = Ragged | Sequence[Sequence[int]] | np.ndarray


@dataclass(frozen=True)
class _Table:
    """The grams of one length. Attributes: `grams` int64[m] sorted; `total` int64[m + 1], the sum
    of the counts before each; `contexts` int64[c] sorted, the grams without their last token;
    `first` int64[c + 1], where each context's grams begin.
    """

    grams: np.ndarray
    total: np.ndarray
    contexts: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, grams: np.ndarray, size: int) -> _Table:
        unique, counts = np.unique(grams, return_counts=True)
        contexts, first = np.unique(unique // size, return_index=True)
        total = np.concatenate([[0], np.cumsum(counts)])
        return cls(unique, total, contexts, np.append(first, len(unique)))

    def lookup(self, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For int64[...] contexts: c(h), U(h) (0 if unseen) and the sum of counts before h."""
        index, seen = _find(self.contexts, contexts)
        lo, hi = self.first[index], self.first[index + 1]
        before = self.total[lo]
        return (self.total[hi] - before) * seen, (hi - lo) * seen, before

    def count(self, grams: np.ndarray) -> np.ndarray:
        """int64[...]: c of each gram."""
        index, seen = _find(self.grams, grams)
        return (self.total[index + 1] - self.total[index]) * seen


@dataclass(frozen=True)
class NGram:
    """A fitted model.

    Attributes:
        size: V. order: n, the model sees n - 1 tokens back.
        tables: `tables[k]` has the counts of grams of k + 1 tokens; none where no row was as long.
    """

    size: int
    order: int
    tables: tuple[_Table, ...]

    @classmethod
    def fit(cls, rows: Rows, order: int, vocab_size: int) -> NGram:
        """Returns the model of all the grams that lie within a row.

        Args:
            rows: token ids 0..vocab_size-1; one long stream is one row.
            order: n >= 1, with vocab_size**n below 2**63.

        Raises:
            InputError: an order or a token out of range, or no tokens.
        """
        ragged = _checked(rows, vocab_size)
        most = next(n for n in range(1, 65) if vocab_size ** (n + 1) >= 2**63)
        if not 1 <= order <= most:
            raise InputError(
                f"order {order}: expected 1 to {most} for a vocabulary of {vocab_size}"
            )
        if not len(ragged.tokens):
            raise InputError("an n-gram model needs at least one token to count")
        places = _places(ragged.offsets)
        tables, tokens = [], ragged.tokens.astype(np.int64)
        longest = min(order, int(places.max()) + 1)
        for k, contexts in enumerate(_contexts(tokens, places, longest, vocab_size)):
            tables.append(_Table.of((contexts * vocab_size + tokens)[places >= k], vocab_size))
        return cls(vocab_size, order, tuple(tables))

    def log_prob(self, rows: Rows) -> np.ndarray:
        """Returns float64[total]: ln p of every token given those before it in its row."""
        ragged = _checked(rows, self.size)
        tokens = ragged.tokens.astype(np.int64)
        contexts = _contexts(tokens, _places(ragged.offsets), len(self.tables), self.size)
        return np.log(self._mixed(contexts, tokens))

    def next_log_probs(self, rows: np.ndarray) -> np.ndarray:
        """Returns float64[B, T, V]: ln p of every token after each token of int[B, T] rows."""
        count, length = rows.shape
        ragged = _checked(rows, self.size)
        # the contexts of the place after each token: shift by one, past the row's end
        tokens = np.append(ragged.tokens, 0).astype(np.int64)
        places = np.append(0, np.tile(np.arange(1, length + 1), count))
        contexts = (c[1:, None] for c in _contexts(tokens, places, len(self.tables), self.size))
        mixed = self._mixed(contexts, np.arange(self.size))
        return np.log(mixed).reshape(count, length, self.size)

    def _mixed(self, contexts: Iterator[np.ndarray], tokens: np.ndarray) -> np.ndarray:
        """float64: the formula from the shortest context up; contexts and tokens broadcast."""
        p = np.array(1 / self.size)
        for table, context in zip(self.tables, contexts, strict=True):
            seen, kinds, _ = table.lookup(context)
            count = table.count(np.where(context == _NONE, _NONE, context * self.size + tokens))
            p = np.where(seen, (count + kinds * p) / np.maximum(seen + kinds, 1), p)
        return p

    def sample(
        self, prompts: Rows, seed: int, *, max_length: int, stop: int
    ) -> tuple[Ragged, np.ndarray]:
        """Continues each prompt until the stop token or until it has `max_length` tokens.

        Args:
            prompts: rows of 1 to max_length - 1 tokens.
            seed: row i depends on (seed, i) and on its prompt alone.

        Returns:
            prompts with their continuations, the stop token included; bool[N], who sampled it.

        Raises:
            InputError: a token, or the length of a prompt, out of range.
        """
        ragged = _checked(prompts, self.size)
        lengths = ragged.lengths
        if len(ragged) and not (lengths.min() >= 1 and lengths.max() < max_length):
            raise InputError(
                f"prompts of {lengths.min()} to {lengths.max()} tokens: expected 1 to "
                f"{max_length - 1}, one less than max_length"
            )
        keys = example_keys(stream_key(seed, "n-gram samples"), 0, len(ragged))
        inside = np.arange(max_length) < lengths[:, None]
        tokens = np.zeros(inside.shape, np.int64)
        tokens[inside] = ragged.tokens
        ends, finished = lengths.copy(), np.zeros(len(ragged), bool)
        for place in range(int(min(lengths, default=max_length)), max_length):
            active = np.flatnonzero((place >= lengths) & ~finished)
            words = mix(keys[active] ^ np.uint64(place))
            tokens[active, place] = self._draw(tokens[active, :place], words)
            ends[active] += 1
            finished[active] = tokens[active, place] == stop
        kept = np.arange(max_length) < ends[:, None]
        offsets = np.concatenate([[0], np.cumsum(ends)]).astype(np.int64)
        return Ragged(tokens[kept].astype(np.int32), offsets), finished

    def _draw(self, history: np.ndarray, words: np.ndarray) -> np.ndarray:
        """int64[N]: one token after each row of int64[N, places], with uint64[N] random words."""
        drawn = below(mix(words), self.size)
        open_ = np.ones(len(words), bool)
        for k in reversed(range(min(len(self.tables), history.shape[1] + 1))):
            digits = self.size ** np.arange(k)[::-1]
            seen, kinds, before = self.tables[k].lookup(history[:, history.shape[1] - k :] @ digits)
            which = below(mix(words ^ np.uint64(k + 1)), np.maximum(seen + kinds, 1))
            hit = open_ & (which < seen)
            gram = np.searchsorted(self.tables[k].total, (before + which)[hit], "right") - 1
            drawn[hit] = self.tables[k].grams[gram] % self.size
            open_ &= ~hit
        return drawn


def _checked(rows: Rows, size: int) -> Ragged:
    ragged = rows if isinstance(rows, Ragged) else as_ragged(list(rows))
    wrong = ragged.tokens[(ragged.tokens < 0) | (ragged.tokens >= size)]
    if len(wrong):
        raise InputError(f"token {wrong[0]}: the vocabulary has 0..{size - 1}")
    return ragged


def _places(offsets: np.ndarray) -> np.ndarray:
    """int64[total]: the place of every token in its row."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def _contexts(
    tokens: np.ndarray, places: np.ndarray, order: int, size: int
) -> Iterator[np.ndarray]:
    """Yields, for k = 0..order-1, int64[total]: the k tokens before every token as one integer.

    `_NONE` where the row has fewer than k tokens before it.
    """
    context = np.zeros(len(tokens), np.int64)
    for k in range(order):
        if k:
            context = context.copy()
            context[k:] += tokens[: max(len(tokens) - k, 0)] * size ** (k - 1)
        yield np.where(places >= k, context, _NONE)


def _find(sorted_keys: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of each key in a sorted array (0 if it is not there), and whether it is there."""
    index = np.searchsorted(sorted_keys, keys)
    index[index == len(sorted_keys)] = 0
    seen = sorted_keys[index] == keys
    return np.where(seen, index, 0), seen
