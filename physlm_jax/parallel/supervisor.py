"""Runs a module as several processes on this machine and answers for them as one.

    python -m physlm_jax.parallel.supervisor --processes=2 --devices=4 train --config=...

Process 0 owns the terminal; what the others say carries their number. SIGTERM goes to all (they
save and stop), and so does Ctrl-C; a second Ctrl-C kills. If one is lost the others cannot go on:
they are stopped, one line says what happened, and the exit code is 75 ("the same command goes on").
The processes die with their supervisor, however it ends. Standard library alone.
"""

import ctypes
import os
import re
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from physlm_jax.errors import InputError, unknown
from physlm_jax.parallel.processes import AGAIN, VARIABLES

OPTIONS = {"processes": "1", "devices": "1", "python": sys.executable, "dry-run": "false"}
ERRORS = re.compile(r"error|Traceback|[EF]\d{4} |Fatal Python error")  # how their lines begin
CHATTER = re.compile(r"\[Gloo\]|[IW]\d{4} ")  # the runtime's; process 0 shows it once
GRACE = 2.0  # seconds that the others have to end with their own error
Worker = subprocess.Popen[str]


@dataclass(frozen=True)
class Plan:
    """What is to be run: `processes` times a module with flags, each on `devices` CPU devices."""

    processes: int
    devices: int
    command: tuple[str, ...]
    dry_run: bool = False


def parse(arguments: Sequence[str]) -> Plan:
    """Returns the plan of `[--processes=N] [--devices=D] [--python=PATH] [--dry-run] MODULE ...`.

    Raises:
        InputError: an unknown option, a number that is none, no module.
    """
    options = dict(OPTIONS)
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        name, has_value, value = rest.pop(0)[2:].partition("=")
        if name not in options:
            raise unknown("option", f"--{name}", [f"--{o}" for o in OPTIONS], "before the module")
        options[name] = value if has_value else "true"
    for name in ("processes", "devices"):
        if not options[name].isdecimal() or int(options[name]) < 1:
            raise InputError(f"--{name} should be a number of at least 1, got '{options[name]}'")
    if not rest:
        raise InputError("which module? e.g. --processes=2 train --config=...")
    command = (options["python"], "-m", f"physlm_jax.{rest[0]}", *rest[1:])
    return Plan(
        int(options["processes"]), int(options["devices"]), command, options["dry-run"] == "true"
    )


def settings(plan: Plan, port: int, process: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that process `process` gets on top of the environment."""
    count = f"--xla_force_host_platform_device_count={plan.devices}"
    names = {
        "coordinator": f"127.0.0.1:{port}",
        "processes": str(plan.processes),
        "process": str(process),
    }
    return {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{environ.get('XLA_FLAGS', '')} {count}".strip(),
        **{VARIABLES[name]: value for name, value in names.items()},
    }


def free_port() -> int:
    """Returns a port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lines(plan: Plan, port: int) -> list[str]:
    """Returns the command line of every process, as a shell would take it."""
    found = []
    for process in range(plan.processes):
        variables = settings(plan, port, process, os.environ)
        assignments = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
        found.append(" ".join([*assignments, shlex.join(plan.command)]))
    return found


def die_with_parent() -> None:
    """Asks Linux to kill this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def start(plan: Plan, port: int) -> list[Worker]:
    """Starts the processes; all but the first write to a pipe."""
    workers: list[Worker] = []
    for process in range(plan.processes):
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if process else {}
        worker = subprocess.Popen(
            plan.command,
            env={**os.environ, **settings(plan, port, process, os.environ)},
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches this process alone, which hands it on
            preexec_fn=die_with_parent,
            **pipe,  # type: ignore[call-overload]
        )
        workers.append(worker)
    return workers


@dataclass
class Relay:
    """Passes on what processes 1, 2, ... say, with their number.

    What they say of an error is held back: as a rule it repeats process 0, or it is the runtime's
    long account of how this process was ended because another one was.
    """

    held: dict[int, list[str]] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)

    def listen(self, workers: Sequence[Worker]) -> None:
        """Starts a thread for each process but the first."""
        for process, worker in enumerate(workers[1:], start=1):
            self.held[process] = []
            thread = threading.Thread(target=self._read, args=(process, worker), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _read(self, process: int, worker: Worker) -> None:
        held = self.held[process]
        for line in worker.stdout or ():
            if held or ERRORS.match(line):
                held.append(line)
            elif not CHATTER.match(line):
                print(f"[{process}] {line}", end="", file=sys.stderr, flush=True)

    def finish(self, first: int | None, repeated: bool) -> None:
        """Shows the errors of the process that ended badly first, unless process 0 said them."""
        for thread in self.threads:
            thread.join(timeout=2)
        if first and not repeated:
            sys.stderr.write("".join(self.held[first]))


@dataclass
class Stop:
    """Hands SIGTERM and Ctrl-C on to the processes; `asked` counts."""

    workers: Sequence[Worker]
    asked: int = 0

    def __call__(self, number: int, frame: object) -> None:
        self.asked += 1
        again = number == signal.SIGINT and self.asked > 1
        if number == signal.SIGINT and not again:
            print("\nstopping after a checkpoint; Ctrl-C again stops at once", file=sys.stderr)
        send(self.workers, signal.SIGKILL if again else signal.SIGTERM)


def send(workers: Sequence[Worker], number: int) -> None:
    """Sends a signal to those that still run."""
    for worker in workers:
        worker.send_signal(number)  # does nothing once it has ended


def watch(workers: Sequence[Worker]) -> list[int]:
    """Waits until all have ended; stops the rest when one ends badly.

    A process that was killed takes the rest with it at once; after one that ended with an error
    the others have `GRACE` seconds to end with theirs.

    Returns:
        The processes in the order in which they ended.
    """
    order: list[int] = []
    deadline = None
    with selectors.DefaultSelector() as ready:
        for process, worker in enumerate(workers):
            ready.register(os.pidfd_open(worker.pid), selectors.EVENT_READ, process)
        while ready.get_map():
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            ended = ready.select(left)
            if not ended:
                send(workers, signal.SIGKILL)
                deadline = None
            for key, _ in ended:
                ready.unregister(key.fileobj)
                os.close(key.fd)
                order.append(key.data)
                code = workers[key.data].wait()
                if code < 0:
                    send(workers, signal.SIGKILL)
                elif code and deadline is None:
                    deadline = time.monotonic() + GRACE
    return order


def newest_checkpoint(command: Sequence[str]) -> str:
    """Returns where a run goes on: "step 200's checkpoint", or less if --workdir doesn't tell."""
    for flag, following in zip(command, [*command[1:], ""], strict=True):
        name, _, value = flag.lstrip("-").partition("=")
        if flag.startswith("-") and name == "workdir":
            folder = Path(value or following) / "checkpoints"
            steps = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
            return f"step {max(steps)}'s checkpoint" if steps else "the start: none was saved"
    return "the last checkpoint"


def verdict(codes: Sequence[int], first: int | None, command: Sequence[str]) -> tuple[int, str]:
    """Returns the exit code of the whole and the line that explains it ("" if it needs none).

    Args:
        codes: exit code of each process, negative: the signal that killed it.
        first: the process that ended badly first.
    """
    if first is None:
        return 0, ""
    code, who = codes[first], f"process {first} of {len(codes)}"
    if code < 0:
        why = f"was killed (signal {-code}, {signal.Signals(-code).name})"
        if code == -signal.SIGABRT:
            why += " by the runtime, as it does when another one is silent"
        return AGAIN, (
            f"{who} {why}; stopped the others; run the same command again to go on from "
            f"{newest_checkpoint(command)}"
        )
    if code in (2, AGAIN):  # it has said why
        return code, ""
    return code, f"{who} failed (exit code {code}); stopped the others"


def supervise(plan: Plan) -> int:
    """Runs the plan to its end and returns the exit code."""
    workers = start(plan, free_port())
    stop = Stop(workers)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    relay = Relay()
    relay.listen(workers)
    order = watch(workers)
    codes = [worker.returncode for worker in workers]
    first = next((process for process in order if codes[process]), None)
    code, line = verdict(codes, first, plan.command)
    relay.finish(first, repeated=code == codes[0] == 2)
    if stop.asked and code == AGAIN and line:  # before they listened, or a second Ctrl-C
        line = f"stopped; the same command goes on from {newest_checkpoint(plan.command)}"
    if line:
        print(f"error: {line}", file=sys.stderr, flush=True)
    return code


def main() -> int:
    """Runs what the command line asks for."""
    try:
        plan = parse(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if plan.dry_run:
        print("\n".join(lines(plan, free_port())))
        return 0
    return supervise(plan)


if __name__ == "__main__":
    sys.exit(main())
