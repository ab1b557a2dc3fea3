"""Who is in the job: what flags and environments mean, and that a process alone stays alone."""

import subprocess
import sys

import pytest

from physlm_jax.errors import InputError
from physlm_jax.parallel import processes
from physlm_jax.parallel.processes import Job, decide, loss

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "16",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "3",
}
GKE = {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}
EXPLICIT = {"coordinator": "h:1", "processes": 2, "process": 1}


@pytest.mark.parametrize(
    ("flags", "environ", "tpu"),
    [
        ({}, {}, False),
        ({"heartbeat": 5}, {}, False),
        ({"processes": 1}, {}, False),
        ({"coordinator": "h:1", "processes": 1, "process": 0}, {}, False),
        ({}, {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "16"}, False),  # in an allocation, no srun
        ({}, {**SLURM, "SLURM_NTASKS": "1"}, False),
        ({}, {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, False),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),  # a notebook in a pod
        ({"cluster": "none"}, SLURM, True),
    ],
)
def test_on_its_own(flags, environ, tpu):
    assert decide(flags, environ, tpu) is None


@pytest.mark.parametrize(
    ("flags", "environ", "tpu", "job"),
    [
        (EXPLICIT, {}, False, Job("h:1", 2, 1)),
        (EXPLICIT, SLURM, True, Job("h:1", 2, 1)),  # what is named goes before what is found
        ({**EXPLICIT, "heartbeat": 9}, {}, False, Job("h:1", 2, 1, heartbeat=9)),
        ({"process": 0}, {"PHYSLM_COORDINATOR": "[::1]:99", "PHYSLM_PROCESSES": "3"}, False,
         Job("[::1]:99", 3, 0)),
        ({}, {"PHYSLM_COORDINATOR": "h:1", "PHYSLM_PROCESSES": "3", "PHYSLM_PROCESS": "2",
              "PHYSLM_HEARTBEAT": "4"}, False, Job("h:1", 3, 2, heartbeat=4)),
        ({"process": 1}, {"PHYSLM_COORDINATOR": "h:1", "PHYSLM_PROCESSES": "3",
                          "PHYSLM_PROCESS": "2"}, False, Job("h:1", 3, 1)),
        ({}, SLURM, False, Job(cluster="slurm")),
        ({"cluster": "slurm"}, SLURM, True, Job(cluster="slurm")),
        ({}, GKE, False, Job(cluster="gketpu")),
        ({"cluster": "gketpu"}, {**GKE, "TPU_WORKER_HOSTNAMES": "a", "MEGASCALE_NUM_SLICES": "2"},
         False, Job(cluster="gketpu")),
        ({}, {}, True, Job(cluster="gcetpu")),
        ({}, {"PHYSLM_CLUSTER": "gcetpu"}, False, Job(cluster="gcetpu")),
    ],
)  # fmt: skip
def test_part_of_a_job(flags, environ, tpu, job):
    assert decide(flags, environ, tpu) == job


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        ({"coordinator": "h:1"}, {}, "--processes (or PHYSLM_PROCESSES) is missing"),
        ({"processes": 2}, {}, "--coordinator (or PHYSLM_COORDINATOR) is missing"),
        ({"process": 0}, {}, "--coordinator"),
        ({"coordinator": "h:1", "processes": 2}, {}, "--process (or PHYSLM_PROCESS) is missing"),
        ({**EXPLICIT, "process": 2}, {}, "allowed are 0 to 1"),
        ({**EXPLICIT, "process": -1}, {}, "--process should be a whole number of at least 0"),
        ({**EXPLICIT, "processes": 0}, {}, "at least 1, got '0'"),
        ({**EXPLICIT, "coordinator": "host"}, {}, "should be host:port"),
        ({**EXPLICIT, "coordinator": "host:99999"}, {}, "should be host:port"),
        ({**EXPLICIT, "coordinator": ":80"}, {}, "should be host:port"),
        ({**EXPLICIT, "cluster": "slurm"}, SLURM, "leave out --coordinator"),
        ({}, {"PHYSLM_PROCESSES": "two"}, "got 'two'"),
        ({"heartbeat": 0}, {}, "--heartbeat"),
        ({"cluster": "slrm"}, {}, "did you mean 'slurm'"),
        ({"cluster": "slurm"}, {"SLURM_JOB_ID": "7"}, "SLURM_STEP_NODELIST: start it with srun"),
        ({}, {"SLURM_STEP_NODELIST": "a", "SLURM_JOB_ID": "7"}, "SLURM_NTASKS"),
        ({"cluster": "gketpu"}, {}, "TPU_WORKER_HOSTNAMES"),
        ({}, {"TPU_WORKER_HOSTNAMES": "a,b"}, "TPU_WORKER_ID"),
    ],
)
def test_what_does_not_fit_is_one_line(flags, environ, message):
    with pytest.raises(InputError) as caught:
        decide(flags, environ)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_clusters_are_jax_s():
    from jax._src.clusters import ClusterEnv

    assert set(processes.CLUSTERS) <= {kind.name for kind in ClusterEnv._cluster_types}


def test_a_lost_process_is_told_from_other_errors():
    gone = ValueError("UNKNOWN: Gloo all-reduce failed: [pair.cc:547] Connection closed by peer")
    assert "Connection closed" in loss(gone)
    wrapped = RuntimeError("saving failed")
    wrapped.__cause__ = gone
    assert "Connection closed" in loss(wrapped)
    assert loss(ValueError("shapes (2,) and (3,) do not match")) == ""
    assert loss(InputError("heartbeat should be a number")) == ""


ALONE = """
import sys
from absl import app
from physlm_jax import cli
cli.define_job_flags()
def main(argv):
    import jax
    print(jax.distributed.is_initialized(), jax._src.xla_bridge.backends_are_initialized())
    return 0
cli.run(main)
"""


def test_a_process_alone_starts_without_the_runtime_of_jobs():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "False"], done.stderr[-500:]
