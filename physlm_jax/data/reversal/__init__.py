"""Reverse training: training strings read backwards too, so that facts are learned both ways.

The four kinds of reversal as pure functions of one sample (`tokens`, `words`, `entities`,
`segments`); `ReverseMix`, a world that shows the samples of a source forward and reversed; and
sources: code-word pairs (`symbolic`), biographies, texts in the public formats of the reversal
curse's data (`facts`, `celebrities`), any other world (`pool`).
Source: arXiv 2403.13799 (Golovneva, Allen-Zhu, Weston, Sukhbaatar).
"""

from typing import Any

from physlm_jax.data.questions import Questions
from physlm_jax.data.reversal.kinds import (
    entities,
    mapped,
    segments,
    split,
    tokens,
    words,
)
from physlm_jax.data.reversal.mixing import KINDS, ReverseMix
from physlm_jax.data.reversal.source import Listed, Source
from physlm_jax.data.reversal.tasks import TASKS
from physlm_jax.errors import InputError, unknown

__all__ = [
    "KINDS",
    "TASKS",
    "Listed",
    "Questions",
    "ReverseMix",
    "Source",
    "entities",
    "mapped",
    "segments",
    "split",
    "tokens",
    "words",
]


def world(
    task: str = "symbolic",
    kind: str = "none",
    k: int = 25,
    ratio: float = 0.5,
    leading_rev: bool = False,
    direction_token: bool = False,
    seed: int = 0,
    options: Any = None,
) -> ReverseMix:
    """Returns the world that a config describes.

    Args:
        task: the source, one of `TASKS`.
        kind: "none" (standard training), "token", "word", "entity" or "segment".
        k: longest segment of kind "segment", in tokens.
        ratio: share of reversed exposures (0 for kind "none").
        leading_rev: segments also begin with [REV].  direction_token: reversed samples begin so.
        seed: of the source's facts.
        options: of the source, see its function.

    Raises:
        InputError: any of these is wrong.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS, "config.data")
    given = dict(options or {})
    known = TASKS[task].__annotations__
    for name in given:
        if name not in known or name in ("seed", "return"):
            allowed = [key for key in known if key not in ("seed", "return")]
            raise unknown("option", name, allowed, f"config.data.options of task '{task}'")
    try:
        source = TASKS[task](seed=seed, **given)
    except TypeError as error:
        raise InputError(f"config.data.options of task '{task}': {error}") from None
    return ReverseMix(
        source, kind, k, 0.0 if kind == "none" else ratio, leading_rev, direction_token
    )
