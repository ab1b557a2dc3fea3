"""GPT-2's byte-pair encoding, read from the files of whoever has them.

Byte b is written as a printable character; words are cut apart first and their characters merged
pair by pair, the pair that was learned first before all others. Source: Radford et al. (2019),
section 2.2, and the format of the published files.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from physlm_jax.errors import InputError

# letters, decimal digits, other characters; fractions and the like count as letters here
PART = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def _alphabet() -> dict[int, str]:
    """The character that each byte is written as: itself if printable, else one from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}


BYTES = _alphabet()


@dataclass(frozen=True)
class BytePairs:
    """A vocabulary and its merges.

    Attributes:
        ids: the id of every written token.  ranks: the order in which pairs were learned.
    """

    ids: Mapping[str, int]
    ranks: Mapping[tuple[str, str], int]
    _seen: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The written token of every id."""
        return tuple(sorted(self.ids, key=lambda name: self.ids[name]))

    def encode(self, part: str) -> tuple[int, ...]:
        """Returns the ids of one part of a text: see `PART`."""
        if part not in self._seen:
            self._seen[part] = tuple(self.ids[word] for word in self._merge(part))
        return self._seen[part]

    def _merge(self, part: str) -> list[str]:
        words = [BYTES[b] for b in part.encode()]
        while len(words) > 1:
            pairs = list(itertools.pairwise(words))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            merged, i = [], 0
            while i < len(words):
                if i < len(pairs) and pairs[i] == best:
                    merged.append(words[i] + words[i + 1])
                    i += 2
                else:
                    merged.append(words[i])
                    i += 1
            words = merged
        return words

    def decode(self, ids: Sequence[int], roles: Mapping[int, str]) -> str:
        """Returns the text of ids; those of a role as its name."""
        back = {char: byte for byte, char in BYTES.items()}
        found = b""
        for i in ids:
            found += (
                roles[i].encode() if i in roles else bytes(back[char] for char in self.names[i])
            )
        return found.decode(errors="replace")


def read(path: Path) -> BytePairs:
    """Reads vocab.json and merges.txt of a folder, or a tokenizer.json.

    Raises:
        InputError: they are not there, or not of that form.
    """
    whole = path / "tokenizer.json" if path.is_dir() else path
    try:
        if whole.is_file():
            model = json.loads(whole.read_text())["model"]
            ids, merges = model["vocab"], model["merges"]
        else:
            ids = json.loads((path / "vocab.json").read_text())
            lines = (path / "merges.txt").read_text().splitlines()
            merges = [line for line in lines if line and not line.startswith("#version")]
        pairs: list[Any] = [tuple(m.split(" ") if isinstance(m, str) else m) for m in merges]
        _check(ids, pairs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no byte-pair vocabulary (vocab.json and merges.txt, or "
            f"tokenizer.json): {error}"
        ) from None
    return BytePairs(ids, {pair: i for i, pair in enumerate(pairs)})


def _check(ids: Mapping[str, int], pairs: Sequence[tuple[str, ...]]) -> None:
    if sorted(ids.values()) != list(range(len(ids))) or len(ids) <= 50256:
        raise ValueError(f"expected ids 0..50256 or more, got {len(ids)}")
    missing = [char for char in BYTES.values() if char not in ids]
    if missing or any(len(pair) != 2 for pair in pairs):
        raise ValueError("a byte without a token, or a merge that is not of two")
