"""Entry points as a person meets them: --help, and one line with exit code 2 for each mistake."""

import sys
import warnings
from pathlib import Path

import pytest

from physlm_jax import cli

sys.path.append(str(Path(__file__).parent))
from entries import ROOT, run


@pytest.mark.parametrize("entry", cli.COMMANDS)
def test_help_tells_what_it_does(entry):
    done = run(f"physlm_jax.{entry}", "--help")
    assert done.returncode == 0
    assert f"physlm_jax.{entry}" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_dry_run_prints_what_an_adapter_would_train_and_writes_nothing(tmp_path):
    config = "--config=configs/lora.py:adapt,laptop,which=qv,rank=4"
    done = run("physlm_jax.train", config, f"--workdir={tmp_path}/run", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "blocks/1/attention/value/kernel" in done.stdout and "in all" in done.stdout
    assert not list(tmp_path.iterdir())


TRAIN = ("physlm_jax.train", "--workdir=never", "--config=configs/cfg.py:")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TRAIN[:2], TRAIN[2] + "cfg3bb,laptop"), "did you mean 'cfg3b'"),
        ((*TRAIN[:2], TRAIN[2] + "cfg3b,laptp"), "did you mean 'laptop'"),
        ((*TRAIN[:2], TRAIN[2] + "cfg3b,laptop", "--config.stepz=3"), "stepz"),
        ((*TRAIN[:2], TRAIN[2] + "cfg3b,laptop", "config.steps=3"), "argument 'config.steps=3'"),
        ((*TRAIN[:2], TRAIN[2] + "cfg3b,laptop", "--config.model.unroll=-1"), "model.unroll must"),
        (
            (*TRAIN[:2], TRAIN[2] + "cfg3b,laptop", f"--config.seed={2**64}"),
            "must fit into 64 bits",
        ),
        (("physlm_jax.probe", "--workdir=never", "mask=full"), "unexpected argument 'mask=full'"),
        (("physlm_jax.cli", "bench", "trian"), "did you mean 'train'"),
        ((*TRAIN[:2], TRAIN[2] + "cfg3b,laptop", "--config.steps=many"), "steps"),
        ((*TRAIN[:2], TRAIN[2] + "cfg3b,laptop", "--config.mesh.data=64"), "64 devices"),
        ((*TRAIN[:2], "--config=configs/nothing.py:x"), "nothing.py"),
        ((*TRAIN[:2], TRAIN[2] + "cfg3b,laptop", "--config.data.foo=1"), "config has no key 'foo'"),
        (TRAIN[:2], "--config"),
        ((*TRAIN[:2], "--config=configs/lora.py:adapt,laptop"), "--config.base.run=FOLDER"),
        (
            (*TRAIN[:2], TRAIN[2] + "cfg3b,laptop", "--config.base.run=x", "--config.lora=q: r=2"),
            "did you mean 'rank'",
        ),
        (("physlm_jax.generate", "--workdir=never"), "holds no run"),
        (("physlm_jax.probe", "--workdir=never", "--probe=ancestors"), "holds no run"),
        (("physlm_jax.export", "--workdir=never", "--out=no"), "holds no run"),
        (("physlm_jax.reproduce", "--study=cgf"), "unknown study"),
        (("physlm_jax.reproduce", "--study=cfg", "--scale=huge"), "scale"),
        (("physlm_jax.report", "--results=never"), "never"),
        (("physlm_jax.sweep", "--workdir=never", "--config=configs/nothing.py:x"), "nothing.py"),
        (
            ("physlm_jax.sweep", "--workdir=never", TRAIN[2] + "cfg3b,laptop", "--set=stepz=3"),
            "did you mean 'steps'",
        ),
        (
            ("physlm_jax.sweep", "--workdir=never", TRAIN[2] + "cfg3b,laptop", "--group=1"),
            "plan them first",
        ),
        (("physlm_jax.fit", "--table=never"), "no fit reports"),
        (("physlm_jax.fit", "--topology=v5e:4x4"), "--config is needed"),
        (("physlm_jax.fit", "--config=configs/cfg.py:cfg3b,laptop"), "names no topology"),
        (("physlm_jax.fit", "--config=configs/sizes.py:8c,paper"), "did you mean '8b'"),
        (
            ("physlm_jax.fit", "--config=configs/sizes.py:1b,paper", "--topology=v5e:4x5"),
            "did you mean '4x",
        ),
        (
            ("physlm_jax.fit", "--config=configs/sizes.py:1b,paper", "--rows-per-chip=0"),
            "rows-per-chip",
        ),
        (("physlm_jax.bench", "tran"), "did you mean 'train'"),
        (("physlm_jax.cli", "tran"), "did you mean 'train'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2, done.stderr[-500:]
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr[-800:]
    assert message in lines[0]
    assert not (ROOT / "never").exists()


def test_a_damaged_entry_of_the_compilation_cache_makes_room(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    for name in ("jit_update-12-cache", "jit_update-34-cache", "jit_other-12-cache"):
        (tmp_path / name).write_bytes(b"x")
    cli.mend_cache(tmp_path)
    said = "Error reading persistent compilation cache entry for 'jit_update': error: incorrect"
    with caplog.at_level("WARNING", logger="physlm_jax"):
        warnings.showwarning(UserWarning(said), UserWarning, "compiler.py", 782)
    assert [path.name for path in tmp_path.iterdir()] == ["jit_other-12-cache"]
    assert f"jit_update in {tmp_path} is damaged: it is compiled anew" in caplog.text


def test_a_flag_of_several_probes_tells_what_it_is_to_each():
    told = " ".join(run("physlm_jax.probe", "--help").stdout.split())
    assert "--count: manipulation: people of each side who are asked about" in told
    assert "mistakes, reasoning: problems of each cell, default 512; regret:" in told
