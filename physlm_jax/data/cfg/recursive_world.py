"""Training data from recursive rules: strings drawn top-down, BOS string EOS."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from physlm_jax.data.cfg.recursive import RecursiveGrammar
from physlm_jax.data.hashing import example_keys
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError


@dataclass(frozen=True, eq=False)
class RecursiveWorld:
    """A stream of strings of a recursive grammar; `recursive.is_valid` and `log_prob` judge them.

    Attributes:
        grammar: the language.
    """

    grammar: RecursiveGrammar

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """BOS = 0, the terminals 1..|T|, EOS = |T| + 1, MASK = |T| + 2."""
        words = self.grammar.terminals
        return Vocabulary(("<bos>", *words, "<eos>", "<mask>"), bos=0, eos=len(words) + 1)

    @property
    def mask(self) -> int:
        """The id that hides a token from an encoder."""
        return len(self.grammar.terminals) + 2

    @cached_property
    def mean_length(self) -> float:
        """Expected tokens per example, BOS and EOS included, exact."""
        return expected_length(self.grammar) + 2.0

    def strings(self, seed: int, start: int, count: int) -> Ragged:
        """Returns the examples without BOS and EOS; example i depends on (seed, i) alone."""
        token = {word: i for i, word in enumerate(self.grammar.terminals, 1)}
        keys = example_keys(seed, start, count).tolist()
        return Ragged.from_sequences([_draw(self.grammar, token, random.Random(k)) for k in keys])

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns training examples start..start+count-1 of the stream `seed`, BOS .. EOS."""
        return self.strings(seed, start, count).framed(0, self.vocabulary.eos)


def expected_length(grammar: RecursiveGrammar) -> float:
    """Returns the expected number of tokens of a string.

    Raises:
        InputError: it is infinite: on average a symbol leads to one symbol or more.
    """
    number = {symbol: i for i, symbol in enumerate(grammar.rules)}
    symbols = np.zeros((len(number), len(number)))
    tokens = np.zeros(len(number))
    for symbol, sides in grammar.rules.items():
        for word in (w for rhs in sides for w in rhs):
            if word in number:
                symbols[number[symbol], number[word]] += 1.0 / len(sides)
            else:
                tokens[number[symbol]] += 1.0 / len(sides)
    if np.abs(np.linalg.eigvals(symbols)).max() > 1.0 - 1e-6:
        raise InputError(
            f"rules '{grammar.name}': with all rules of a symbol equally likely the expected "
            "length of a string is infinite; give the recursive symbols more rules that end"
        )
    return float(np.linalg.solve(np.eye(len(number)) - symbols, tokens)[0])


def _draw(grammar: RecursiveGrammar, token: dict[str, int], rng: random.Random) -> list[int]:
    drawn, waiting = [], [next(iter(grammar.rules))]
    while waiting:
        word = waiting.pop()
        if word in grammar.rules:
            waiting.extend(reversed(rng.choice(grammar.rules[word])))
        else:
            drawn.append(token[word])
    return drawn
