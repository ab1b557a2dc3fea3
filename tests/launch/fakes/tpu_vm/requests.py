"""Stands for the metadata server of Compute Engine: answers from $FAKE_METADATA."""

import json
import os
from types import SimpleNamespace
from typing import Any


def get(url: str, **_: Any) -> SimpleNamespace:
    """Returns the attribute that the address names; 404 if there is none."""
    known = json.loads(os.environ["FAKE_METADATA"])
    name = url.rsplit("/", 1)[-1]
    return SimpleNamespace(text=known.get(name, ""), status_code=200 if name in known else 404)
