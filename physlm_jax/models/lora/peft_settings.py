"""`adapter_config.json` of PEFT: which modules are adapted, at which rank and scale.

Source: PEFT 0.21.2, `LoraConfig`; patterns are matched as it matches them.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from physlm_jax.errors import InputError
from physlm_jax.models.huggingface.tensors import listed, read_json

# keys that do not change what a saved adapter computes
IDLE = (
    "auto_mapping",
    "base_model_name_or_path",
    "fan_in_fan_out",
    "inference_mode",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
)
# key -> the values that are implemented; a missing key or null is always one of them
CLOSED = {
    "peft_type": ("LORA",),
    "task_type": ("CAUSAL_LM",),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal"),
}
READ = (
    "alpha_pattern",
    "exclude_modules",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "r",
    "rank_pattern",
    "target_modules",
    "use_dora",
    "use_rslora",
)


@dataclasses.dataclass(frozen=True)
class PeftSettings:
    """What of the file changes the numbers; names as there, "" and () where a value is null.

    Attributes:
        path: the file, for messages.
    """

    path: Path
    r: int
    lora_alpha: float
    lora_dropout: float
    use_rslora: bool
    use_dora: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    target_modules: str | tuple[str, ...]
    exclude_modules: str | tuple[str, ...]
    layers_to_transform: tuple[int, ...]
    layers_pattern: tuple[str, ...]

    def rank(self, name: str) -> int:
        """Returns R of a module."""
        return _found(self.rank_pattern, name, self.r)

    def scale(self, name: str) -> float:
        """Returns what the product of a module is multiplied with."""
        rank = self.rank(name)
        return _found(self.alpha_pattern, name, self.lora_alpha) / (
            rank**0.5 if self.use_rslora else rank
        )

    def targets(self, name: str, linear: bool) -> bool:
        """Whether a module has an adapter.

        Args:
            linear: it is a linear map other than the output map.
        """
        if _named(self.exclude_modules, name):
            return False
        if self.target_modules == "all-linear":
            return linear
        if isinstance(self.target_modules, str) or name in self.target_modules:
            return _named(self.target_modules, name)
        return _named(self.target_modules, name) and self._in_layers(name)

    def _in_layers(self, name: str) -> bool:
        if not self.layers_to_transform:
            return True
        patterns = self.layers_pattern or (r"[^.]*",)
        for pattern in patterns:
            found = re.match(rf"(?:^|.*?\.){pattern}\.(\d+)\.", name)
            if found:
                return int(found[1]) in self.layers_to_transform
        return False


def read(path: Path) -> PeftSettings:
    """Returns the settings of an `adapter_config.json`.

    Raises:
        InputError: a setting that is not implemented, or of a wrong type.
    """
    values = {key: value for key, value in read_json(path).items() if value is not None}
    if "peft_type" not in values:
        raise InputError(f"{path} has no 'peft_type'")
    for key, allowed in CLOSED.items():
        if values.get(key, allowed[0]) not in allowed:
            known = ", ".join(str(a) for a in allowed)
            raise InputError(
                f"{path}: {key} = {values[key]!r} is not implemented (allowed: {known})"
            )
    beyond = {*IDLE, *CLOSED, *READ}
    more = sorted(key for key, value in values.items() if value and key not in beyond)
    if more:
        raise InputError(f"{path}: not implemented: {listed(more)}")
    try:
        return _typed(path, values)
    except (TypeError, ValueError, AttributeError, re.error) as error:
        raise InputError(f"{path}: a setting has a value of a wrong kind: {error}") from None


def _typed(path: Path, values: Mapping[str, Any]) -> PeftSettings:
    """Raises TypeError, ValueError or AttributeError where a value is of a wrong kind."""
    ranks = {str(k): int(v) for k, v in values.get("rank_pattern", {}).items()}
    alphas = {str(k): float(v) for k, v in values.get("alpha_pattern", {}).items()}
    targets, excluded = (_names(values.get(k, ())) for k in ("target_modules", "exclude_modules"))
    layers = values.get("layers_to_transform", ())
    chosen = (layers,) if isinstance(layers, int) else tuple(int(layer) for layer in layers)
    patterns = _names(values.get("layers_pattern", ()))
    for pattern in (*ranks, *alphas, *patterns):
        re.compile(pattern)
    for pattern in (targets, excluded):
        re.compile(pattern if isinstance(pattern, str) else "")
    if isinstance(targets, str) and chosen:
        raise ValueError("layers_to_transform goes with a list of target_modules alone")
    rank = int(values.get("r", 8))
    if min((rank, *ranks.values())) < 1:
        raise ValueError("r and rank_pattern must be at least 1")
    return PeftSettings(
        path,
        rank,
        float(values.get("lora_alpha", 8)),
        float(values.get("lora_dropout", 0)),
        bool(values.get("use_rslora", False)),
        bool(values.get("use_dora", False)),
        ranks,
        alphas,
        targets,
        excluded,
        chosen,
        (patterns,) if isinstance(patterns, str) and patterns else tuple(patterns),
    )


def _names(value: Any) -> str | tuple[str, ...]:
    return value if isinstance(value, str) else tuple(str(name) for name in value)


def _named(wanted: str | tuple[str, ...], name: str) -> bool:
    """A regular expression for the whole name, or the names that it may end with."""
    if isinstance(wanted, str):
        return bool(wanted) and re.fullmatch(wanted, name) is not None
    return any(name == end or name.endswith(f".{end}") for end in wanted)


def _found(patterns: Mapping[str, Any], name: str, default: Any) -> Any:
    """The value of the first pattern that a name, or the end of it behind a dot, matches."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return default
