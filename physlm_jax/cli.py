"""Entry points: absl flags in, one line and exit code 2 out when the input is wrong."""

import ctypes
import errno
import importlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import app, flags
from absl import logging as absl_logging

from physlm_jax.errors import InputError, unknown

COMMANDS = ("train", "generate", "probe", "reproduce", "report", "bench")


def parse(argv: list[str]) -> list[str]:
    """Parses absl flags; any mistake in them becomes an InputError of one line."""
    try:
        return flags.FLAGS(argv)
    except Exception as error:  # config_flags raises KeyError, TypeError, ... from overrides
        raise plainly(error) from error


def plainly(error: Exception) -> InputError:
    """Returns an error of the flags as one that reads well.

    config_flags quotes the whole traceback of a mistake in a configuration file, and the text of
    an unknown key twice over.
    """
    text = str(error).rpartition("InputError: ")[2]
    text = text.replace("\\n", " ").replace("\\'", "'").replace("\"'", "'")
    if text.startswith("''"):
        text = f"config has no key {text[1:]}".removesuffix("'")
    return InputError(" ".join(text.split()) or type(error).__name__)


def run(main: Callable[[list[str]], int | None]) -> None:
    """Runs an entry point under absl; the process ends with its exit code.

    InputError (and a bad flag) prints one line on standard error and exits with 2. JAX keeps
    compiled programs in a folder per machine, so that a second start compiles nothing.
    """

    def guarded(argv: list[str]) -> int:
        show_messages()
        keep_freed_memory()
        cache_compilations()
        try:
            return main(argv) or 0
        except InputError as error:
            return fail(error)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return fail(InputError(f"no space left on the disk: {error}"))

    try:
        app.run(guarded, flags_parser=parse)
    except InputError as error:
        sys.exit(fail(error))


def fail(error: InputError) -> int:
    """Prints the error as one line and returns the exit code."""
    print("error: " + " ".join(str(error).split()), file=sys.stderr, flush=True)
    return 2


def show_messages() -> None:
    """Sends this package's messages to standard error.

    Libraries that log through absl print the traceback of every error that they also raise; they
    are silent unless --verbosity is given.
    """
    if not flags.FLAGS["verbosity"].present:
        absl_logging.set_verbosity(absl_logging.FATAL)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("physlm: %(message)s"))
    ours = logging.getLogger("physlm_jax")
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(logging.INFO)


def keep_freed_memory() -> None:
    """Tells glibc's allocator not to hand freed memory back to the operating system.

    XLA's CPU client frees its temporary buffers after every step; fetching them again page by page
    costs a fifth of a small model's training step. Elsewhere than on glibc nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    arena_max, mmap_max, top_pad, trim_threshold = -8, -4, -2, -1  # names in malloc.h
    settings = {arena_max: 1, mmap_max: 0, top_pad: 200 * 2**20, trim_threshold: 2**31 - 1}
    for setting, value in settings.items():
        mallopt(setting, value)


def cache_compilations() -> None:
    """Turns on JAX's persistent compilation cache, for programs of any size."""
    import jax

    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "physlm_jax" / "xla"
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(default))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def main() -> Any:
    """`physlm COMMAND [flags]`: the same as `python -m physlm_jax.COMMAND [flags]`."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "help"):
        print(f"usage: physlm {{{','.join(COMMANDS)}}} [flags]   (physlm COMMAND --help)")
        return 0
    if name not in COMMANDS:
        return fail(unknown("command", name, COMMANDS))
    module = importlib.import_module(
        f"physlm_jax.{name}.__main__" if name == "report" else f"physlm_jax.{name}"
    )
    flags.FLAGS.unparse_flags()
    sys.argv = [f"physlm {name}", *sys.argv[2:]]
    return run(module.main)


if __name__ == "__main__":
    sys.exit(main())
