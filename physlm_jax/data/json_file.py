"""A user's or the project's own JSON file, read with one clear line for what is wrong."""

from __future__ import annotations

import json
from typing import Any

from physlm_jax.errors import InputError


def read_json(source: Any) -> Any:
    """Returns what a JSON file holds.

    Args:
        source: a `Path`, or a file of a package.

    Raises:
        InputError: it cannot be read, is not JSON, or an object has a key twice.
    """
    try:
        return json.loads(source.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except RecursionError:
        raise InputError("not JSON that can be read: too many brackets in one another") from None
    except json.JSONDecodeError as error:
        raise InputError(f"line {error.lineno}: not JSON: {error.msg}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"not readable as text: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict; `json` alone would keep the last of two equal keys in silence."""
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"the key {key!r} occurs {keys.count(key)} times in one object")
    return dict(pairs)
