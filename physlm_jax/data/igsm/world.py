"""iGSM as training data: the examples of one specification, with or without mistakes taken back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from physlm_jax.data.igsm.emission import ORDERS, Retry, tokens
from physlm_jax.data.igsm.language import ANSWER, SOLUTION
from physlm_jax.data.igsm.problem import Problem, sample
from physlm_jax.data.igsm.spec import ALL_BINS, TRAIN_BINS, Spec, named, sides
from physlm_jax.data.igsm.tokenizers import Tokenizer, tokenizer
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError, unknown

SPLITS = ("all", "train", "test")
_MEASURED = 400  # examples whose mean length is taken for all


@dataclass(frozen=True)
class IgsmWorld:
    """A stream of problems with their solutions.

    Attributes:
        spec: of training; its bins are those of the training side.
        train_bins: they; empty if nothing is held out.
        kind: of the vocabulary: see `tokenizer`.
        order: "pq" or "qp".  retry: mistakes.  longest: in tokens; longer ones are left out.
    """

    spec: Spec
    train_bins: tuple[int, ...] = ()
    kind: str = "items"
    order: str = "pq"
    retry: Retry = field(default_factory=Retry)
    longest: int = 0

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
        )

    def held_out(self, op: int = 0, reask: bool = False) -> Spec:
        """Returns the specification of test problems: of bins that training does not see.

        Args:
            op: operations of every problem; 0: as in training.
            reask: ask for another parameter.
        """
        bins = sides(self.train_bins)[1] if self.train_bins else ALL_BINS
        return dataclasses.replace(self.spec, bins=bins, op=op, reask=reask)

    def problems(self, seed: int, count: int, op: int = 0, reask: bool = False) -> list[Problem]:
        """Returns the first test problems of the stream `seed`: see `held_out`."""
        return sample(self.held_out(op, reask), seed, 0, count)

    def prompt(self, problem: Problem) -> list[int]:
        """Returns the ids of <problem> prompt <solution>."""
        inner = self.vocabulary.encode(problem.prompt(self.order)).tolist()
        return [self.vocabulary.bos, *inner, self.vocabulary.role(SOLUTION)]

    @property
    def answer(self) -> int:
        """The id that ends a solution and begins an answer."""
        return self.vocabulary.role(ANSWER)


def world(
    spec: str = "med",
    op_max: int = 0,
    ip_max: int = 0,
    op: int = 0,
    depths: Sequence[int] = (),
    widths: Sequence[int] = (),
    chains: int = -1,
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
) -> IgsmWorld:
    """Returns the world that a config describes.

    Args:
        spec: "med", "hard", "mini" or "mini-gpu".
        op_max, ip_max, op, depths, widths: replace the specification's; 0 or empty: leave them.
        chains, subcategories, items: the same; -1: leave them.  names: a file of names.
        split: "train", problems of `train_bins`; "test", of the others; or "all".
        vocabulary: "items", "words" or the path of GPT-2's.  order: "pq" or "qp".
        retry_rate, retry_kind, retry_mask: see `Retry`.
        longest: examples of more tokens are left out; 0 for no limit.

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
    counts = {"chains": chains, "subcategories": subcategories, "items": items}
    kept |= {key: value for key, value in counts.items() if value >= 0}
    train, test = sides(train_bins)
    bins = {"all": ALL_BINS, "train": train, "test": test}[split]
    chosen = dataclasses.replace(named(spec), bins=bins, **kept)
    retry = Retry(retry_rate, retry_kind, retry_mask)
    train_bins = () if split == "all" else train
    return IgsmWorld(chosen, train_bins, vocabulary, order, retry, longest)
