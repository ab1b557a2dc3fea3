"""A tree of parameters by path: nested dicts as flat ones, and back."""

from collections.abc import Mapping
from typing import Any

Path = tuple[str, ...]


def flat(tree: Any, path: Path = ()) -> dict[Path, Any]:
    """Returns the leaves of a nested dict by path."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {p: leaf for key in tree for p, leaf in flat(tree[key], (*path, key)).items()}


def nested(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """Returns leaves by path as a nested dict."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        folder = tree
        for name in path[:-1]:
            folder = folder.setdefault(name, {})
        folder[path[-1]] = leaf
    return tree


def at(tree: Any, path: Path) -> Any:
    """Returns the leaf of a path; None where there is none."""
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree
