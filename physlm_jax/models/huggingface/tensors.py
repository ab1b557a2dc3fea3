"""Files of named arrays in the safetensors format, read array by array and checked first.

A file is the length of its header (8 bytes, little-endian), the header (JSON: name -> dtype, shape,
first and last byte) and the arrays' bytes. Nothing in it is ever executed: that is what the format
is for. Floating-point arrays become float32, bfloat16 and float16 too.

Source: https://github.com/huggingface/safetensors, "Format".
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from physlm_jax.errors import InputError
from physlm_jax.files import replacing

FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16}
LONGEST_HEADER = 100 * 2**20  # bytes; the format's own limit
INDEX = ".index.json"


@dataclasses.dataclass(frozen=True)
class Stored:
    """One array in a file, not read yet.

    Attributes:
        path: of the file.  name, kind, shape: as its header has them.
        start: first byte in the file.
    """

    path: Path
    name: str
    kind: str
    shape: tuple[int, ...]
    start: int

    def read(self) -> np.ndarray:
        """Returns the array as float32.

        Raises:
            InputError: it does not hold floating-point numbers.
        """
        if self.kind not in FLOATS:
            raise InputError(
                f"{self.path}: {self.name} is of type {self.kind}; quantised and integer arrays "
                f"are not implemented (allowed: {', '.join(FLOATS)})"
            )
        count = math.prod(self.shape)
        flat = np.fromfile(self.path, FLOATS[self.kind], count, offset=self.start)
        return flat.astype(np.float32).reshape(self.shape)


def open_file(path: Path) -> dict[str, Stored]:
    """Returns the arrays of one file by name.

    Raises:
        InputError: there is no such file, it is cut short, or it is not of this format.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEADER):
            raise InputError(f"{path} is cut short or not a safetensors file ({size} bytes)")
        text = file.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        found = {name: _stored(path, name, entry, 8 + length) for name, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise InputError(f"{path}: its header is damaged") from None
    if 8 + length + end != size:
        raise InputError(
            f"{path} holds {size} bytes, its header speaks of {8 + length + end}: "
            + ("it is cut short" if size < 8 + length + end else "there is more in it")
        )
    return found


def _stored(path: Path, name: str, entry: Mapping[str, Any], offset: int) -> Stored:
    """Raises ValueError (and what else wrong JSON brings) where an entry does not add up."""
    shape, (start, end) = tuple(int(n) for n in entry["shape"]), entry["data_offsets"]
    kind = entry["dtype"]
    if min((start, *shape)) < 0:
        raise ValueError
    if kind in FLOATS and end - start != math.prod(shape) * np.dtype(FLOATS[kind]).itemsize:
        raise ValueError
    return Stored(path, name, kind, shape, offset + start)


def open_folder(folder: Path, name: str) -> dict[str, Stored]:
    """Returns the arrays of `folder/name.safetensors`, or of the files that its index lists.

    Raises:
        InputError: neither is there, or a file is damaged, missing or without what it should hold.
    """
    single, index = folder / f"{name}.safetensors", folder / f"{name}.safetensors{INDEX}"
    if single.is_file():
        return open_file(single)
    if index.is_file():
        return _open_shards(folder, index)
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    if pickles:
        raise InputError(
            f"{folder} holds {pickles[0]} alone, a pickle, which may run any program and is never "
            f"loaded: save it as {single.name} first"
        )
    raise InputError(f"{folder} holds no {single.name} and no {index.name}")


def _open_shards(folder: Path, index: Path) -> dict[str, Stored]:
    placed = read_json(index).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise InputError(f"{index} has no 'weight_map'")
    files = sorted({str(name) for name in placed.values()})
    outside = [name for name in files if Path(name).name != name]
    if outside:
        raise InputError(f"{index} names a file outside its folder: {outside[0]}")
    found: dict[str, Stored] = {}
    for name in files:
        found |= open_file(folder / name)
    lost = sorted(set(placed) - set(found))
    if lost:
        raise InputError(f"{index} lists {listed(lost)}, which no file of it holds")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object of a JSON file.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} does not hold a JSON object")
    return value


def write_file(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes float32 arrays, whole or not at all.

    Raises:
        InputError: the place cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # what transformers asks for
    end = 0
    for name, array in arrays.items():
        start, end = end, end + 4 * array.size
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            np.ascontiguousarray(array, "<f4").tofile(file)


def compare(where: object, found: Iterable[str], expected: Iterable[str]) -> None:
    """Checks that a file holds the arrays that it must hold, and no others.

    Raises:
        InputError: it does not; both lists are told.
    """
    missing, surplus = sorted({*expected} - {*found}), sorted({*found} - {*expected})
    if missing or surplus:
        raise InputError(
            f"{where}: missing {listed(missing)}; surplus {listed(surplus)} "
            f"({len(missing)} and {len(surplus)} in all)"
        )


def listed(names: list[str], most: int = 12) -> str:
    """Returns names with commas between, the first ones of many."""
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"
