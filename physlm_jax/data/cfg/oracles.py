"""Exact verdicts and probabilities of strings: what a perfect model of the language would know.

Membership, log-probability, the next-token distribution after every prefix, and the first error,
for many strings at once in float64 on the host. `emission` (see `alphabet.Alphabet.emission`) lets
all of them read the observable tokens of an implicit language instead of terminals.
Source: arXiv 2305.13673, section 3 and the next-token dynamic programme of its appendix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from physlm_jax.data.cfg.grammar import Grammar
from physlm_jax.data.cfg.prefixes import prefix_values
from physlm_jax.data.cfg.spans import Chart, chart
from physlm_jax.data.ragged import Ragged, as_ragged
from physlm_jax.errors import InputError

Strings = Ragged | Sequence[Sequence[int]]

# Tokens looked at together: enough to hide the cost of some 300 NumPy calls per chart.
_CHUNK_TOKENS = 20_000


def is_valid(grammar: Grammar, strings: Strings, emission: np.ndarray | None = None) -> np.ndarray:
    """Returns bool[n]: which strings are in the language.

    Args:
        grammar: the language.
        strings: tokens without BOS and EOS; ids that are no terminals make a string invalid.
        emission: float64[V + 1, |T|], for observable tokens 1..V of an implicit language.
    """
    return np.isfinite(log_prob(grammar, strings, emission))


def log_prob(grammar: Grammar, strings: Strings, emission: np.ndarray | None = None) -> np.ndarray:
    """Returns float64[n]: ln p(string), summed over its derivations; -inf outside the language.

    Args: as `is_valid`.
    """
    parts = charts(grammar, strings, as_emission(grammar, emission))
    found = [c.root_values()[c.origins + c.lengths] for _, c in parts]
    return np.concatenate([np.zeros(0), *found])


def next_token_probs(
    grammar: Grammar, string: Sequence[int] | np.ndarray, emission: np.ndarray | None = None
) -> np.ndarray:
    """Returns the exact distribution of what follows every prefix of a string.

    Args:
        string: n tokens without BOS and EOS, a string of the language or not.
        grammar, emission: as `is_valid`.

    Returns:
        float64[n + 1, |T| + 1] (or V + 1 columns for an implicit language): row k holds the
        probabilities after the first k tokens, column 0 that the string ends there, column t that
        token t follows. Rows sum to 1; rows of prefixes with which no string begins are NaN.
    """
    return next_token_probs_of(grammar, as_ragged([list(string)]), emission)[0]


def next_token_probs_of(
    grammar: Grammar, strings: Strings, emission: np.ndarray | None = None
) -> list[np.ndarray]:
    """Returns `next_token_probs` of each of many strings, faster than one by one."""
    emit = as_emission(grammar, emission)
    found = []
    for ragged, part in charts(grammar, strings, emit):
        start, prefix = prefix_values(grammar, part, ragged, emit)
        ending = part.root_values()
        with np.errstate(invalid="ignore"):  # -inf - -inf: no string begins like this
            after = np.exp(start - prefix).T @ emit[1:].T
            rows = np.column_stack([np.exp(ending - prefix), after])
        rows[np.isneginf(prefix)] = np.nan
        found += np.split(rows, part.origins[1:])
    return found


def first_error(
    grammar: Grammar, strings: Strings, emission: np.ndarray | None = None
) -> np.ndarray:
    """Returns int64[n]: the place (from 1) of the first token that makes the string hopeless.

    The least k such that no string of the language begins with the first k tokens; n + 1 for a
    string that is merely incomplete, 0 for one in the language. Args: as `is_valid`.
    """
    emit = as_emission(grammar, emission)
    found = [np.zeros(0, np.int64)]
    for ragged, part in charts(grammar, strings, emit):
        _, prefix = prefix_values(grammar, part, ragged, emit)
        viable = np.add.reduceat(np.isfinite(prefix).astype(np.int64), part.origins)
        valid = np.isfinite(part.root_values()[part.origins + part.lengths])
        found.append(np.where(valid, 0, viable))
    return np.concatenate(found)


def as_emission(grammar: Grammar, emission: np.ndarray | None) -> np.ndarray:
    """Returns the emission matrix, float64[V + 1, |T|]; by default tokens are the terminals.

    Raises:
        InputError: it has not |T| columns.
    """
    if emission is None:
        return np.eye(grammar.terminals + 1)[:, 1:]
    if emission.ndim != 2 or emission.shape[1] != grammar.terminals:
        raise InputError(
            f"emission of shape {emission.shape}: expected (V + 1, {grammar.terminals}), one "
            f"column per terminal of '{grammar.name}'"
        )
    return np.asarray(emission, np.float64)


def charts(
    grammar: Grammar, strings: Strings, emission: np.ndarray
) -> Iterator[tuple[Ragged, Chart]]:
    """Cuts a batch into pieces and yields each with its chart."""
    ragged = as_ragged(strings)
    plain = Ragged(ragged.tokens, ragged.offsets)
    lo = 0
    while lo < len(plain):
        hi = int(np.searchsorted(plain.offsets, plain.offsets[lo] + _CHUNK_TOKENS, "right")) - 1
        hi = max(hi, lo + 1)
        part = plain.slice(lo, hi)
        yield part, chart(grammar, part, emission)
        lo = hi
