"""Strings of a grammar, drawn by level for many strings at once, with the labels of their trees.

All strings lie in one flat array of symbols. Per level: a random word per symbol picks its rule,
a cumulative sum of the rules' lengths gives the children their places, and one scatter per place
in a rule writes them. The word of a node depends on (seed, example, level, place in the level), so
example i is the same in every call that includes it.
Source: arXiv 2305.13673, section 2; the random words are this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from physlm_jax.data.cfg.derivations import Derivations, label, unlabelled
from physlm_jax.data.cfg.grammar import Grammar, Level
from physlm_jax.data.cfg.statistics import statistics
from physlm_jax.data.hashing import below, example_keys, mix, ragged_words
from physlm_jax.data.ragged import Ragged

# Tokens worked on at once: small enough for the temporaries to stay in the caches of a core, large
# enough to hide the cost of some 150 NumPy calls.
_CHUNK_TOKENS = 200_000

# Changes the symbols of a level before they are expanded: (level, keys, symbols, offsets) ->
# symbols. This is how corrupted languages are made.
Edit = Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def sample(grammar: Grammar, seed: int, start: int, count: int, labels: bool = False) -> Ragged:
    """Returns the examples start..start+count-1 of the stream `seed` of strings of the grammar.

    Args:
        grammar: the language.
        seed: any integer; different seeds give unrelated streams.
        start: the first example, 0..2**64-1.
        count: how many, start + count <= 2**64.
        labels: whether to add the labels of the sampled trees (see `derivations.label`).

    Returns:
        Strings of tokens 1..|T|, without BOS and EOS. Example i depends on the grammar's rules,
        the seed and i alone.

    Raises:
        InputError: start or count out of range.
    """
    parts = list(chunks(grammar, seed, start, count))
    return label(parts) if labels else unlabelled(parts)


def sample_derivations(grammar: Grammar, seed: int, start: int, count: int) -> Derivations:
    """Returns the derivation trees behind `sample(grammar, seed, start, count)`."""
    return derive(grammar, example_keys(seed, start, count))


def chunks(
    grammar: Grammar, seed: int, start: int, count: int, edit: Edit | None = None
) -> Iterator[Derivations]:
    """Yields the derivations of the examples, as many at once as is fast (at least one part)."""
    keys = example_keys(seed, start, count)
    step = max(1, int(_CHUNK_TOKENS / statistics(grammar).mean_length))
    for lo in range(0, max(count, 1), step):
        yield derive(grammar, keys[lo : lo + step], edit)


def derive(grammar: Grammar, keys: np.ndarray, edit: Edit | None = None) -> Derivations:
    """Returns one derivation tree for each key.

    Args:
        grammar: the language.
        keys: uint64[n], one key per string, from `example_keys`.
        edit: changes the symbols of each level 1..L once they are drawn.
    """
    symbols = [np.zeros(len(keys), np.int64)]
    offsets = [np.arange(len(keys) + 1)]
    bounds = []
    for level, table in enumerate(grammar.tables, 1):
        words = ragged_words(mix(keys ^ np.uint64(level)), offsets[-1])
        children, ends = _expand(table, _choose(table, symbols[-1], words))
        bounds.append(ends)
        offsets.append(ends[offsets[-1]])
        symbols.append(children if edit is None else edit(level + 1, keys, children, offsets[-1]))
    return Derivations(grammar, tuple(symbols), tuple(bounds), tuple(offsets))


def _choose(table: Level, symbols: np.ndarray, words: np.ndarray) -> np.ndarray:
    """int64[nodes]: a rule number for every symbol, uniform over the symbol's rules."""
    if np.all(table.degree == table.degree[0]):
        return symbols * table.degree[0] + below(words, table.degree[0])
    return table.first.take(symbols) + below(words, table.degree.take(symbols))


def _expand(table: Level, rules: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the children of all nodes (int64) and the bounds between them (int64[nodes + 1])."""
    bounds = np.zeros(len(rules) + 1, np.int64)
    np.cumsum(table.width.take(rules), out=bounds[1:])
    first = bounds[:-1]
    children = np.empty(bounds[-1] + 2, np.int64)
    # Last place first: what a short rule writes past its end lies on places of the next nodes
    # that a later scatter fills.
    for place in reversed(range(table.width.max())):
        children[first + place] = table.children[place].take(rules)
    return children[: bounds[-1]], bounds
