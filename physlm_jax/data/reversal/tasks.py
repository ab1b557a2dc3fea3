"""The sources of samples by name."""

from collections.abc import Callable
from typing import Any

from physlm_jax.data.reversal.biographies import biographies
from physlm_jax.data.reversal.files import celebrities, facts
from physlm_jax.data.reversal.pool import pool
from physlm_jax.data.reversal.symbolic import symbolic

TASKS: dict[str, Callable[..., Any]] = {
    "symbolic": symbolic,
    "biographies": biographies,
    "facts": facts,
    "celebrities": celebrities,
    "pool": pool,
}
