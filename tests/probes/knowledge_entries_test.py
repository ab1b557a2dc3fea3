"""The probes of knowledge on a run of seconds, as the entry point runs them."""

import json
import math
import subprocess
import sys

import pytest

from physlm_jax.errors import InputError
from physlm_jax.probes import running
from physlm_jax.probes.running import run_probe
from physlm_jax.training.config import base, set_data
from physlm_jax.training.loop import train


def run_of(folder, world="bios", **options):
    c = base()
    set_data(c, world, **options)
    c.steps, c.batch, c.pipeline.rows_per_block, c.eval.rows = 2, 4, 4, 4
    c.pipeline.length = 96
    c.model.layers, c.model.width, c.model.heads = 1, 16, 2
    c.mesh.data = 1
    train(c, folder)
    return folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return run_of(
        tmp_path_factory.mktemp("bios") / "run",
        people=24,
        variant="multi2+permute",
        pools="mini",
        vocabulary="atomic",
        tasks="major,major rank,month %2,month %6",
        hints=0.5,
        question_share=0.5,
    )


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    return run_of(
        tmp_path_factory.mktemp("stars") / "run",
        people=20,
        variant="single",
        celebrities=10,
        pools="mini",
        vocabulary="atomic-plain",
        marked=True,
    )


def test_capacity(workdir, stars):
    found, path = run_probe(workdir, "capacity")
    data = json.loads(path.read_text())
    (group,) = data["groups"]
    assert path.name == "capacity-step2.json" and group["scores"]["texts"] == 48
    assert group["p1"] >= math.log(24) and group["bits"]["ratio"] < group["bits"]["max_ratio"]
    assert data["used"] < data["vocabulary"]
    assert found.header[:3] == ("group", "part", "nats")
    assert found.rows[-1][1].endswith("parameters")
    _, path = run_probe(stars, "capacity", given={"draws": 1, "strict": False})
    labels = [g["group"] for g in json.loads(path.read_text())["groups"]]
    assert labels == ["multi5+permute", "single"]


def test_capacity_of_biod(tmp_path):
    run_of(tmp_path / "run", "biod", people=12, attributes=2, chunks=2, pools="mini")
    found, path = run_probe(tmp_path / "run", "capacity", given={"bits": 4})
    (group,) = json.loads(path.read_text())["groups"]
    assert group["group"] == "bioD(12, 2, 2, 10, 1, 20)" and group["bits"]["diversity"] != 0
    assert [row[1] for row in found.rows[:3]] == ["name", "ID 1", "ID 2"]


def test_capacity_of_quantised_models(workdir):
    whole = run_probe(workdir, "capacity")[0].data
    found, path = run_probe(workdir, "capacity", given={"bits": 8})
    assert path.name == "capacity-int8-nearest-step2.json"
    assert found.data["parameters"] == whole["parameters"]
    assert found.data["groups"][0]["p1"] == pytest.approx(whole["groups"][0]["p1"], rel=1e-2)
    given = {"bits": 3, "method": "gptq", "group": 8}
    found, path = run_probe(workdir, "capacity", given=given)
    assert path.name == "capacity-int3-gptq-group8-step2.json"
    assert found.data["groups"][0]["p1"] != whole["groups"][0]["p1"]
    with pytest.raises(InputError, match=r"give bits"):
        run_probe(workdir, "capacity", given={"method": "gptq"})
    with pytest.raises(InputError, match=r"unknown quantisation method 'nearst'"):
        run_probe(workdir, "capacity", given={"method": "nearst", "bits": 8})
    with pytest.raises(InputError, match=r"rows of tokens that never occur do not count"):
        run_probe(workdir, "capacity", given={"params": 10**9})


def test_storage(workdir):
    given = {"steps": 3, "position_batch": 4, "query_batch": 6, "count": 5, "sets": True}
    found, path = run_probe(workdir, "storage", given=given)
    assert path.name == "storage-step2.json" and len(found.rows) == 22
    data = json.loads(path.read_text())
    assert data["fitted_on"] == 12
    for name, one in data["probes"]["position"].items():
        assert one["n"] == 5 and "nothing" in one["by_set"], name
        assert len(one["right"]) == len(one["right_on_fitted"]) == 6
    query = data["probes"]["query"]
    assert len(query) == 11 and query["major whole"] == query["major first"]
    assert all(cell is None for row in found.rows if row[0] == "query" for cell in row[5:])
    given = {"steps": 1, "kinds": ["query"], "tasks": ["major whole"], "query_batch": 99}
    given["query_update"] = "end"
    found, path = run_probe(workdir, "storage", given=given)
    assert path.name == "storage-query-step2.json" and [r[1] for r in found.rows] == ["major whole"]
    with pytest.raises(InputError, match=r"unknown task 'major hole'.*did you mean 'major whole'"):
        run_probe(workdir, "storage", given={"tasks": ["major hole"]})
    with pytest.raises(InputError, match=r"unknown kind 'queries'.*did you mean 'query'"):
        run_probe(workdir, "storage", given={"kinds": ["queries"]})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"query_update": "ends"}, r"unknown query_update 'ends'.*did you mean 'end'"),
        ({"count": -1}, r"count must be at least 0, got -1"),
        ({"query_rank": 0}, r"rank must be at least 1"),
    ],
)
def test_wrong_settings_of_storage(workdir, given, message):
    with pytest.raises(InputError, match=message):
        run_probe(workdir, "storage", given={"kinds": ["query"], **given})


def test_storage_of_another_group(stars):
    given = {"steps": 1, "kinds": ["position"], "tasks": ["major whole"], "position_batch": 4}
    found, _ = run_probe(stars, "storage", control=True, given=given)
    assert found.data["fitted_on"] == 10


def test_manipulation_and_recall(workdir):
    found, path = run_probe(workdir, "manipulation", given={"count": 6})
    assert path.name == "manipulation-step2.json"
    rows = {(row[0], row[1], row[2]) for row in found.rows}
    for side in ("held-out", "trained"):
        expected = {("major", side, "none"), ("major rank", side, "<direct>")}
        expected |= {("month %2", side, "<hint>"), ("mean of classification", side, "<hint>")}
        assert expected <= rows
    assert len(found.rows) == 2 * (1 + 3 * 2) + 2 * 2
    given = {"count": 4, "width": 2, "tasks": ["classification"], "batch": 8}
    found, path = run_probe(workdir, "manipulation", given=given)
    assert path.name == "manipulation-beams2-step2.json" and len(found.rows) == 12
    asked = run_probe(workdir, "recall")[0].data
    assert set(asked["questions"]) >= {"major", "major (trained)"}
    assert set(asked["means"]) == {
        "mean of classification",
        "mean of classification (trained)",
    }


@pytest.mark.parametrize("width", [0, -1])
def test_beams_are_at_least_one(workdir, width):
    with pytest.raises(InputError, match=r"width must be at least 1"):
        run_probe(workdir, "manipulation", given={"width": width})


@pytest.mark.parametrize("probe", ["capacity", "storage", "manipulation"])
def test_other_worlds_are_refused(probe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cfg") / "run"
    run_of(folder, "cfg", grammar="cfg3b", under=13)
    with pytest.raises(InputError, match=r"CfgWorld has no"):
        run_probe(folder, probe)


def test_a_world_without_questions(stars):
    with pytest.raises(InputError, match=r"no questions"):
        run_probe(stars, "manipulation")


def test_probes_in_folders_are_found_by_their_own_names():
    assert {"capacity", "storage", "manipulation", "recall"} <= set(running.modules())


def test_the_entry_point_prints_a_table_or_one_line(workdir):
    def command(*flags):
        line = [sys.executable, "-m", "physlm_jax.probe", f"--workdir={workdir}", *flags]
        return subprocess.run(line, capture_output=True, text=True, timeout=300)

    fine = command("--probe=capacity", "--draws=1")
    assert fine.returncode == 0, fine.stderr
    assert fine.stdout.splitlines()[0].split()[:3] == ["group", "part", "nats"]
    wrong = command("--probe=capacity", "--draws=-1")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "draws" in wrong.stderr
