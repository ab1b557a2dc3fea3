"""Probing a run on disk, from Python and from the command line."""

import json
import subprocess
import sys

import jax
import pytest

from physlm_jax.errors import InputError
from physlm_jax.probes import running
from physlm_jax.training.checkpoint import Checkpoints
from physlm_jax.training.config import base, set_data
from physlm_jax.training.optimizer import numbers
from physlm_jax.training.plan import make_plan
from physlm_jax.training.step import init_state

SMALL = {"steps": 3, "batch": 8, "strings": 10, "heads": 2, "head_dim": 4, "reuse": 3}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of no steps on a language of 512 strings."""
    config = base()
    set_data(config, "cfg", grammar="cfg3b", under=13)
    config.pipeline.length = 16
    config.model.layers, config.model.width, config.model.heads = 2, 16, 2
    folder = tmp_path_factory.mktemp("run")
    checkpoints = Checkpoints(folder)
    state = init_state(make_plan(config).program, numbers(config.optimizer), jax.random.key(0))
    checkpoints.save(state, config.to_dict())
    checkpoints.wait()
    checkpoints.close()
    return folder


def test_a_probe_writes_its_measurement_into_the_run(workdir):
    given = {**SMALL, "mask": ["diagonal", "2"], "layer": ["all"], "target": ["symbols"]}
    measured, path = running.run_probe(workdir, "ancestors", given=given)
    name = "ancestors-symbols-diagonal+2-layer0+1+2-step0.json"
    assert path == workdir / "probes" / name
    data = json.loads(path.read_text())
    assert data["probe"] == "ancestors" and data["control"] is False
    assert data["settings"]["steps"] == 3 and data["settings"]["layers"] == []
    assert [(r["mask"], r["layer"]) for r in data["results"]][:4] == [
        *[("diagonal", layer) for layer in (0, 1, 2)],
        ("2", 0),
    ]
    assert len(measured.rows) == 2 * 3 * 2  # masks, layers, levels 2 and 3
    assert [p.name for p in path.parent.iterdir()] == [name]  # nothing partial is left


def test_the_control_is_another_model_and_another_file(workdir):
    given = {**SMALL, "mask": ["diagonal"]}
    trained, path = running.run_probe(workdir, "ancestors", given=given)
    control, other = running.run_probe(workdir, "ancestors", control=True, given=given)
    assert other.name == path.stem + "-control.json"
    assert trained.data["results"] != control.data["results"]


@pytest.mark.parametrize(
    "probe, given, message",
    [
        ("ancestor", {}, "unknown probe 'ancestor'.*did you mean 'ancestors'"),
        ("ancestors", {"stepps": 1}, "unknown option 'stepps'.*did you mean 'steps'"),
        ("ancestors", {"layer": ["9"]}, "no layer 9"),
        ("ancestors", {"layer": ["1", "top"]}, "--layer: expected ints .* got '1,top'"),
    ],
)
def test_wrong_requests_are_refused(workdir, probe, given, message):
    with pytest.raises(InputError, match=message):
        running.run_probe(workdir, probe, given=given)


def test_probes_that_share_a_flag_agree_on_its_type():
    types = {}
    for module in running.modules().values():
        for flag, option in running.options(module).items():
            assert types.setdefault(flag, option.type) == option.type


def test_the_entry_point_prints_a_table_or_one_line(workdir):
    def command(*flags):
        line = [sys.executable, "-m", "physlm_jax.probe", f"--workdir={workdir}", *flags]
        return subprocess.run(line, capture_output=True, text=True, timeout=300)

    flags = [f"--{name}={value}" for name, value in SMALL.items()]
    fine = command("--mask=diagonal", *flags)
    assert fine.returncode == 0, fine.stderr
    lines = fine.stdout.splitlines()
    assert lines[0].split()[:4] == ["layer", "mask", "target", "level"]
    assert lines[1].split()[:4] == ["2", "diagonal", "symbols", "2"]
    assert lines[-1].endswith("ancestors-symbols-diagonal-layer2-step0.json")
    wrong = command("--mask=diagnal")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1 and "did you mean 'diagonal'" in wrong.stderr
