"""The folder of a run: claimed once, known again, refused to others; whatever a kill left in it."""

import json
import threading

import pytest
from tiny import tiny

from physlm_jax.errors import InputError
from physlm_jax.files import PARTIAL
from physlm_jax.training import workdir as workdirs
from physlm_jax.training.checkpoint import FOLDER
from physlm_jax.training.loop import train
from physlm_jax.training.records import JsonLines, read_rows
from physlm_jax.training.workdir import claim_workdir, held


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    train(tiny(steps=2), workdir)
    return workdir


def test_a_write_that_a_kill_cut_short_does_not_bar_the_folder(tmp_path):
    (tmp_path / PARTIAL.format(name="config.json", process=7)).write_text("{")
    claim_workdir(tmp_path, tiny())
    assert json.loads((tmp_path / "config.json").read_text())["steps"] == 6


@pytest.mark.parametrize("left", [None, "", "{", "[1]", '{"steps": 2'])
def test_a_damaged_config_is_mended_from_the_newest_checkpoint(finished, left, caplog):
    path = finished / "config.json"
    whole = path.read_text()
    path.unlink() if left is None else path.write_text(left)
    with caplog.at_level("WARNING", logger="physlm_jax"):
        with pytest.raises(InputError, match="belongs to another config: seed is 0 there and 1"):
            claim_workdir(finished, tiny(steps=2, seed=1))
        claim_workdir(finished, tiny(steps=2))
    assert "the newest checkpoint knows what it said" in caplog.text
    assert path.read_text() == whole


def test_a_damaged_config_without_a_checkpoint_is_written_anew(tmp_path, caplog):
    (tmp_path / "config.json").write_text("{")
    (tmp_path / FOLDER).mkdir()
    with caplog.at_level("WARNING", logger="physlm_jax"):
        claim_workdir(tmp_path, tiny())
    assert "damaged; there is no checkpoint yet" in caplog.text
    assert json.loads((tmp_path / "config.json").read_text())["steps"] == 6


def test_one_trainer_at_a_time(finished, tmp_path, monkeypatch):
    """Also in a folder that is new; the lock ends with its holder."""
    monkeypatch.setattr(workdirs, "PATIENCE", 0.3)
    before = (finished / "metrics.jsonl").read_bytes()
    for folder in (finished, tmp_path / "new"):
        with held(folder), pytest.raises(InputError, match=r"another process is training in"):
            train(tiny(steps=2), folder)
    assert (finished / "metrics.jsonl").read_bytes() == before
    assert not list((tmp_path / "new").iterdir())
    assert train(tiny(steps=2), finished) is not None


def test_a_trainer_that_is_just_ending_is_waited_for(finished):
    holder = held(finished)
    holder.__enter__()
    threading.Timer(0.5, lambda: holder.__exit__(None, None, None)).start()
    assert train(tiny(steps=2), finished) is not None


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*run"), held(tmp_path / "file" / "run"):
        pass


def test_rows_that_are_missing_are_told(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 0, "loss": 1.0}\n{"step": 1, "lo\x00s": 1.0}\n{"step": 2, "loss": 1.0}\n'
    )
    assert [row["step"] for row in read_rows(path)] == [0, 2]
    with caplog.at_level("WARNING", logger="physlm_jax"):
        JsonLines(path, 3, "loss").close()
    assert "lacks the rows of 1 of the 3 updates before (the first: 1)" in caplog.text
    caplog.clear()
    JsonLines(path, 1, "loss").close()
    assert not caplog.text
