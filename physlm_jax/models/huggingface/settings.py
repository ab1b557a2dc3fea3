"""Reading a `config.json`: typed values, and a refusal by name of what is not implemented."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from physlm_jax.errors import InputError, unknown
from physlm_jax.models.transformer import TransformerConfig

REQUIRED = object()
ACTIVATIONS = {
    "gelu_new": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu_fast": "gelu",  # one formula, three ways of rounding it
    "gelu": "gelu_exact",
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The values of a `config.json`.

    Attributes:
        values: by key.  path: the file, for messages.
    """

    values: Mapping[str, Any]
    path: Path

    def get(self, key: str, default: Any = None) -> Any:
        """Returns a value; the default where the key is missing or null."""
        value = self.values.get(key)
        return default if value is None else value

    def whole(self, key: str, default: Any = REQUIRED) -> int:
        """Returns a whole number.

        Raises:
            InputError: it is missing and has no default, or is no whole number.
        """
        value = self.get(key, default)
        if value is REQUIRED:
            raise InputError(f"{self.path} has no '{key}'")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(f"{self.path}: '{key}' must be a whole number, got {value!r}")
        return value

    def number(self, key: str, default: float) -> float:
        """Returns a number.

        Raises:
            InputError: it is something else.
        """
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{self.path}: '{key}' must be a number, got {value!r}")
        return float(value)

    def only(self, key: str, *allowed: Any) -> None:
        """Refuses any other value of a key; the first one is what a missing key means.

        Raises:
            InputError: another value, which is not implemented.
        """
        value = self.get(key, allowed[0])
        if value not in allowed:
            known = " or ".join(str(a) for a in allowed)
            raise InputError(
                f"{self.path}: {key} = {value!r} is not implemented (allowed: {known})"
            )

    def activation(self, key: str, default: str) -> str:
        """Returns our name of the activation of a plain MLP.

        Raises:
            InputError: another one than gelu.
        """
        name = self.get(key, default)
        if name not in ACTIVATIONS:
            raise unknown(f"{key}", name, ACTIVATIONS, str(self.path))
        return ACTIVATIONS[name]

    def rotary(self, base: str, fraction: str, default: float) -> tuple[float, float]:
        """Returns the base and the fraction of the rotary embedding.

        Args:
            base, fraction: their keys in files of before transformers 5, which moved them into
                `rope_parameters`.
            default: fraction where none is given.
        Raises:
            InputError: positions are scaled.
        """
        values = self.get("rope_scaling") or self.get("rope_parameters") or {}
        inner = Settings(values, self.path) if isinstance(values, Mapping) else self
        if inner is self or any(isinstance(v, Mapping) for v in values.values()):
            raise InputError(f"{self.path}: rope_parameters that differ by layer: not implemented")
        kind = inner.get("rope_type", inner.get("type", "default"))
        if kind != "default":
            raise InputError(
                f"{self.path}: rotary positions scaled by '{kind}' are not implemented "
                "(allowed: default)"
            )
        outer = self.number(base, 10000.0), self.number(fraction, default)
        return (
            inner.number("rope_theta", outer[0]),
            inner.number("partial_rotary_factor", outer[1]),
        )


def differing(config: TransformerConfig, **allowed: tuple[Any, ...]) -> list[str]:
    """Returns what of a configuration is not among the allowed values, as "field=value"."""
    return [
        f"{field}={getattr(config, field)!r}"
        for field, values in allowed.items()
        if getattr(config, field) not in values
    ]
