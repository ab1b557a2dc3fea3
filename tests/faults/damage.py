"""Ways to damage a file, and the files of a checkpoint."""

import random
from pathlib import Path


def files(folder: Path) -> list[Path]:
    """Returns every file that holds something, by name."""
    found = [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size]
    return sorted(found, key=lambda p: str(p.relative_to(folder)))


def flip(path: Path, choose: random.Random) -> str:
    """Flips one bit of one byte; returns what was done, in words."""
    raw = bytearray(path.read_bytes())
    place, bit = choose.randrange(len(raw)), choose.randrange(8)
    raw[place] ^= 1 << bit
    path.write_bytes(raw)
    return f"bit {bit} of byte {place} of {len(raw)} flipped"


def truncate(path: Path, choose: random.Random) -> str:
    """Cuts a file short; returns what was done, in words."""
    size = path.stat().st_size
    left = choose.randrange(size)
    path.write_bytes(path.read_bytes()[:left])
    return f"cut to {left} of {size} bytes"


def remove(path: Path, choose: random.Random) -> str:
    """Removes a file; returns what was done, in words."""
    del choose
    path.unlink()
    return "removed"


WAYS = {"truncate": truncate, "remove": remove, "flip": flip}
