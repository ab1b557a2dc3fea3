"""One module per paper: its claims, each with the runs to train, a measurement and a rule.

A module of this package is a study if it has a tuple `CLAIMS` of `claim.Claim`.
"""

import importlib
import pkgutil
from typing import Any

from physlm_jax.errors import unknown


def names() -> list[str]:
    """Returns the names of the studies, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if _claims(m.name) is not None)


def claims(study: str) -> tuple[Any, ...]:
    """Returns the claims (`claim.Claim`) of a study, in the order in which to tell them.

    Raises:
        InputError: no study of that name.
    """
    if study not in names():
        raise unknown("study", study, names())
    return _claims(study) or ()


def _claims(module: str) -> tuple[Any, ...] | None:
    return getattr(importlib.import_module(f"{__name__}.{module}"), "CLAIMS", None)
