"""`reproduce`: trains what is missing, reuses what is finished, keeps every outcome."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from physlm_jax.errors import InputError
from physlm_jax.studies import running

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
