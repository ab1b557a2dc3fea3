"""Answers with hints: "Communications; Music. -71." states two people's majors, then the result.

If such an answer is right whenever the attributes of all k people in its hint are, and else by
chance, its accuracy is h^k + (1 - h^k) chance, h the share of right attributes. Source: arXiv
2309.14402, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Answer:
    """An answer in words.

    Attributes:
        result: what stands after the hint, or all; None: it has no end.
        hint: the attributes before it, one of each person; () where it has none.
    """

    result: str | None
    hint: tuple[str, ...]


def read(text: str, ended: bool = True) -> Answer:
    """Returns an answer's parts: "Communications; Music. -71." has a hint of two.

    Args:
        ended: the model ended it; an answer without an end has no result.
    """
    text = text.strip()
    before, _, result = text.removesuffix(".").rpartition(". ")
    hint = tuple(before.split("; ")) if before else ()
    return Answer(result if ended and text.endswith(".") else None, hint)


def judged(said: Sequence[Answer], right: Sequence[Answer]) -> dict[str, Any]:
    """Returns how often answers with hints are right: the results, attributes, and all of it.

    Args:
        right: each has the hint that it should have.
    """
    results = [a.result == b.result for a, b in zip(said, right, strict=True)]
    hints = [
        [i < len(a.hint) and a.hint[i] == wanted for i, wanted in enumerate(b.hint)]
        for a, b in zip(said, right, strict=True)
    ]
    return {
        "right": float(np.mean(results)),
        "hint": float(np.mean([h for row in hints for h in row])),
        "hint_all": float(np.mean([all(row) for row in hints])),
        "both": float(np.mean([r and all(row) for r, row in zip(results, hints, strict=True)])),
        "people_of_hint": len(right[0].hint),
    }


def predicted(hint: float, people: int, guess: float) -> float:
    """Returns h^k + (1 - h^k) * chance.

    Args:
        hint: h, share of right attributes.  people: k.  guess: share of right guesses.
    Source: arXiv 2309.14402, section 5 (its rule of thumb for answers with hints).
    """
    return hint**people + (1 - hint**people) * guess
