"""Entry points: absl flags in, one line and exit code 2 out when the input is wrong."""

import ctypes
import errno
import glob
import importlib
import logging
import os
import re
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from physlm_jax.errors import InputError, Interrupted, unknown
from physlm_jax.parallel import processes
from physlm_jax.parallel.processes import Job, Place

CACHE_ERROR = re.compile(r"Error reading persistent compilation cache entry for '([^']+)'")
LOG = logging.getLogger(__name__)
COMMANDS = (
    "train",
    "generate",
    "probe",
    "reproduce",
    "report",
    "bench",
    "sweep",
    "fit",
    "export",
    "show",
)


def parse(argv: list[str]) -> list[str]:
    """Parses absl flags; any mistake in them becomes an InputError of one line."""
    try:
        return flags.FLAGS(argv)
    except SystemExit:  # of absl's --help, with 1
        sys.exit(0)
    except Exception as error:  # config_flags raises KeyError, TypeError, ... from overrides
        raise plainly(error) from error


def read_config(flag: Any) -> Any:
    """Returns the configuration of a config_flags flag.

    Raises:
        InputError: its file does not exist (config_flags tells only when the config is read).
    """
    config = flag.value
    try:
        config.get("steps")
    except OSError as error:
        raise InputError(f"--config: {str(error).split('[Errno 2] ')[-1]}") from None
    return config


def plainly(error: Exception) -> InputError:
    """Returns an error of the flags as one that reads well.

    config_flags quotes the whole traceback of a mistake in a configuration file, and the text of
    an unknown key twice over.
    """
    text = str(error).rpartition("InputError: ")[2]
    text = text.replace("\\n", " ").replace("\\'", "'").replace("\"'", "'")
    if missing := re.fullmatch(r"""["']+(\w+)["']+\s*(.*?)["']?""", text):
        text = f"config has no key '{missing[1]}' {missing[2]}"
    return InputError(" ".join(text.split()) or type(error).__name__)


def define_config() -> Any:
    """Adds --config with its overrides; `read_config` reads it."""
    flags.disclaim_key_flags()  # it is the caller's: --help of the entry point shows it
    return config_flags.DEFINE_config_file(
        "config",
        None,
        "Configuration file and its arguments, e.g. configs/cfg.py:cfg3b,laptop; override any key "
        "by --config.key.subkey=value.",
    )


def define_job_flags() -> None:
    """Adds the flags of a program that can run as several processes; `run` then joins them."""
    flags.disclaim_key_flags()  # they are the caller's: --help of the entry point shows them
    flags.DEFINE_string(
        "coordinator", None, "host:port of process 0, where several processes are started by hand."
    )
    flags.DEFINE_integer("processes", None, "How many processes there are, with --coordinator.")
    flags.DEFINE_integer("process", None, "Which of them this one is, from 0.")
    flags.DEFINE_string(
        "cluster",
        None,
        "Who knows the processes: slurm, gcetpu, gketpu or none; default: whoever is "
        "recognised. Each of these flags can be a variable, e.g. PHYSLM_CLUSTER.",
    )
    flags.DEFINE_integer(
        "heartbeat",
        None,
        f"Seconds of silence until a process counts as lost; default {processes.HEARTBEAT}.",
    )
    flags.DEFINE_integer(
        "stop_code",
        0,
        "Exit code after SIGTERM stopped and saved; 75 tells a launcher to start it again.",
    )


def run(main: Callable[[list[str]], int | None], words: bool = False) -> None:
    """Runs an entry point under absl; the process ends with its exit code.

    Args:
        words: it takes arguments that are no flags; otherwise they are refused.

    InputError (and a bad flag) prints one line on standard error and exits with 2. JAX keeps
    compiled programs in a folder per machine, so that a second start compiles nothing.
    """

    def guarded(argv: list[str]) -> int:
        if len(argv) > 1 and not words:
            hint = "flags begin with --, and a value with spaces needs quotes"
            return fail(InputError(f"unexpected argument '{argv[1]}': {hint}"))
        prepare()
        try:
            job = find_job()
        except InputError as error:
            return fail(error)
        return attempt(main, argv, Place()) if job is None else together(job, main, argv)

    try:
        app.run(guarded, flags_parser=parse)
    except InputError as error:
        sys.exit(fail(error))


def prepare() -> None:
    """Sets a process up: messages, memory, devices, compilation cache."""
    show_messages(Place())
    keep_freed_memory()
    silence_absent_tpu()
    cache_compilations()


def find_job() -> Job | None:
    """Returns the job of several processes that this one is part of; None: it is on its own."""
    if "coordinator" not in flags.FLAGS:
        return None
    given = {name: flags.FLAGS[name].value for name in processes.VARIABLES}
    return processes.decide(given, os.environ, processes.on_tpu_vm())


def attempt(main: Callable[[list[str]], int | None], argv: list[str], place: Place) -> int:
    """Runs the entry point; returns its exit code, after the one line of an error of the user."""
    try:
        return main(argv) or 0
    except InputError as error:
        return fail(error, place)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        if not _unread():
            raise
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        return fail(InputError(f"no space left on the disk: {error}"), place)


def _unread() -> bool:
    """Whether nobody reads standard output any more, as after `| head`; then it goes nowhere."""
    out, waiting = sys.stdout.fileno(), select.poll()
    waiting.register(out, 0)
    left = any(event & select.POLLERR for _, event in waiting.poll(0))
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out)
    return left


def together(job: Job, main: Callable[[list[str]], int | None], argv: list[str]) -> int:
    """Runs the entry point as one process of a job; returns its exit code.

    A process that fails on its own ends at once; its exit code is 75 where another one was lost.
    """
    place = Place()
    try:
        place = processes.join(job)
        show_messages(place)
        code = attempt(main, argv, place)
    except InputError as error:
        processes.abandon(fail(error, place))
    except BaseException as error:
        lost = processes.loss(error)
        if not lost:
            traceback.print_exc()
            processes.abandon(1)
        time.sleep(1)  # a launcher that saw the other one die says it better, and ends this one
        again = f"lost another process: {lost}; the same command goes on from the last checkpoint"
        processes.abandon(fail(Interrupted(again), place))
    return processes.part(code)


def fail(error: InputError, place: Place = Place()) -> int:  # noqa: B008  (a frozen value)
    """Prints the error as one line, with the process that has it, and returns the exit code."""
    who = f" ({place})" if place.processes > 1 else ""
    print(f"error{who}: " + " ".join(str(error).split()), file=sys.stderr, flush=True)
    return error.code


def show_messages(place: Place) -> None:
    """Sends this package's messages to standard error; of several processes only the first's.

    Libraries that log through absl print the traceback of every error that they also raise; they
    are silent unless --verbosity is given.
    """
    if not flags.FLAGS["verbosity"].present:
        absl_logging.set_verbosity(absl_logging.FATAL)
    handler = logging.StreamHandler()
    who = f" ({place})" if place.process else ""
    handler.setFormatter(logging.Formatter(f"physlm{who}: %(message)s"))
    ours = logging.getLogger("physlm_jax")
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(logging.ERROR if place.process else logging.INFO)


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


def silence_absent_tpu() -> None:
    """Keeps libtpu from complaining on a machine without a TPU (it prints five lines at start).

    Where it is installed, JAX asks it for devices, and it asks the machine's metadata; the answers
    are given here instead. On a machine with a TPU nothing is changed.
    """
    if processes.on_tpu_vm():
        return
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")


def cache_compilations() -> None:
    """Turns on JAX's persistent compilation cache, for programs of any size."""
    import jax

    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "physlm_jax" / "xla"
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(default))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    mend_cache(Path(folder))


def mend_cache(folder: Path) -> None:
    """Lets damaged entries of the compilation cache be written anew.

    JAX compiles what it cannot read and warns at length, but keeps the entry, as a kill while it
    was written leaves it: every later start would compile again.
    """
    shown = warnings.showwarning

    def show(message: Warning | str, *place: Any, **options: Any) -> None:
        found = CACHE_ERROR.match(str(message))
        if not found:
            shown(message, *place, **options)
            return
        for entry in folder.glob(f"{glob.escape(found[1])}-*"):
            entry.unlink(missing_ok=True)
        LOG.warning("%s in %s is damaged: it is compiled anew", found[1], folder)

    warnings.showwarning = show


def main() -> Any:
    """`physlm COMMAND [flags]`: the same as `python -m physlm_jax.COMMAND [flags]`."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "help"):
        print(f"usage: physlm {{{','.join(COMMANDS)}}} [flags]   (physlm COMMAND --help)")
        return 0
    if name not in COMMANDS:
        return fail(unknown("command", name, COMMANDS))
    module = importlib.import_module(f"physlm_jax.{name}")
    if not hasattr(module, "main"):  # a room with a door of its own
        module = importlib.import_module(f"physlm_jax.{name}.__main__")
    flags.FLAGS.unparse_flags()
    sys.argv = [f"physlm {name}", *sys.argv[2:]]
    return run(module.main, words=name == "bench")


if __name__ == "__main__":
    sys.exit(main())
