"""Rules that several claims of knowledge share, and which scales there are."""

from __future__ import annotations

import re

from physlm_jax.studies.claim import decide
from physlm_jax.studies.exhibits import Measurement
from physlm_jax.studies.knowledge_measures import Rule

LARGE = ("gpu", "paper")
ALL_SCALES = ("laptop", *LARGE)


def mean(m: Measurement, pattern: str) -> float:
    """Returns the mean of our figures whose labels have a pattern in them.

    Raises:
        ValueError: there is none.
    """
    found = [f.value for f in m.figures if re.search(pattern, f.label) and f.role == "ours"]
    if not found:
        raise ValueError(f"no figure is called '{pattern}'")
    return sum(found) / len(found)


def ratio(m: Measurement, first: str, second: str) -> float:
    """Returns the mean of labels with one pattern over the mean of those with another."""
    return mean(m, first) / mean(m, second)


def apart(first: str, second: str, by: float) -> Rule:
    """Returns a rule: the mean of labels with `first` at least `by` above that of `second`."""

    def rule(m: Measurement) -> str:
        return decide(mean(m, first) >= mean(m, second) + by)

    return rule


def means(m: Measurement) -> dict[str, float]:
    """Returns the means over attributes, by run."""
    return {
        f.label.removesuffix(", mean"): f.value for f in m.figures if f.label.endswith(", mean")
    }
