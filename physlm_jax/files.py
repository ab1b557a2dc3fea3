"""Writing a file whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from physlm_jax.errors import InputError

PARTIAL = ".{name}.{process}.partial"  # what a file is called while it is being written


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yields a file beside `path`, and renames it into place at the end; makes missing folders.

    Raises:
        InputError: the disk is full, or the place cannot be written; `path` is then as it was.
    """
    partial = path.with_name(PARTIAL.format(name=path.name, process=os.getpid()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a full disk may show only here
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text; see `replacing`."""
    with replacing(path) as file:
        file.write(text.encode())
