"""iGSM as training data: the examples of one specification, with or without mistakes taken back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from physlm_jax.data.igsm.emission import ORDERS, Retry, tokens
from physlm_jax.data.igsm.language import ANSWER, SOLUTION
from physlm_jax.data.igsm.parsing import Mistake
from physlm_jax.data.igsm.problem import Problem
from physlm_jax.data.igsm.spec import ALL_BINS, TRAIN_BINS, Spec, named, sides
from physlm_jax.data.igsm.tokenizers import Tokenizer, tokenizer
from physlm_jax.data.igsm.verifier import Verdict, verify
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError, unknown

SPLITS = ("all", "train", "test")
_MEASURED = 400  # examples whose mean length is taken for all


@dataclass(frozen=True)
class IgsmWorld:
    """A stream of problems with their solutions.

    Attributes:
        spec: of training.
        train_bins: its bins; empty if nothing is held out.
        kind: of the vocabulary: see `tokenizer`.
        order: "pq" or "qp".  retry: mistakes.  longest: in tokens; longer ones are left out.
        prompt_weight, symbol_weight: of the loss of the prompt's tokens, of new letters.
    """

    spec: Spec
    train_bins: tuple[int, ...] = ()
    kind: str = "items"
    order: str = "pq"
    retry: Retry = field(default_factory=Retry)
    longest: int = 0
    prompt_weight: float = 1.0
    symbol_weight: float = 1.0

    @cached_property
    def vocabulary(self) -> Tokenizer:
        """The ids of the language."""
        return tokenizer(self.spec, self.kind)

    @cached_property
    def mean_length(self) -> float:
        """Mean tokens of an example, of the first few hundred of one stream."""
        return float(self.examples(0, 0, _MEASURED).lengths.mean())

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        """Returns training examples start..start+count-1 of the stream `seed`, BOS .. EOS.

        With a mask the label `weights`, float32 per token, is 0 where there is no loss.
        """
        return tokens(
            self.spec,
            self.vocabulary,
            seed,
            start,
            count,
            order=self.order,
            retry=self.retry,
            most=self.longest,
            prompt_weight=self.prompt_weight,
            symbol_weight=self.symbol_weight,
        )

    def held_out(self, op: int = 0, reask: bool = False) -> Spec:
        """Returns the specification of test problems: of bins that training does not see.

        Args:
            op: operations of every problem; 0: as in training.
            reask: ask for another parameter.
        """
        bins = sides(self.train_bins)[1] if self.train_bins else ALL_BINS
        return dataclasses.replace(self.spec, bins=bins, op=op, reask=reask)

    def prompt(self, problem: Problem) -> list[int]:
        """Returns the ids of <problem> prompt <solution>."""
        inner = self._ids(problem, problem.prompt_pieces(self.order))
        return [self.vocabulary.bos, *inner, self.vocabulary.role(SOLUTION)]

    def solution(self, problem: Problem) -> list[int]:
        """Returns the ids of the solution."""
        return self._ids(problem, problem.solution_pieces())

    def name(self, problem: Problem, place: int) -> list[int]:
        """Returns the ids of a parameter's name."""
        return self._ids(problem, problem.name_pieces(place))

    def _ids(self, problem: Problem, pieces: np.ndarray) -> list[int]:
        """Spelled as in training: a text alone may leave open which of the names it holds.

        Raises:
            InputError: the problem has names that the vocabulary does not have.
        """
        if problem.names == self.spec.all_names:
            return self.vocabulary.spell(pieces)[0].tolist()
        return self.vocabulary.encode(problem.told(pieces)).tolist()

    def judge(self, problem: Problem, ids: Sequence[int], strict: bool = False) -> Verdict:
        """Returns the verdict on what a model wrote after `prompt`, up to but without <end>.

        It is right if it is a right solution, <answer> and the answer.
        """
        answer = self.vocabulary.role(ANSWER)
        written = list(ids)
        at = written.index(answer) if answer in written else len(written)
        verdict = verify(problem, self.vocabulary.decode(written[:at]), strict)
        said = self.vocabulary.decode(written[at + 1 :])
        if not verdict.correct or (at < len(written) and said == f" {problem.answer}"):
            return verdict
        detail = f"after the solution '{said[:30]}' instead of the answer {problem.answer}"
        return dataclasses.replace(verdict, correct=False, error=Mistake("unmarked", -1, detail))

    def size(self, problem: Problem) -> int:
        """Tokens of the whole example without mistakes."""
        return len(self.prompt(problem)) + len(self.solution(problem)) + 3


def world(
    spec: str = "med",
    op_max: int = 0,
    ip_max: int = 0,
    op: int = 0,
    depths: Sequence[int] = (),
    widths: Sequence[int] = (),
    chains: int = -1,
    categories: int = -1,
    subcategories: int = -1,
    items: int = -1,
    names: str = "",
    split: str = "train",
    train_bins: Sequence[int] = TRAIN_BINS,
    vocabulary: str = "items",
    order: str = "pq",
    retry_rate: float = 0.0,
    retry_kind: str = "retry",
    retry_mask: str = "none",
    longest: int = 0,
    prompt_weight: float = 1.0,
    symbol_weight: float = 1.0,
) -> IgsmWorld:
    """Returns the world that a config describes.

    Args:
        spec: "med", "hard", "mini" or "mini-gpu".
        op_max, ip_max, op, depths, widths: replace the specification's; 0 or empty: leave them.
        chains, categories, subcategories, items: the same; -1: leave them.  names: a file of names.
        split: "train", problems of `train_bins`; "test", of the others; or "all".
        vocabulary: "items", "words" or the path of GPT-2's.  order: "pq" or "qp".
        retry_rate, retry_kind, retry_mask: see `Retry`.
        longest: examples of more tokens are left out; 0 for no limit.
        prompt_weight, symbol_weight: of the loss of the prompt's tokens and of the letters of new
            symbols, 1 as in the papers.

    Raises:
        InputError: any of these is wrong.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS, "config.data.split of world 'igsm'")
    if order not in ORDERS:
        raise unknown("order", order, ORDERS, "config.data.order of world 'igsm'")
    if longest < 0:
        raise InputError(f"config.data.longest must be at least 0 (tokens), got {longest}")
    changes: dict[str, Any] = {
        "op_max": op_max,
        "ip_max": ip_max,
        "op": op,
        "depths": tuple(depths),
    }
    changes |= {"widths": tuple(widths), "names": names}
    kept = {key: value for key, value in changes.items() if value}
    counts = {
        "chains": chains,
        "categories": categories,
        "subcategories": subcategories,
        "items": items,
    }
    kept |= {key: value for key, value in counts.items() if value >= 0}
    train, test = sides(train_bins)
    bins = {"all": ALL_BINS, "train": train, "test": test}[split]
    chosen = dataclasses.replace(named(spec), bins=bins, **kept)
    retry = Retry(retry_rate, retry_kind, retry_mask)
    train_bins = () if split == "all" else bins
    weights = (prompt_weight, symbol_weight)
    return IgsmWorld(chosen, train_bins, vocabulary, order, retry, longest, *weights)
