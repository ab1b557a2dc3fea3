"""`reproduce`: trains what is missing, reuses what is finished, keeps every outcome."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from physlm_jax.errors import InputError
from physlm_jax.studies import running, trained

SMALL = """
from ml_collections import ConfigDict
import dataclasses
from physlm_jax.probes.ancestors import ProbeConfig
from physlm_jax.studies import cfg_measures as cfg
from physlm_jax.training import config as configs

real = configs.load

def small(spec):
    c = real(spec)
    c.steps, c.batch, c.pipeline.rows_per_block = 8, 8, 8
    c.model.layers, c.model.width, c.model.heads = 1, 16, 2
    c.eval.every, c.eval.rows, c.checkpoint.every = 4, 8, 4
    c.optimizer.warmup = 2
    return c

configs.load = small
cfg.EFFORT["laptop"] = cfg.Effort(
    16, 4, ProbeConfig(masks=("full", "diagonal"), heads=2, head_dim=4, steps=4, batch=4, strings=8)
)
from physlm_jax import cli, reproduce
cli.run(reproduce.main)
"""


def reproduce(folder: Path, *flags: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", SMALL, "--study=cfg", *flags],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_all_claims_of_two_seeds_end_on_one_page(tmp_path):
    done = reproduce(tmp_path, "--seeds=2")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("training cfg3b/14,laptop, seeds 0-1") == 1
    kept = sorted(p.stem for p in (tmp_path / "results/cfg/laptop").glob("*.json"))
    assert kept == [
        "ancestor-probe",
        "ancestor-probe-at-ends",
        "entropy",
        "generation-accuracy",
        "kl-divergence",
    ]
    outcome = json.loads((tmp_path / "results/cfg/laptop/generation-accuracy.json").read_text())
    assert outcome["provenance"]["seeds"] == [0, 1]
    assert outcome["measurement"]["figures"][0]["n"] == 32
    lines = done.stdout.splitlines()
    assert len(lines) == 7 and lines[-1] == "results/report.html"
    page = (tmp_path / "results/report.html").read_text()
    assert "a parse tree" in page and "learning curve" in page
    again = reproduce(tmp_path, "--claims=entropy", "--page=one.html")
    assert again.returncode == 0 and "training" not in again.stderr
    assert (tmp_path / "one.html").exists()


def test_large_scales_are_not_run_without_an_accelerator(tmp_path):
    outcomes = running.reproduce(
        "cfg", "gpu", [], seeds=1, runs=tmp_path, keep=lambda o: pytest.fail("kept"), command=""
    )
    assert {o.verdict for o in outcomes} == {"not run"}
    assert all("accelerator" in o.reason for o in outcomes)
    assert not list(tmp_path.iterdir())


def test_mistakes_are_named(tmp_path):
    with pytest.raises(InputError, match="did you mean 'entropy'"):
        running.choose("cfg", ["entrpy"])
    with pytest.raises(InputError, match="unknown study 'cgf'"):
        running.choose("cgf", [])


CONFIG = """
from physlm_jax.training.config import base, set_data

def get_config(arg):
    c = base()
    set_data(c, "cfg", grammar="cfg3b", under=13)
    c.steps, c.batch = 2, 4
    c.pipeline.length, c.pipeline.rows_per_block = 16, 4
    c.model.layers, c.model.width, c.model.heads = 1, 8, 2
    c.eval.rows, c.mesh.data = 4, 1
    if arg.startswith("adapt"):
        c.base.run = "@start"
        c.lora = "query: rank=1"
    return c
"""


def test_runs_start_from_the_runs_of_another_argument_seed_by_seed(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/two.py").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    one = trained.finished("two", "start", [0], runs)  # alone, before its neighbours
    adapted = trained.finished("two", "adapt,x=(a|b)", range(3), runs)
    assert sorted(p.name for p in (runs / "two").iterdir()) == [
        "adapt_x--a-b-_seed-0",  # its base is no member of a population
        "adapt_x--a-b-_seeds-1-2",
        "start_seed-0",
        "start_seeds-1-2",
    ]
    starts = trained.finished("two", "start", range(3), runs)
    for seed, (start, run) in enumerate(zip(starts, adapted, strict=True)):
        assert run.config.seed == run.config.data_seed == seed
        assert run.config.base.run == str(start.workdir)
        beside = run.params["blocks"]["attention"]["query"]["kernel"]
        np.testing.assert_array_equal(
            beside.base, start.params["blocks"]["attention"]["query"]["kernel"]
        )
    np.testing.assert_array_equal(one[0].params["embedding"], starts[0].params["embedding"])
    again = trained.finished("two", "adapt,x=(a|b)", [2], runs)
    assert again[0].workdir == adapted[2].workdir and again[0].member == 1


BESIDE = """
import sys
from pathlib import Path
from physlm_jax import studies
from physlm_jax.errors import InputError
from physlm_jax.studies import running
from physlm_jax.studies.claim import Claim
from physlm_jax.studies.exhibits import Figure, Measurement

def measure(trained, scale):
    losses = [float(run.params["embedding"].sum()) for each in trained.values() for run in each]
    return Measurement(tuple(Figure(f"{i}", x, x, x, 1, 1) for i, x in enumerate(losses)))

def claim(name, *runs):
    words = dict(paper="", statement="", source="", paper_value="", metric="", rule_text="")
    return Claim(id=name, rule=lambda m: "reproduced", scales=("laptop",), measure=measure,
                 runs=lambda scale: runs, **words)

CLAIMS = (claim("one", "start,x"), claim("two", "adapt,x", "start,x"), claim("three", "start,y"))
studies.claims = lambda study: CLAIMS

if __name__ == "__main__":
    kept = []
    jobs = int(sys.argv[1])
    found = running.reproduce("two", "laptop", [], seeds=1, runs=Path(f"runs{jobs}"),
                              keep=kept.append, command="", jobs=jobs)
    assert [o.id for o in found] == ["one", "two", "three"]
    assert sorted(o.id for o in kept) == ["one", "three", "two"]
    for o in found:
        print(o.id, [f.value for f in o.measurement.figures])
        assert 0 < o.provenance.seconds < 300
"""


def test_runs_and_claims_side_by_side_end_as_one_after_the_other(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/two.py").write_text(CONFIG.replace("@start", "@start,x"))
    (tmp_path / "beside.py").write_text(BESIDE)

    def said(jobs: int) -> str:
        command = [sys.executable, "beside.py", str(jobs)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    alone = said(1)
    assert alone.count("\n") == 3
    assert said(2) == alone


def test_jobs_are_at_least_one(tmp_path):
    with pytest.raises(InputError, match=r"--jobs must be at least 1, got 0"):
        running.reproduce("cfg", "gpu", [], seeds=1, runs=tmp_path, keep=print, command="", jobs=0)
