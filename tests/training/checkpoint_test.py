"""Checkpoints: what is written comes back bit by bit, and damage never comes back unnoticed."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny

from physlm_jax.errors import InputError
from physlm_jax.training.checkpoint import FOLDER, Checkpoints, leaf_fingerprint, load_run
from physlm_jax.training.loop import train


def twin(array: np.ndarray) -> int:
    """The fingerprint of an array of 32-bit words in plain Python integers."""
    words = array.reshape(-1).view(np.uint32).tolist()
    return sum(w * (2 * i + 1) for i, w in enumerate(words)) % 2**32


def test_fingerprint_equals_the_twin():
    rng = np.random.default_rng(0)
    for shape in [(), (5,), (3, 4), (2, 3, 4)]:
        x = rng.standard_normal(shape).astype(np.float32)
        assert int(leaf_fingerprint(jnp.asarray(x))) == twin(np.asarray(x))


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 11), bit=st.integers(0, 31))
def test_fingerprint_sees_every_flipped_bit(place, bit):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    y = x.copy()
    y.reshape(-1).view(np.uint32)[place] ^= np.uint32(1 << bit)
    assert int(leaf_fingerprint(jnp.asarray(x))) != int(leaf_fingerprint(jnp.asarray(y)))


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "bool", "uint32"])
def test_fingerprint_of_other_types_sees_a_change(dtype):
    x = jnp.zeros(7, dtype)
    assert int(leaf_fingerprint(x)) != int(leaf_fingerprint(x.at[3].set(jnp.ones((), dtype))))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with checkpoints at steps 2, 4, 6."""
    workdir = tmp_path_factory.mktemp("run") / "a"
    config = tiny(checkpoint__keep_last=3)
    train(config, workdir)
    return config, workdir


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run, to be damaged."""
    shutil.copytree(finished[1], tmp_path / "b")
    return finished[0], tmp_path / "b"


def bits(tree) -> list[bytes]:
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


def data_files(folder: Path) -> list[Path]:
    """The files that hold array data."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and "/d/" in str(p))


def flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0x10
    path.write_bytes(raw)


def test_a_run_opens_with_the_parameters_it_ended_with(finished):
    _, workdir = finished
    run = load_run(workdir)
    assert run.step == 6
    assert load_run(workdir, step=4).step == 4
    assert bits(load_run(workdir, step=4).params) != bits(run.params)


def test_training_goes_on_from_the_one_before_a_damaged_one(copy, caplog):
    config, workdir = copy
    end = bits(load_run(workdir).params)
    metrics = (workdir / "metrics.jsonl").read_bytes()
    biggest = max(data_files(workdir / FOLDER / "6"), key=lambda p: p.stat().st_size)
    flip(biggest, biggest.stat().st_size // 2)
    with caplog.at_level("WARNING", logger="physlm_jax"):
        train(config, workdir)
    assert "using step 4" in caplog.text
    assert bits(load_run(workdir).params) == end
    assert (workdir / "metrics.jsonl").read_bytes() == metrics
    assert (workdir / FOLDER / "damaged-6").is_dir()


def test_truncated_and_missing_files_fall_back(copy, caplog):
    config, workdir = copy
    for path in data_files(workdir / FOLDER / "6"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    shutil.rmtree(workdir / FOLDER / "4" / "params")
    with caplog.at_level("WARNING", logger="physlm_jax"):
        assert load_run(workdir).step == 2
        train(config, workdir)
    assert "using step 2" in caplog.text


def test_without_a_whole_checkpoint_training_starts_afresh_and_opening_is_an_error(copy, caplog):
    config, workdir = copy
    end = bits(load_run(workdir).params)
    for step in (2, 4, 6):
        shutil.rmtree(workdir / FOLDER / str(step) / "training")
        shutil.rmtree(workdir / FOLDER / str(step) / "params")
    with pytest.raises(InputError, match="checkpoint 2 cannot be read"):
        load_run(workdir)
    with caplog.at_level("WARNING", logger="physlm_jax"):
        train(config, workdir)
    assert "a fresh start" in caplog.text
    assert bits(load_run(workdir).params) == end


def test_keep_last_and_keep_every(tmp_path):
    config = tiny(checkpoint__every=1, checkpoint__keep_last=1, checkpoint__keep_every=4)
    train(config, tmp_path / "run")
    kept = sorted(int(p.name) for p in (tmp_path / "run" / FOLDER).glob("[0-9]*"))
    assert kept == [4, 6]


def test_another_dtype_is_refused(finished, tmp_path):
    _, workdir = finished
    checkpoints = Checkpoints(workdir)
    try:
        wanted = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), load_run(workdir).params
        )
        with pytest.raises(InputError, match="damaged"):
            checkpoints.restore(6, params=wanted)
    finally:
        checkpoints.close()


def test_opening_what_is_not_there_is_one_clear_line(finished, tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no checkpoint of step 5 \(there are: 2, 4, 6\)"):
        load_run(finished[1], step=5)
