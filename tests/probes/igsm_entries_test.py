"""The probes of iGSM on a run of seconds, as the entry point runs them."""

import json

import pytest

from physlm_jax.errors import InputError
from physlm_jax.probes.running import run_probe
from physlm_jax.training.config import load
from physlm_jax.training.loop import train


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    c = load("configs/igsm.py:mini,laptop,retry=.2")
    c.steps, c.batch, c.pipeline.rows_per_block, c.eval.rows = 2, 8, 8, 8
    c.model.layers, c.model.width, c.model.heads = 1, 16, 2
    c.optimizer.warmup, c.mesh.data = 1, 1
    folder = tmp_path_factory.mktemp("igsm") / "run"
    train(c, folder)
    return folder


def test_reasoning_with_and_without_beams(workdir):
    found, path = run_probe(
        workdir, "reasoning", given={"cells": ["law", "2"], "count": 6, "length": 128}
    )
    assert path.name == "reasoning-step2.json" and [row[0] for row in found.rows] == ["law", "2"]
    cell = json.loads(path.read_text())["cells"]["2"]
    assert cell["n"] == 6 and cell["right"] == 0 and sum(cell["mistakes"].values()) == 6
    given = {"cells": ["1"], "count": 4, "length": 128, "width": 2, "temperature": 0.5}
    _, path = run_probe(workdir, "reasoning", given=given)
    assert path.name == "reasoning-t0.5-beams2-step2.json"


def test_regret(workdir):
    given = {"cells": ["2"], "count": 3, "tries": ["1", "2"], "steps": 2, "batch": 2}
    found, path = run_probe(workdir, "regret", given=given)
    names = ["none", "probe 1", "probe 2", "perfect 1", "perfect 2"]
    assert [row[1] for row in found.rows] == names
    assert path.name == "regret-1+2-beams1-step2.json"
    hot = {"cells": ["2"], "count": 3, "detectors": ["perfect"], "temperature": 0.6}
    found, path = run_probe(workdir, "regret", given=hot)
    assert [row[1] for row in found.rows] == ["none", "perfect 10"]
    assert path.name == "regret-10-t0.6-beams1-step2.json"
    with pytest.raises(InputError, match="did you mean 'perfect'"):
        run_probe(workdir, "regret", given={"detectors": ["perfekt"]})
    with pytest.raises(InputError, match="at least 1"):
        run_probe(workdir, "regret", given={"tries": ["0"]})


def test_mistakes_and_variables(workdir):
    given = {"cells": ["2"], "count": 4, "steps": 2, "batch": 2}
    found, _ = run_probe(workdir, "mistakes", given=given)
    assert [row[2] for row in found.rows] == ["nece", "can_next", "nece_next"]
    _, path = run_probe(workdir, "mistakes", given={**given, "temperature": 0.6})
    assert path.name == "mistakes-t0.6-step2.json"
    given = {"tasks": ["dep"], "layer": ["all"], "steps": 2, "batch": 2, "fresh": 2, "count": 4}
    found, _ = run_probe(workdir, "variables", given=given)
    (row,) = found.rows
    assert row[:3] == ("dep", 1, "law") and 0 <= row[4] <= 1
