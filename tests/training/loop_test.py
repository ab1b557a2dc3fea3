"""The loop: exactly the updates asked for, and the same bits however often it was stopped."""

import json
import os
import signal

import numpy as np
import pytest
from checkpoint_test import bits
from tiny import tiny

from physlm_jax.data import open_world
from physlm_jax.errors import InputError
from physlm_jax.pipeline import held_out
from physlm_jax.training import loop
from physlm_jax.training.checkpoint import load_run
from physlm_jax.training.config import packing_config
from physlm_jax.training.loop import Diverged, Training, train
from physlm_jax.training.loss import summed_loss


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    state = train(tiny(), workdir)
    return workdir, state


def rows(workdir, name="metrics.jsonl"):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


def test_exactly_the_asked_updates_and_rows(whole):
    workdir, state = whole
    assert int(state["step"]) == 6
    found = [(row["step"], "loss" in row) for row in rows(workdir)]
    updates = [step for step, is_update in found if is_update]
    assert updates == [0, 1, 2, 3, 4, 5]
    assert [step for step, is_update in found if not is_update] == [0, 3, 6]
    assert all(row["tokens"] == 64 for row in rows(workdir) if "loss" in row)
    assert [row["step"] for row in rows(workdir, "timing.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_held_out_loss_counts_every_row_once(whole):
    """Against all six rows in one batch, without padding."""
    workdir, state = whole
    c = tiny()
    world = open_world(c.data)
    (batch,) = held_out(world, packing_config(c), c.data_seed, rows=6, batch=6)
    run = load_run(workdir)
    loss, tokens = summed_loss(run.model, run.params, batch, segmented=False)
    assert rows(workdir)[-1] == {
        "step": 6,
        "held_out_loss": pytest.approx(float(loss) / float(tokens), rel=1e-5),
    }
    assert float(tokens) == 6 * 16
    del state


@pytest.mark.parametrize(
    ("stop_at", "number"), [(1, "SIGTERM"), (2, "SIGTERM"), (5, "SIGTERM"), (2, "SIGINT")]
)
def test_a_stop_saves_and_the_same_command_goes_on(whole, tmp_path, monkeypatch, stop_at, number):
    calls = []
    real = loop.make_train_step

    def counted(*args, **kwargs):
        step = real(*args, **kwargs)

        def call(state, batch):
            calls.append(1)
            if len(calls) == stop_at:
                os.kill(os.getpid(), getattr(signal, number))
            return step(state, batch)

        return call

    monkeypatch.setattr(loop, "make_train_step", counted)
    workdir = tmp_path / "run"
    handlers = [signal.getsignal(s) for s in loop.STOPS]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of the background ignores it
    try:
        assert train(tiny(), workdir) is None
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, handlers[1])
    assert [signal.getsignal(s) for s in loop.STOPS] == handlers
    assert load_run(workdir).step == stop_at
    assert len(calls) == stop_at
    assert train(tiny(), workdir) is not None
    assert len(calls) == 6
    assert (workdir / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()
    assert bits(load_run(workdir).params) == bits(load_run(whole[0]).params)


def test_a_finished_run_does_nothing_more(whole):
    before = (whole[0] / "metrics.jsonl").read_bytes()
    state = train(tiny(), whole[0])
    assert int(state["step"]) == 6
    assert (whole[0] / "metrics.jsonl").read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    config = tiny(optimizer__learning_rate=1e30, optimizer__clip=0.0, steps=20)
    with pytest.raises(Diverged, match=r"update \d+ is not finite .*last good checkpoint is"):
        train(config, tmp_path / "run")
    for row in rows(tmp_path / "run"):
        assert all(np.isfinite(v) for v in row.values())


def test_the_folder_of_another_config_is_refused(whole):
    with pytest.raises(InputError, match="belongs to another config: seed is 0 there and 1 here"):
        train(tiny(seed=1), whole[0])
    # where and how it runs may change
    assert train(tiny(checkpoint__keep_last=5), whole[0]) is not None


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        train(tiny(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mesh__data": 1000}, "config.mesh asks for 1000 devices"),
        ({"data__grammar": "cfg3bb"}, "did you mean 'cfg3b'"),
        ({"steps": 0}, "config.steps must be at least 1"),
        ({"accumulation": 3}, "does not divide config.batch"),
        ({"model__position": "rotray"}, "did you mean 'rotary'"),
        ({"model__heads": 3}, "not a multiple of model.heads"),
        ({"optimizer__schedule": "linea"}, "did you mean 'linear'"),
        ({"pipeline__rows_per_block": 3}, "rows_per_block"),
    ],
)
def test_mistakes_give_one_line_and_write_nothing(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        train(tiny(**changes), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_best_fit_rows_train_with_segments(tmp_path):
    config = tiny(pipeline__mode="best_fit", pipeline__length=32, steps=2)
    run = Training(config, tmp_path / "run")
    assert run.plan.packing.mode == "best_fit"
    assert train(config, tmp_path / "run") is not None
    assert rows(tmp_path / "run")[1]["tokens"] < 4 * 32  # padding is not counted
