"""The languages as training data: BOS string EOS, plain, corrupted or through an alphabet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physlm_jax.data.cfg.alphabet import Alphabet
from physlm_jax.data.cfg.corruption import PAPER_RATES, Corruption, sample_corrupted
from physlm_jax.data.cfg.files import load
from physlm_jax.data.cfg.grammar import Grammar
from physlm_jax.data.cfg.recursive import load_rules
from physlm_jax.data.cfg.recursive_world import RecursiveWorld, expected_length
from physlm_jax.data.cfg.statistics import statistics
from physlm_jax.data.hashing import example_keys
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError


@dataclass(frozen=True)
class CfgWorld:
    """A stream of strings of one language.

    Attributes:
        grammar: the language. corruption: what is done to its strings.
        alphabet: the observable tokens of an implicit language; None if tokens are terminals.
    """

    grammar: Grammar
    corruption: Corruption
    alphabet: Alphabet | None

    @property
    def tokens(self) -> int:
        """V, the number of tokens besides BOS, EOS and MASK: they are 1..V."""
        return self.alphabet.size if self.alphabet else self.grammar.terminals

    @property
    def emission(self) -> np.ndarray | None:
        """What the oracles take as `emission` to judge strings of this world."""
        return self.alphabet.emission if self.alphabet else None

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """BOS = 0, the tokens 1..V, EOS = V + 1, MASK = V + 2."""
        plain = [str(t) for t in range(1, self.tokens + 1)]
        names = plain if self.alphabet else self.grammar.symbols[-1]
        return Vocabulary(("<bos>", *names, "<eos>", "<mask>"), bos=0, eos=self.tokens + 1)

    @property
    def mask(self) -> int:
        """The id that hides a token from an encoder."""
        return self.tokens + 2

    @cached_property
    def mean_length(self) -> float:
        """Expected tokens per example with BOS and EOS; exact but for `nt_` corruptions."""
        return statistics(self.grammar).mean_length + 2.0

    def strings(self, seed: int, start: int, count: int) -> Ragged:
        """Returns the examples without BOS and EOS."""
        plain = sample_corrupted(self.grammar, self.corruption, seed, start, count)
        if self.alphabet is None:
            return plain
        keys = example_keys(seed, start, count)
        return Ragged(self.alphabet.observe(keys, plain.tokens, plain.offsets), plain.offsets)

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns training examples start..start+count-1 of the stream `seed`, BOS .. EOS."""
        return self.strings(seed, start, count).framed(0, self.tokens + 1)


def world(
    grammar: str = "cfg3b",
    under: int = 0,
    corruption: str = "none",
    corruption_rate: float = -1.0,
    corruption_fraction: float = 1.0,
    alphabet: int = 0,
    bags: str = "disjoint",
    bag_weights: str = "uniform",
    alphabet_seed: int = 0,
    rules: str = "",
) -> CfgWorld | RecursiveWorld:
    """Returns the world that a config describes.

    Args:
        grammar: a published name or the path of a grammar file.
        under: official id of a nonterminal: the language of its subtrees; 0 for the whole.
        corruption: "none", "t_random", "nt_random" or "nt_deterministic".
        corruption_rate: chance of each symbol to be replaced; -1 for the paper's.
        corruption_fraction: share of corrupted strings (the paper's gamma).
        alphabet: number of observable tokens of an implicit language; 0 for plain terminals.
        bags, bag_weights, alphabet_seed: see `Alphabet`.
        rules: path of a file of recursive rules (see `recursive`): the language is theirs, and
            the options for layered languages must be left alone.

    Raises:
        InputError: any of these is wrong.
    """
    if rules:
        if under or alphabet or corruption != "none":
            raise InputError("'rules' cannot be combined with under, alphabet or corruption")
        world = RecursiveWorld(load_rules(rules))
        expected_length(world.grammar)  # refuses endless languages here rather than in training
        return world
    language = load(grammar)
    if under:
        language = language.under(under)
    rate = PAPER_RATES.get(corruption, 0.0) if corruption_rate == -1 else corruption_rate
    observable = (
        Alphabet(language.terminals, alphabet, bags, bag_weights, alphabet_seed)
        if alphabet
        else None
    )
    return CfgWorld(language, Corruption(corruption, rate, corruption_fraction), observable)
