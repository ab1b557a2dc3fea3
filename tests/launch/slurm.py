"""A SLURM cluster of two nodes on this machine, without authentication, for one test."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from workers import Workers, free_port

# The nodes' names are loopback addresses: jax takes the first one as the coordinator's host.
NODES = ("127.0.0.1", "127.0.0.2")
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ReturnToService=2
SchedulerParameters=sched_interval=1
FirstJobId={first_job}
NodeName=127.0.0.1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={port_1} CPUs={cpus}
NodeName=127.0.0.2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={port_2} CPUs={cpus}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def installed() -> bool:
    """True if SLURM's daemons and commands are there (Debian: slurm-wlm)."""
    return all(shutil.which(tool) for tool in ("slurmctld", "slurmd", "sbatch", "srun"))


def first_job() -> int:
    """Returns a job number whose coordinator port (61440 + number modulo 4096) is free."""
    for number in range(1 + os.getpid() % 4000, 2**15):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 61440 + number % 4096))
            return number
    raise OSError("no free port for a coordinator")


@contextlib.contextmanager
def cluster(workers: Workers, folder: Path) -> Iterator[dict[str, str] | None]:
    """Starts the daemons; yields the variables that reach them, None if they do not start."""
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            controller=free_port(),
            port_1=free_port(),
            port_2=free_port(),
            user=getpass.getuser(),
            folder=folder,
            cpus=os.cpu_count(),
            first_job=first_job(),
        )
    )
    variables = {"SLURM_CONF": str(configuration)}
    daemons = [["slurmctld", "-D"], *(["slurmd", "-D", "-N", node] for node in NODES)]
    running = [
        subprocess.Popen(
            command,
            env={**workers.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in daemons
    ]
    try:
        yield variables if _idle(workers, variables) else None
    finally:
        workers.reap()
        for process in running:
            process.kill()
            process.wait()


def _idle(workers: Workers, variables: dict[str, str]) -> bool:
    """Waits until both nodes are ready; False if they are not after 20 seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        states = workers.run(["sinfo", "--noheader", "--Node", "--format=%T"], **variables)
        if states.stdout.split() == ["idle"] * len(NODES):
            return True
        time.sleep(0.3)
    return False


def wait(workers: Workers, variables: dict[str, str], job: str, seconds: float) -> None:
    """Waits until a job has left the queue; a requeued one need not rest for two minutes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        queue = workers.run(["squeue", "--noheader", "--format=%T", f"--jobs={job}"], **variables)
        if queue.returncode == 0 and not queue.stdout.strip():
            return
        if "PENDING" in queue.stdout:
            workers.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], **variables)
        time.sleep(0.5)
    raise AssertionError(f"the job is still there: {queue.stdout}")
