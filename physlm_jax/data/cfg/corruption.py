"""Corrupted languages: training strings with errors in them, and corrupted prompts.

A fraction of the strings is corrupted in one of three ways:
"t_random": each token is, at some rate, replaced by a uniform terminal (maybe the same);
"nt_random": the same with the symbols of level L-1, before they are expanded into tokens;
"nt_deterministic": symbols of level L-1 are, at some rate, replaced by their successor in one
fixed cycle through the level, then expanded.
Source: arXiv 2305.13673, Results 11-13 and its figure of the robust accuracies, which gives the
rates .15, .10 and .05.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physlm_jax.data.cfg.derivations import unlabelled
from physlm_jax.data.cfg.grammar import Grammar
from physlm_jax.data.cfg.sampling import Edit, chunks
from physlm_jax.data.hashing import below, chances, example_keys, mix, ragged_words, stream_key
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError, unknown

PAPER_RATES = {"none": 0.0, "t_random": 0.15, "nt_random": 0.10, "nt_deterministic": 0.05}
_WHICH, _WHERE, _WHAT = np.uint64(1001), np.uint64(1002), np.uint64(1003)


@dataclass(frozen=True)
class Corruption:
    """How strings are corrupted.

    Attributes:
        kind: "none", "t_random", "nt_random" or "nt_deterministic".
        rate: the chance of each symbol to be replaced, 0..1.
        fraction: the share of strings that are corrupted at all (the paper's gamma), 0..1.

    Raises:
        InputError: an unknown kind, or a number outside 0..1.
    """

    kind: str = "none"
    rate: float = 0.0
    fraction: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in PAPER_RATES:
            raise unknown("corruption", self.kind, PAPER_RATES)
        for name in ("rate", "fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(
                    f"corruption {name} {getattr(self, name)}: expected a number in 0..1"
                )

    @classmethod
    def of_paper(cls, kind: str, fraction: float = 1.0) -> Corruption:
        """Returns the corruption of that kind at the paper's rate."""
        return cls(kind, PAPER_RATES.get(kind, 0.0), fraction)

    def edit(self, grammar: Grammar) -> Edit | None:
        """Returns what `sampling.derive` must do to each level, None for nothing."""
        if self.kind == "none":
            return None
        target = grammar.levels - (self.kind != "t_random")
        size = grammar.sizes[target - 1]

        def edit(
            level: int, keys: np.ndarray, symbols: np.ndarray, offsets: np.ndarray
        ) -> np.ndarray:
            if level != target:
                return symbols
            chosen = np.repeat(chances(mix(keys ^ _WHICH), self.fraction), np.diff(offsets))
            hit = chosen & chances(ragged_words(mix(keys ^ _WHERE), offsets), self.rate)
            if self.kind == "nt_deterministic":
                return np.where(hit, (symbols + 1) % size, symbols)
            return np.where(hit, below(ragged_words(mix(keys ^ _WHAT), offsets), size), symbols)

        return edit


def sample_corrupted(
    grammar: Grammar, corruption: Corruption, seed: int, start: int, count: int
) -> Ragged:
    """Returns the examples start..start+count-1 of the corrupted stream `seed`.

    Strings that are not corrupted equal those of `sampling.sample` with the same arguments.
    """
    return unlabelled(list(chunks(grammar, seed, start, count, corruption.edit(grammar))))


def corrupt_prefix(
    grammar: Grammar, prefixes: np.ndarray, rate: float = 0.15, seed: int = 0
) -> np.ndarray:
    """Returns int32[n, k]: prefixes with each token replaced at some rate by a uniform terminal.

    The prompt of the robust evaluation: a model continues the corrupted prefix, and is right if
    the clean prefix with that continuation is in the language.

    Args:
        prefixes: int[n, k], terminals 1..|T|.
        rate: chance of each token to be replaced (maybe by itself), the paper's rho.
        seed: row i depends on (seed, i) and on the row alone.
    """
    prefixes = np.asarray(prefixes)
    n, k = prefixes.shape
    keys = example_keys(stream_key(seed, "corrupt prefix"), 0, n)
    offsets = k * np.arange(n + 1)
    hit = chances(ragged_words(mix(keys ^ _WHERE), offsets), rate)
    drawn = below(ragged_words(mix(keys ^ _WHAT), offsets), grammar.terminals) + 1
    return np.where(hit.reshape(n, k), drawn.reshape(n, k), prefixes).astype(np.int32)
