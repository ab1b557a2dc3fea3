"""Dataclasses as plain JSON data and back.

Values cross into JSON by their declared types alone, so a damaged file is told from a sound one.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from physlm_jax.errors import InputError
from physlm_jax.studies.exhibits import KINDS


def encode(value: Any) -> Any:
    """Returns dataclasses, tuples and numbers as JSON data; an exhibit also names its `kind`."""
    if isinstance(value, np.ndarray | np.generic):
        return encode(value.tolist())
    if dataclasses.is_dataclass(value):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        kind = KINDS.get(type(value))
        return {"kind": kind, **fields} if kind else fields
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # 'nan', 'inf': JSON has no such numbers
    return value


def decode(kind: Any, data: Any, where: str) -> Any:
    """Returns JSON data as the type `kind`, or raises an InputError that says where it is not."""
    arguments = typing.get_args(kind)
    if kind is Any or (data is None and type(None) in arguments):
        return data
    if typing.get_origin(kind) is tuple:
        if isinstance(data, list):
            return tuple(decode(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(data))
    elif typing.get_origin(kind) is Mapping:
        if isinstance(data, dict):
            return {k: decode(arguments[1], v, f"{where}.{k}") for k, v in data.items()}
    elif arguments:  # a union: the first member that takes the data; None was dealt with
        for member in (a for a in arguments if _takes(a, data)):
            return decode(member, data, where)
    elif _takes(kind, data):
        return _decode_fields(kind, data, where) if isinstance(data, dict) else kind(data)
    raise InputError(f"{where}: {str(data)[:40]!r} is not {getattr(kind, '__name__', kind)}")


def _takes(kind: Any, data: Any) -> bool:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return isinstance(data, dict) and data.get("kind") == KINDS.get(kind)
    if kind is float:
        return type(data) in (int, float) or data in ("nan", "inf", "-inf")
    return type(data) is kind


def _decode_fields(kind: Any, data: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    odd = sorted(map(str, (data.keys() - {"kind"}) ^ hints.keys()))
    if odd:
        raise InputError(f"{where}: missing or unexpected field: {', '.join(odd)}")
    values = {name: decode(hints[name], data[name], f"{where}.{name}") for name in hints}
    try:
        return kind(**values)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
