"""Two processes of each launcher, for real on the loopback, train as one process does.

Where there is no cluster its environment is simulated: the command line is the one that the
launcher's dry run shows, or that the launcher hands to a stand-in of the cloud's own tool.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slurm
import yaml
from workers import ROOT, RUN, Workers, free_port, marked, metrics, words

FAKES = Path(__file__).with_name("fakes")


@pytest.fixture
def workers():
    with marked() as started:
        yield started


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> list[dict[str, float]]:
    """The metrics of one process with two devices."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    with marked() as started:
        done = started.run(["launch/local.sh", "--devices=2", *train(folder)])
    assert done.returncode == 0, done.stderr
    rows = metrics(folder)
    assert [row["step"] for row in rows if "loss" in row] == list(range(6))
    return rows


def train(workdir: Path, *flags: str) -> list[str]:
    return ["train", f"--workdir={workdir}", *RUN, *flags]


def dry(workers: Workers, *command: str) -> list[str]:
    done = workers.run(command)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_local(workers, alone, tmp_path):
    done = workers.run(["launch/local.sh", "--processes=2", *train(tmp_path / "run")])
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "run") == alone
    assert not [line for line in done.stderr.splitlines() if line.startswith("[1]")], done.stderr
    assert workers.reap() == []


def test_slurm_simulated(workers, alone, tmp_path):
    lines = dry(workers, "launch/slurm.sbatch", "--dry-run", *train(tmp_path / "run"))
    step = words(next(line for line in lines if line.startswith("srun")))
    job = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost,other",
        "SLURM_NTASKS": "2",
        "JAX_COORDINATOR_PORT": free_port(),  # else it follows from the job's number
    }
    tasks = [{**job, "SLURM_PROCID": i, "SLURM_LOCALID": i} for i in ("0", "1")]
    workers.together(step[step.index("--export=ALL") + 1 :], tasks)
    assert metrics(tmp_path / "run") == alone


@pytest.mark.slow
@pytest.mark.skipif(not slurm.installed(), reason="no SLURM here (Debian: slurm-wlm): simulated")
def test_slurm_for_real_and_back_to_the_queue(workers, tmp_path):
    """The job is told to stop while it trains, goes back to the queue by itself, and ends."""
    more = ("--config.steps=400", "--config.eval.every=200", "--config.checkpoint.every=100")
    with slurm.cluster(workers, tmp_path) as variables:
        if variables is None:
            pytest.skip("SLURM is installed but does not start here: simulated")
        sbatch = ["sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=0"]
        sbatch += ["--cpus-per-task=1", f"--output={tmp_path}/log", "launch/slurm.sbatch"]
        done = workers.run([*sbatch, *train(tmp_path / "run", *more)], **variables)
        job = done.stdout.strip()
        assert job, done.stderr
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "timing.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        workers.run(["scancel", "--batch", "--signal=TERM", job], **variables)
        slurm.wait(workers, variables, job, 300)
        log = (tmp_path / "log").read_text()
    assert "back to the queue (restart 1)" in log and "resumed from step" in log, log
    whole = workers.run(["launch/local.sh", "--devices=2", *train(tmp_path / "whole", *more)])
    assert whole.returncode == 0, whole.stderr
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_tpu_pod_through_a_slice_that_is_taken_away(workers, alone, tmp_path):
    command = ["launch/tpu_pod.sh", "--spot", "resume", *train(tmp_path / "run")]
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    done = workers.run(
        command,
        PATH=f"{FAKES}:{os.environ['PATH']}",
        PYTHONPATH=f"{FAKES / 'tpu_vm'}:{ROOT}",
        FAKE_CLOUD=str(cloud),
        FAKE_PYTHON=sys.executable,
        FAKE_CHECKOUT=str(ROOT),
        JAX_COORDINATOR_PORT=free_port(),
        POLL="0.1",
    )
    assert done.returncode == 0, done.stderr + (cloud / "worker-0/physlm/run.log").read_text()
    first = ["create", "scp all", "ssh all", "ssh all", "ssh 0"]
    assert (cloud / "calls").read_text().splitlines() == [*first, "delete", *first]
    assert metrics(tmp_path / "run") == alone
    assert workers.reap() == []


def worker(workers: Workers, *options: str, run: list[str]) -> tuple[list[str], dict[str, str]]:
    """Returns command and variables of the container of a dry run's JobSet."""
    lines = dry(workers, "launch/gke/jobset.py", "--image=i", *options, "--dry-run", "run", *run)
    found = yaml.safe_load("\n".join(lines[1:-1]))
    pod = found["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    variables = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    return [sys.executable, *container["command"][1:]], variables


def test_gke_tpu_simulated(workers, alone, tmp_path):
    options = ("--tpu=tpu-v5-lite-podslice", "--topology=2x4")
    command, variables = worker(workers, *options, run=train(tmp_path / "run"))
    slice_ = {  # what GKE puts into the pods of a slice
        **variables,
        "TPU_WORKER_HOSTNAMES": "127.0.0.1,127.0.0.1",
        "PYTHONPATH": f"{FAKES / 'tpu_vm'}:{ROOT}",  # jax looks for chips on the bus otherwise
        "FAKE_METADATA": json.dumps({"tpu-env": ""}),
        "JAX_COORDINATOR_PORT": free_port(),
    }
    workers.together(command, [{**slice_, "TPU_WORKER_ID": i} for i in ("0", "1")])
    assert metrics(tmp_path / "run") == alone


def test_gke_gpu_simulated(workers, alone, tmp_path):
    options = ("--gpu=nvidia-h100-80gb", "--hosts=2")
    command, variables = worker(workers, *options, run=train(tmp_path / "run"))
    assert variables["PHYSLM_COORDINATOR"] == "physlm-workers-0-0.physlm:8476"
    variables["PHYSLM_COORDINATOR"] = f"127.0.0.1:{free_port()}"  # the cluster's DNS is missing
    pods = [{**variables, "PHYSLM_PROCESS": i} for i in ("0", "1")]  # Kubernetes fills this in
    workers.together(command, pods)
    assert metrics(tmp_path / "run") == alone


def test_bad_input_is_said_once_and_ends_all(workers, tmp_path):
    command = ["launch/local.sh", "--processes=2", *train(tmp_path / "run")]
    done = workers.run([*command, "--config.mesh.data=7"])
    assert done.returncode == 2
    assert [line[:5] for line in done.stderr.splitlines()] == ["error"], done.stderr
    assert "7 devices" in done.stderr and not (tmp_path / "run").exists()
    assert workers.reap() == []


def test_nothing_is_left_of_what_is_reaped(workers, tmp_path):
    """The tests' own safeguard: a process in a session of its own is found and ended."""
    script = "import time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script], env=workers.environ,
                               start_new_session=True)  # fmt: skip
    deadline = time.monotonic() + 10
    while not (left := workers.reap()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.wait(timeout=10) == -9 and script in json.dumps(left)
