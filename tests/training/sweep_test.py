"""Sweeps: cells that are one program share a run, finished ones are never run again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from physlm_jax.errors import InputError
from physlm_jax.training.checkpoint import load_run
from physlm_jax.training.sweep import cells_of, overridden, plan_sweep, read_index, write_index

ROOT = Path(__file__).parents[2]
FILE = """
import sys
sys.path.insert(0, {here!r})
from tiny import tiny

def get_config(arg="2"):
    return tiny(steps=int(arg), eval__every=0)

def sweep():
    return [
        {{"optimizer.learning_rate": rate, "model.width": width, **more}}
        for width in (16, 32)
        for rate, more in ((1e-2, {{}}), (1e-3, {{"seed": 3}}))
    ]
"""


@pytest.fixture
def spec(tmp_path):
    """A configuration file with a sweep of four cells, two programs."""
    path = tmp_path / "grid.py"
    path.write_text(FILE.format(here=str(Path(__file__).parent)))
    return f"{path}:2"


def test_cells_of_one_program_are_a_population(spec, tmp_path):
    groups = plan_sweep(spec, cells_of(spec), tmp_path / "s", at_most=16)
    assert [group.overrides for group in groups] == [
        {
            "model.width": width,
            "population": 2,
            "members": "seed=0,3;optimizer.learning_rate=0.01,0.001",
        }
        for width in (16, 32)
    ]
    alone = plan_sweep(spec, cells_of(spec), tmp_path / "s", at_most=1)
    assert [group.overrides for group in alone] == cells_of(spec)
    assert [group.name for group in alone] == ["000", "001", "002", "003"]


def test_structure_keeps_cells_apart(spec, tmp_path):
    """Numbers may differ; whether gradients are clipped, or the vocabulary, may not."""
    cells = [{"optimizer.clip": c} for c in (0.0, 1.0, 2.0)]
    groups = plan_sweep(spec, cells, tmp_path, 16)
    assert [len(group.cells) for group in groups] == [1, 2]
    assert groups[1].overrides["members"] == "optimizer.clip=1.0,2.0"


def test_a_longer_sweep_adds_only_what_is_new(spec, tmp_path):
    cells = cells_of(spec)
    first = plan_sweep(spec, cells[:3], tmp_path, 16)
    write_index(spec, tmp_path, first)
    assert read_index(spec, tmp_path) == first
    more = plan_sweep(spec, [*cells, cells[0]], tmp_path, 16)
    assert more[: len(first)] == first
    assert [group.cells for group in more[len(first) :]] == [(cells[3],)]
    with pytest.raises(InputError, match="holds a sweep of"):
        read_index("other.py:x", tmp_path)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"optimizer.learning_rte": 1.0}, "did you mean 'optimizer.learning_rate'"),
        ({"model.width": "wide"}, "model.width='wide'"),
        ({"optimizer.schedule": "linea"}, "did you mean 'linear'"),
        ({"model.heads": 3}, "not a multiple"),
        ({"batch": -1}, "config.batch must be at least 1, got -1"),
        ({"pipeline.mode": "singel"}, "did you mean 'single'"),
    ],
)
def test_wrong_cells_are_named(cell, message, spec, tmp_path):
    with pytest.raises(InputError, match=message):
        plan_sweep(spec, [cell], tmp_path, 16)


def start(spec, workdir, *flags):
    command = [sys.executable, "-m", "physlm_jax.sweep", f"--config={spec}"]
    return subprocess.Popen(
        [*command, f"--workdir={workdir}", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(Path.home() / ".cache")},
    )


def sweep(spec, workdir, *flags):
    process = start(spec, workdir, *flags)
    said, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, said, errors)


def test_a_sweep_trains_every_cell_once(spec, tmp_path):
    workdir = tmp_path / "s"
    listed = sweep(spec, workdir, "--where=list")
    assert listed.returncode == 0, listed.stderr[-1000:]
    assert listed.stdout.count("to train") == 2 and not workdir.exists()
    done = sweep(spec, workdir, "--jobs=2", "--set=batch=8")
    assert done.returncode == 0, done.stderr[-2000:]
    index = json.loads((workdir / "sweep.json").read_text())
    for group in index["groups"]:
        for member, cell in enumerate(group["cells"]):
            run = load_run(workdir / group["name"], member=member)
            wanted = overridden(spec, cell)
            assert run.config.optimizer.learning_rate == wanted.optimizer.learning_rate
            assert run.config.batch == 8 and run.config.seed == wanted.seed
            assert run.model.width == cell["model.width"] and run.step == 2
    stamps = {path: path.stat().st_mtime_ns for path in workdir.glob("*/metrics.jsonl")}
    again = sweep(spec, workdir, "--set=batch=8")
    assert again.stdout.count("finished") == 2 and "to train" not in again.stdout
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_a_stop_is_handed_on_and_the_sweep_goes_on(spec, tmp_path):
    """Both groups save where they are; nothing of them runs on."""
    workdir, long = tmp_path / "s", spec.replace(":2", ":3000000")
    process = start(long, workdir, "--jobs=2", "--stop_code=75", "--set=checkpoint.every=0")
    logs = [workdir / name / "metrics.jsonl" for name in ("000", "001")]
    until = time.monotonic() + 200
    while not all(log.exists() and log.stat().st_size > 100 for log in logs):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 75, errors[-1000:]
    steps = [load_run(log.parent, member=0).step for log in logs]
    rows = [log.read_text().count("\n") for log in logs]
    assert all(0 < step < 3000000 for step in steps)
    time.sleep(0.5)
    assert [log.read_text().count("\n") for log in logs] == rows


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"config": 1, "groups": [1]}'])
def test_a_damaged_index(text, spec, tmp_path):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(InputError, match=r"sweep\.json is damaged"):
        read_index(spec, tmp_path)


def test_values_of_every_cell(spec, tmp_path):
    """Written as on other command lines: of the key's type."""
    fine = [
        "--set=model.tied=true",
        "--set=model.bias=0",
        "--set=batch=4",
        "--set=model.norm=rmsnorm",
    ]
    done = sweep(spec, tmp_path / "s", "--where=list", *fine)
    (first, *_) = done.stdout.splitlines()
    for told in ("model.tied=True", "model.bias=False", "batch=4", "model.norm=rmsnorm"):
        assert told in first
    for wrong in ("model.tied=maybe", "batch=many"):
        done = sweep(spec, tmp_path / "s", "--where=list", f"--set={wrong}")
        assert done.returncode == 2 and f"--set={wrong}: it needs a value of type" in done.stderr
    assert not (tmp_path / "s").exists()


def test_jobs(spec, tmp_path):
    done = sweep(spec, tmp_path / "s", "--jobs=0")
    assert done.returncode == 2 and "--jobs=0: expected at least 1" in done.stderr


def test_clusters_get_one_element_per_group(spec, tmp_path):
    slurm = sweep(spec, tmp_path / "s", "--where=slurm", "--dry_run", "--launch_flags=--nodes=4")
    (line,) = [x for x in slurm.stdout.splitlines() if x.startswith("sbatch")]
    assert line.startswith("sbatch --array=0,1 --nodes=4 ")
    assert line.endswith(f"launch/slurm.sbatch sweep --config={spec} --workdir={tmp_path}/s")
    gke = sweep(spec, tmp_path / "s", "--where=gke", "--dry_run")
    lines = [x for x in gke.stdout.splitlines() if "jobset.py" in x]
    assert len(lines) == 2 and lines[1].endswith("--group=1") and "--name=s-1 run sweep" in lines[1]
    assert not (tmp_path / "s").exists()
