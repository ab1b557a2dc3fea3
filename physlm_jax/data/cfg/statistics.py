"""Exact figures of a grammar by backward recursions over its levels; nothing is sampled.

With R(a) the rules of symbol a, all equally likely:
Len(a) = mean over rules of the sum of Len(child);
Var(a) = mean over rules of the sum of Var(child) + variance over rules of the sum of Len(child);
H(a) = log2 |R(a)| + mean over rules of the sum of H(child).
Source: the recursions follow from the independence of rule choices (arXiv 2305.13673, section 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, pvariance

from physlm_jax.data.cfg.grammar import Grammar


@dataclass(frozen=True)
class Statistics:
    """Exact figures of the strings and derivations of a grammar.

    Attributes:
        rules: number of rules, all levels together.
        mean_length, sd_length: tokens per string, without BOS and EOS.
        min_length, max_length: bounds that some derivation attains.
        tree_entropy: bits per derivation, H_tree = E[-log2 p(derivation)]; the entropy of
            strings is at most this, and equal if no string has two derivations.
        log2_derivations: log2 of the number of derivations.
    """

    rules: int
    mean_length: float
    sd_length: float
    min_length: int
    max_length: int
    tree_entropy: float
    log2_derivations: float


@lru_cache(maxsize=64)
def statistics(grammar: Grammar) -> Statistics:
    """Returns the exact figures of the grammar (computed once)."""
    mean = [1.0] * grammar.terminals
    variance = [0.0] * grammar.terminals
    for level in reversed(grammar.rules):
        lengths = [[sum(mean[c] for c in rhs) for rhs in symbol] for symbol in level]
        spreads = [[sum(variance[c] for c in rhs) for rhs in symbol] for symbol in level]
        variance = [fmean(s) + pvariance(n) for s, n in zip(spreads, lengths, strict=True)]
        mean = [fmean(n) for n in lengths]
    return Statistics(
        rules=sum(len(symbol) for level in grammar.rules for symbol in level),
        mean_length=mean[0],
        sd_length=math.sqrt(variance[0]),
        min_length=int(_fold(grammar, 1, min)),
        max_length=int(_fold(grammar, 1, max)),
        tree_entropy=_fold(grammar, 0, lambda sums: math.log2(len(sums)) + fmean(sums)),
        log2_derivations=math.log2(derivations(grammar)),
    )


def derivations(grammar: Grammar) -> int:
    """Returns the exact number of derivations (an upper bound on the number of strings)."""
    count = [1] * grammar.terminals
    for level in reversed(grammar.rules):
        count = [sum(math.prod(count[c] for c in rhs) for rhs in symbol) for symbol in level]
    return count[0]


def _fold(grammar: Grammar, leaf: float, combine: Callable[[list[float]], float]) -> float:
    """Folds bottom-up: a symbol's value is `combine` of its rules' sums over their children."""
    value = [leaf] * grammar.terminals
    for level in reversed(grammar.rules):
        value = [combine([sum(value[c] for c in rhs) for rhs in symbol]) for symbol in level]
    return value[0]
