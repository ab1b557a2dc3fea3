"""Several processes as one job: who they are, how they meet, how they part.

`decide` is a pure function of settings and environment; `join` acts on it with `jax.distributed`.
A process on its own never touches `jax.distributed`. Where a cluster says who is who (SLURM, TPU
slices on Compute Engine and in Kubernetes) jax's own detection is used; elsewhere a launcher names
the coordinator.

In a job no process can go on without the others. So who ends well waits for the others (`part`),
who fails alone leaves at once (`abandon`), and who has lost another one says so (`loss`).
"""

import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from physlm_jax.errors import InputError, unknown

AGAIN = 75  # exit code: stopped or cut off; the same command goes on (EX_TEMPFAIL of sysexits.h)
CLUSTERS = ("slurm", "gcetpu", "gketpu")  # jax's names of its detection methods
HEARTBEAT = 30  # seconds; jax's own default is 100
PARTING = 10.0  # seconds that a process with an error waits for the others
VARIABLES = {
    "coordinator": "PHYSLM_COORDINATOR",
    "processes": "PHYSLM_PROCESSES",
    "process": "PHYSLM_PROCESS",
    "cluster": "PHYSLM_CLUSTER",
    "heartbeat": "PHYSLM_HEARTBEAT",
}
NEEDS = {  # what a cluster's detection reads from the environment, and who sets it
    "slurm": (("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS"), "start it with srun"),
    "gketpu": (("TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID"), "GKE sets it in pods of a TPU slice"),
    "gcetpu": ((), ""),
}
LOSSES = ("Gloo ", "NCCL", "oordination service", "heartbeat", "UNAVAILABLE:", "DEADLINE_EXCEEDED:")


@dataclass(frozen=True)
class Job:
    """How a process joins its job: a coordinator named outright, or a cluster that jax asks.

    Attributes:
        coordinator: host:port that process 0 listens on; None: found by `cluster`.
        processes, process: how many there are and which one this is, with `coordinator`.
        cluster: one of `CLUSTERS`.
        heartbeat: seconds of silence after which a process counts as lost.
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None
    cluster: str | None = None
    heartbeat: int = HEARTBEAT


@dataclass(frozen=True)
class Place:
    """Which of how many processes this one is."""

    process: int = 0
    processes: int = 1

    def __str__(self) -> str:
        return f"process {self.process} of {self.processes}"


def decide(
    flags: Mapping[str, str | int | None], environ: Mapping[str, str], tpu: bool = False
) -> Job | None:
    """Returns the job that this process is part of; None: it is on its own.

    Args:
        flags: values of the flags coordinator, processes, process, cluster and heartbeat; None or
            "" where not given. Each goes before its variable PHYSLM_COORDINATOR, ...
        environ: the environment variables.
        tpu: this machine is a TPU VM outside Kubernetes, perhaps one of a pod.
    Raises:
        InputError: settings that are incomplete, wrong or contradict each other.
    """
    given = {
        name: value
        for name, variable in VARIABLES.items()
        if (value := flags.get(name)) not in (None, "") or (value := environ.get(variable))
    }
    heartbeat = _number("heartbeat", given.get("heartbeat", HEARTBEAT), least=1)
    named = [name for name in ("coordinator", "processes", "process") if name in given]
    cluster = str(given.get("cluster", ""))
    if cluster and cluster not in (*CLUSTERS, "none"):
        raise unknown("cluster", cluster, (*CLUSTERS, "none"), "--cluster")
    if cluster and named:
        raise InputError(f"--cluster={cluster} finds the others itself: leave out --{named[0]}")
    if named:
        return _explicit(given, heartbeat)
    if cluster == "none":
        return None
    return _detected(cluster, environ, tpu, heartbeat)


def _explicit(given: Mapping[str, str | int | None], heartbeat: int) -> Job | None:
    """The job of a coordinator that was named."""
    processes = _number("processes", given.get("processes", 1), least=1)
    names = ("coordinator", "processes", "process")
    if processes == 1 and [name for name in names if name in given] == ["processes"]:
        return None
    for name in names:
        if name not in given:
            raise InputError(
                f"--coordinator=host:port, --processes and --process go together: --{name} "
                f"(or {VARIABLES[name]}) is missing"
            )
    process = _number("process", given["process"], least=0)
    if process >= processes:
        raise InputError(
            f"--process={process} is not one of --processes={processes}: allowed are 0 to "
            f"{processes - 1}"
        )
    coordinator = str(given["coordinator"])
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise InputError(f"--coordinator={coordinator} should be host:port, e.g. 10.0.0.1:8476")
    return None if processes == 1 else Job(coordinator, processes, process, heartbeat=heartbeat)


def _detected(cluster: str, environ: Mapping[str, str], tpu: bool, heartbeat: int) -> Job | None:
    """The job of a cluster, named or recognised by the variables that it sets."""
    if not cluster and "SLURM_STEP_NODELIST" in environ:
        cluster = "slurm"
    elif not cluster and "," in environ.get("TPU_WORKER_HOSTNAMES", ""):
        cluster = "gketpu"
    elif not cluster:
        return Job(cluster="gcetpu", heartbeat=heartbeat) if tpu else None
    needed, source = NEEDS[cluster]
    for name in needed:
        if name not in environ:
            raise InputError(f"--cluster={cluster} needs the variable {name}: {source}")
    if cluster == "slurm" and _number("SLURM_NTASKS", environ["SLURM_NTASKS"], least=1) == 1:
        return None
    slices = environ.get("MEGASCALE_NUM_SLICES", "1")
    if cluster == "gketpu" and "," not in environ["TPU_WORKER_HOSTNAMES"] and slices == "1":
        return None
    return Job(cluster=cluster, heartbeat=heartbeat)


def _number(name: str, value: str | int | None, least: int) -> int:
    """Returns a whole number of at least `least`."""
    text = str(value)
    if not text.isdecimal() or int(text) < least:
        shown = name if name.isupper() else f"--{name}"
        raise InputError(f"{shown} should be a whole number of at least {least}, got '{text}'")
    return int(text)


def on_tpu_vm() -> bool:
    """True on a TPU VM: libtpu is installed and there are chips, of one host or of a pod.

    jax, when imported on a machine without TPU chips, sets TPU_SKIP_MDS_QUERY.
    """
    import jax  # noqa: F401

    return "TPU_SKIP_MDS_QUERY" not in os.environ and bool(importlib.util.find_spec("libtpu"))


def join(job: Job) -> Place:
    """Meets the other processes of the job; call before JAX has touched any device.

    Returns:
        Which of how many processes this one is.
    Raises:
        InputError: what jax's detection asks for is not there.
        RuntimeError: the others were not there within five minutes.
    """
    import jax
    from jax.experimental import multihost_utils

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    logging.getLogger("jax._src.distributed").setLevel(logging.ERROR)  # warns of proxies
    try:
        jax.distributed.initialize(
            coordinator_address=job.coordinator,
            num_processes=job.processes,
            process_id=job.process,
            cluster_detection_method=job.cluster or "deactivate",
            heartbeat_timeout_seconds=job.heartbeat,
            shutdown_timeout_seconds=3600,  # process 0 may still be measuring
        )
    except (ValueError, ImportError) as error:
        raise InputError(f"--cluster={job.cluster}: jax cannot find the job: {error}") from error
    if jax.default_backend() == "cpu":
        # gloo gives the others 30 seconds to make a connection and any time to use it: make it
        # now, not when one still compiles what another one found in its cache
        multihost_utils.sync_global_devices("joined")
    return Place(jax.process_index(), jax.process_count())


def part(code: int) -> int:
    """Waits for the others to end as well, then shuts down; returns the exit code.

    After an error (code not 0) that another process does not have, it waits for `PARTING` seconds
    and leaves: the runtime tells the others.
    """
    import jax

    if code == 0:
        jax.distributed.shutdown()
        return code
    waiting = threading.Thread(target=jax.distributed.shutdown, daemon=True)
    waiting.start()
    waiting.join(PARTING)
    if waiting.is_alive():
        abandon(code)
    return code


def abandon(code: int) -> NoReturn:
    """Ends this process at once, without waiting for others that may never come."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def loss(error: BaseException) -> str:
    """Returns the words of an error that tell of a lost process; "" if it is another error."""
    cause: BaseException | None = error
    while cause is not None:
        text = " ".join(str(cause).split())
        if any(sign in text for sign in LOSSES) and not isinstance(cause, InputError):
            return text[:200]
        cause = cause.__cause__ or cause.__context__
    return ""
