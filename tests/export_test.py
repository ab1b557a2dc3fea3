"""Trained runs as folders for other libraries: what is in them computes what the run computes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from physlm_jax.errors import InputError
from physlm_jax.models import huggingface, lora, transformer
from physlm_jax.training.checkpoint import load_run
from physlm_jax.training.export import export
from physlm_jax.training.loop import train

sys.path += [str(Path(__file__).parent / room) for room in ("training", "models")]
import torch_models
from tiny import tiny

IDS = np.random.default_rng(0).integers(1, 4, (3, 16), dtype=np.int32)
RULES = "attention/(query|value): rank=2, alpha=4; embedding: rank=3, alpha=4, scale=constant"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, one with an adapter beside it, one trained in full in part, and a population."""
    folder = tmp_path_factory.mktemp("runs")
    train(tiny(checkpoint__keep_last=3), folder / "one")
    train(tiny(base__run=str(folder / "one"), lora=RULES), folder / "adapted")
    rules = "query: rank=1; final_norm: full"
    train(tiny(base__run=str(folder / "one"), lora=rules), folder / "part")
    train(tiny(population=2), folder / "two")
    return folder


def logits(run):
    return transformer.apply(run.model, run.params, IDS).logits


@pytest.mark.parametrize(
    ("name", "step", "member"),
    [("one", None, None), ("one", 4, None), ("two", 6, 1), ("adapted", 6, None), ("part", 6, None)],
)
def test_the_folder_computes_what_the_run_computes(runs, name, step, member, tmp_path):
    what = export(runs / name, tmp_path, step, member)
    assert what == f"a gpt_neox, step {step or 6} of {runs / name}"
    run = load_run(runs / name, step, member)
    config, params = huggingface.load(tmp_path)
    assert config.tied == (name != "adapted")  # an adapted embedding is no longer the output map
    expected = np.asarray(logits(run))
    np.testing.assert_allclose(huggingface.logits(config, params, IDS), expected, atol=1e-4)
    pytest.importorskip("transformers")
    back = torch_models.opened(tmp_path)
    np.testing.assert_allclose(torch_models.logits(back, IDS), expected, atol=1e-4)
    vocabulary = run.world.vocabulary
    assert (back.config.bos_token_id, back.config.eos_token_id) == (vocabulary.bos, vocabulary.eos)


def test_an_adapter_is_exported_beside_its_base(runs, tmp_path):
    export(runs / "one", tmp_path / "base")
    assert "an adapter of" in export(runs / "adapted", tmp_path / "peft", format="peft")
    config, params = huggingface.load(tmp_path / "base")
    adapter = lora.load_peft(tmp_path / "peft", config, params)
    expected = np.asarray(logits(load_run(runs / "adapted")))
    found = huggingface.logits(config, params, IDS, adapter)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    peft = pytest.importorskip("peft")
    base = torch_models.opened(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "peft").eval()
    np.testing.assert_allclose(torch_models.logits(theirs, IDS), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("one", {"format": "peft"}, r"one trained no adapter"),
        ("part", {"format": "peft"}, r"trained parameters in full beside its adapter"),
        ("two", {}, r"name a member, 0..1"),
        ("one", {"step": 5}, r"has no checkpoint of step 5"),
        ("one", {"format": "gguf"}, r"unknown format 'gguf'"),
    ],
)
def test_what_cannot_be_exported_is_refused(runs, name, changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export(runs / name, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_the_entry_point_says_what_it_wrote(runs):
    done = subprocess.run(
        [sys.executable, "-m", "physlm_jax.export", "--workdir=one", "--out=out", "--step=2"],
        cwd=runs,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.stdout == "wrote out: a gpt_neox, step 2 of one\n", done.stderr
    assert huggingface.load(runs / "out")[0].layers == 2


def test_a_folder_of_something_else_is_left_alone(runs, tmp_path):
    before = (runs / "one" / "config.json").read_bytes()
    with pytest.raises(InputError, match=r"one is not empty and holds no earlier export"):
        export(runs / "one", runs / "one")
    assert (runs / "one" / "config.json").read_bytes() == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not empty and holds no earlier export"):
        export(runs / "one", tmp_path)
    with pytest.raises(InputError, match=r"has no name"):
        export(runs / "one", "")
    for _ in range(2):
        export(runs / "one", tmp_path / "new")
        export(runs / "adapted", tmp_path / "adapter", format="peft")
