"""The fit check on real compilations for abstract slices: counts, verdicts, advice, reports."""

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from physlm_jax.errors import InputError
from physlm_jax.parallel.topology import open_topology
from physlm_jax.training import fit, fit_advice, fit_text
from physlm_jax.training.config import base, load, set_data
from physlm_jax.training.fit import check
from physlm_jax.training.fit_advice import candidates, flags

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu (the extra tpu) is not installed"
)


def small(**changes):
    """Two layers of 128 on rows of 128 tokens, cut over all chips; attention not in a kernel."""
    c = base()
    set_data(c, "noise", size=256, length=126)
    c.name, c.batch = "small", 8
    c.pipeline.length, c.pipeline.rows_per_block = 128, 4
    c.model.layers, c.model.width, c.model.heads = 2, 128, 2
    c.model.dtype, c.model.unroll, c.model.attention = "bfloat16", 1, "plain"
    c.mesh.data, c.mesh.fsdp = 1, -1
    for key, value in changes.items():
        c.update_from_flattened_dict({key.replace("__", "."): value})
    return c


@pytest.fixture(scope="module")
def slice_():
    return open_topology("v5e:2x2")


@pytest.fixture(scope="module")
def scanned(slice_):
    return check(small(), slice_)


def test_a_scanned_model_costs_what_it_costs_unrolled_and_on_paper(slice_, scanned):
    unrolled = check(small(model__unroll=0), slice_)
    assert scanned.fits and unrolled.fits
    assert scanned.notes == unrolled.notes == ()
    assert scanned.flops == pytest.approx(unrolled.flops, rel=0.02)
    assert scanned.flops == pytest.approx(scanned.model_flops, rel=0.02)
    kinds = {t.kind for t in scanned.traffic}
    assert {"all-gather", "reduce-scatter"} <= kinds
    assert all(t.axes == "fsdp" and t.group == 4 for t in scanned.traffic)
    # gathered parameters are kept for the backward pass (no rematerialisation): two passes of three
    assert scanned.wire == pytest.approx(scanned.paper_wire * 2 / 3, rel=0.15)


def test_attention_kernels_are_counted_by_the_blocks_they_visit(slice_, scanned):
    report = check(small(model__attention="auto"), slice_)
    assert report.notes == ()
    # one block of 128 hides nothing, but backward forms the scores again: 7 products, not 6
    attention = 12 * 2 * 128 * 128 * (8 * 128 / 4)
    assert report.flops == pytest.approx(scanned.flops + attention / 6, rel=0.02)


def test_accumulation_counts_every_micro_batch_of_the_rows_asked_for(slice_, scanned):
    report = check(small(accumulation=2), slice_, rows_per_chip=4)
    assert (report.batch, report.rows_per_chip, report.fits) == (16, 4, True)
    assert report.flops == pytest.approx(2 * scanned.flops, rel=0.02)
    assert report.paper_wire == 2 * scanned.paper_wire


def test_memory_of_the_state_is_cut_over_the_chips(slice_, scanned):
    assert scanned.memory.params == pytest.approx(4 * scanned.parameters / 4, rel=0.05)
    assert scanned.memory.optimizer == pytest.approx(2 * scanned.memory.params, rel=0.01)
    whole = check(small(mesh__data=-1, mesh__fsdp=1), slice_)
    assert whole.memory.params == 4 * whole.parameters
    assert whole.mesh == "data=4"
    assert scanned.memory.total >= scanned.memory.params + scanned.memory.optimizer


def test_a_batch_that_cannot_be_cut_names_the_nearest(slice_):
    report = check(small(batch=10), slice_)
    assert not report.fits and "the nearest batch that can is 8" in report.reason
    shared = check(small(batch=4, pipeline__rows_per_block=3), slice_)
    assert not shared.fits and "rows_per_block 3" in shared.reason
    with pytest.raises(InputError, match="accumulation"):
        check(small(accumulation=3), slice_)


PAPER = (
    *("cfg.py:cfg3b", "cfg.py:cfg3f", "sizes.py:gpt2-small", "sizes.py:1b", "sizes.py:8b"),
    *("knowledge.py:bioS", "knowledge.py:bioD", "knowledge.py:single"),
)


@pytest.mark.parametrize("name", PAPER)
def test_configs_of_scale_paper_can_be_cut_over_the_slice_they_name(name, monkeypatch):
    """Memory is checked by `python -m physlm_jax.fit`, results/fit; here no program is compiled."""
    monkeypatch.setattr(fit, "_compiled", lambda about, *_: dataclasses.replace(about, fits=True))
    config = load(f"configs/{name},paper")
    report = check(config, open_topology(config.topology))
    assert report.fits, report.reason


def test_too_large_a_batch_is_told(slice_):
    report = check(small(batch=2**16), slice_)
    assert not report.fits and report.memory.total > report.memory.limit
    assert "GiB a chip of 15.75" in report.reason
    page = fit_text.page(dataclasses.replace(report, advice="try less"))
    assert page.splitlines()[-1].startswith("does not fit: needs")
    assert page.endswith("; try less")


def test_advice_is_the_first_change_that_fits(slice_, scanned, monkeypatch):
    tried = []

    def fake(config, topology, rows):
        tried.append((config.model.remat, config.accumulation, rows))
        return dataclasses.replace(scanned, fits=config.accumulation == 4, reason="")

    monkeypatch.setattr(fit_advice, "check", fake)
    report = dataclasses.replace(scanned, fits=False, batch=32, rows_per_chip=8)
    advice = fit_advice.advise(small(batch=32), slice_, report)
    assert advice.startswith("try --config.accumulation=4 (fits: ")
    assert tried == [("dots", 1, 8), ("full", 1, 8), ("none", 2, 8), ("none", 4, 8)]
    monkeypatch.setattr(fit_advice, "check", lambda *_: dataclasses.replace(report, fits=False))
    assert fit_advice.advise(small(batch=32), slice_, report) == ""


def test_what_is_tried_where_it_does_not_fit(scanned):
    report = dataclasses.replace(scanned, batch=32, rows_per_chip=8, mesh="data=4")
    tried = [flags(c) for c in candidates(small(mesh__data=-1, mesh__fsdp=1), report)]
    assert tried[0] == "--config.mesh.data=1 --config.mesh.fsdp=-1"
    assert tried[1:3] == ["--config.model.remat=dots", "--config.model.remat=full"]
    assert tried[3:6] == [f"--config.accumulation={n}" for n in (2, 4, 8)]
    assert tried[-1].endswith("--config.accumulation=1 --rows-per-chip=1")


def test_reports_are_kept_and_tabled(scanned, tmp_path):
    (tmp_path / "small.json").write_text(fit_text.as_json(scanned, {"jax": "0"}))
    (read,) = fit_text.read(tmp_path)
    assert read == scanned
    table = fit_text.table([read]).splitlines()
    assert len(table) == 3 and len({line.count("|") for line in table}) == 1
    assert "| small | v5e:2x2 | fsdp=4 | 2 x 128 |" in table[2]
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="is not a fit report"):
        fit_text.read(tmp_path)


def test_the_command_prints_writes_and_tells_by_its_exit_code(tmp_path):
    config = ("--config=configs/cfg.py:cfg3b/14,laptop", "--config.model.layers=1")
    command = (sys.executable, "-m", "physlm_jax.fit", *config, "--topology=v5e:2x2")
    out = f"--out={tmp_path}/fit.json"
    fits = subprocess.run([*command, out], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert fits.returncode == 0, fits.stderr[-2000:]
    assert fits.stdout.splitlines()[-1] == "fits"
    assert fit_text.read(tmp_path)[0].name == "cfg3b/14"
    batch = "--config.batch=30"
    refused = subprocess.run([*command, batch], capture_output=True, text=True, cwd=ROOT)
    assert refused.returncode == 1, refused.stderr[-2000:]
    assert "the nearest batch that can is 32" in refused.stdout.splitlines()[-1]
