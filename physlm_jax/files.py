"""Writing a text file whole or not at all."""

import contextlib
import os
from pathlib import Path

from physlm_jax.errors import InputError

PARTIAL = ".{name}.{process}.partial"  # what a file is called while it is being written


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text beside `path` and renames it into place; makes missing folders.

    Raises:
        InputError: the disk is full, or the place cannot be written; `path` is then as it was.
    """
    partial = path.with_name(PARTIAL.format(name=path.name, process=os.getpid()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # a full disk may show only here
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
