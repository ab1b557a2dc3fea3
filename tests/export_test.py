"""Trained runs as folders for other libraries: what is in them computes what the run computes."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from physlm_jax.models import huggingface, lora, transformer
from physlm_jax.training.checkpoint import load_run
from physlm_jax.training.loop import train

sys.path += [str(Path(__file__).parent / room) for room in ("training", "models")]
from tiny import tiny

IDS = np.random.default_rng(0).integers(1, 4, (3, 16), dtype=np.int32)
RULES = "attention/(query|value): rank=2, alpha=4; embedding: rank=3, alpha=4, scale=constant"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, one with an adapter beside it, one trained in full in part, and a population."""
    folder = tmp_path_factory.mktemp("runs")
    train(tiny(), folder / "one")
    train(tiny(base__run=str(folder / "one"), lora=RULES), folder / "adapted")
    rules = "query: rank=1; final_norm: full"
    train(tiny(base__run=str(folder / "one"), lora=rules), folder / "part")
    train(tiny(population=2), folder / "two")
    return folder


def export(runs, name, *flags):
    return subprocess.run(
        [sys.executable, "-m", "physlm_jax.export", f"--workdir={name}", "--out=out", *flags],
        cwd=runs,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


def logits(run):
    return transformer.apply(run.model, run.params, IDS).logits


@pytest.mark.parametrize(
    ("name", "flags", "step", "member"),
    [
        ("one", (), None, None),
        ("one", ("--step=4",), 4, None),
        ("two", ("--member=1",), None, 1),
        ("adapted", (), None, None),
        ("part", (), None, None),
    ],
)
def test_the_folder_computes_what_the_run_computes(runs, name, flags, step, member):
    done = export(runs, name, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote out: a gpt_neox, step {step or 6} of {name}\n"
    run = load_run(runs / name, step, member)
    config, params = huggingface.load(runs / "out")
    assert config.tied == (name != "adapted")  # an adapted embedding is no longer the output map
    expected = np.asarray(logits(run))
    np.testing.assert_allclose(huggingface.logits(config, params, IDS), expected, atol=1e-4)
    same = dataclasses.replace(run, model=config, params=params)
    np.testing.assert_allclose(logits(same), expected, atol=1e-4)
    pytest.importorskip("transformers")
    import torch_models

    back = torch_models.opened(runs / "out")
    np.testing.assert_allclose(torch_models.logits(back, IDS), expected, atol=1e-4)
    vocabulary = run.world.vocabulary
    assert (back.config.bos_token_id, back.config.eos_token_id) == (vocabulary.bos, vocabulary.eos)


def test_an_adapter_is_exported_beside_its_base(runs):
    assert export(runs, "one").returncode == 0
    done = export(runs, "adapted", "--format=peft", "--out=peft")
    assert "wrote peft: an adapter of" in done.stdout, done.stderr
    config, params = huggingface.load(runs / "out")
    adapter = lora.load_peft(runs / "peft", config, params)
    expected = np.asarray(logits(load_run(runs / "adapted")))
    found = huggingface.logits(config, params, IDS, adapter)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    peft = pytest.importorskip("peft")
    import torch_models

    base = torch_models.opened(runs / "out")
    theirs = peft.PeftModel.from_pretrained(base, runs / "peft").eval()
    np.testing.assert_allclose(torch_models.logits(theirs, IDS), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("one", ("--format=peft",), "one trained no adapter: use --format=huggingface"),
        ("part", ("--format=peft",), "trained parameters in full beside its adapter"),
        ("two", (), "name a member, 0..1"),
        ("one", ("--step=5",), "has no checkpoint of step 5"),
        ("one", ("--format=gguf",), "gguf"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(runs, name, flags, message):
    done = export(runs, name, *flags)
    assert done.returncode == 2 and message in done.stderr
    assert done.stderr.count("\n") == 1
