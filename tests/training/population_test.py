"""Populations: every member is the run that it would be alone."""

import json

import jax
import numpy as np
import pytest
from checkpoint_test import bits
from tiny import on_eight_devices, tiny

from physlm_jax.errors import InputError
from physlm_jax.training.checkpoint import load_params, load_run
from physlm_jax.training.config import set_data
from physlm_jax.training.loop import Diverged, train
from physlm_jax.training.population import differences, member_config, member_configs
from physlm_jax.training.records import read_rows

KINDS = {
    "seeds": {},
    "rates on the same rows": {"members": "optimizer.learning_rate=1e-2,3e-3,1e-3"},
    "everything": {
        "members": "seed=3..5;data_seed=1,1,2;optimizer.learning_rate=1e-2,3e-3,1e-3;"
        "optimizer.weight_decay=0,0.1,1;optimizer.beta2=0.9,0.98,0.99;optimizer.warmup=0,3,9;"
        "optimizer.clip=0.1,1,10;data.under=13,14,13"
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_member_is_the_run_alone(kind, tmp_path):
    """f32: every loss to 1e-5 over 20 steps, parameters to 1e-3, as far as 20 steps carry."""
    config = tiny(population=3, steps=20, eval__every=10, checkpoint__every=10, **KINDS[kind])
    train(config, tmp_path / "all")
    together = read_rows(tmp_path / "all" / "metrics.jsonl")
    for member in range(3):
        alone = member_config(config, member)
        train(alone, tmp_path / str(member))
        single = read_rows(tmp_path / str(member) / "metrics.jsonl")
        ours = read_rows(tmp_path / "all" / "metrics.jsonl", member)
        assert [row.keys() for row in ours] == [row.keys() for row in single]
        assert [row["step"] for row in together] == [row["step"] for row in single]
        for a, b in zip(ours, single, strict=True):
            for name in a:
                assert a[name] == pytest.approx(b[name], rel=1e-5, abs=1e-5), (a, b)
        run = load_run(tmp_path / "all", member=member)
        theirs = load_run(tmp_path / str(member))
        assert run.step == theirs.step == 20 and run.config.to_json() == theirs.config.to_json()
        for x, y in zip(jax.tree.leaves(run.params), jax.tree.leaves(theirs.params), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5)


def test_a_population_stopped_and_resumed_has_the_same_bits(tmp_path):
    config = tiny(population=2)
    train(config, tmp_path / "whole")
    train(tiny(population=2), tmp_path / "cut")
    import shutil

    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "6")
    train(config, tmp_path / "cut")
    name = "metrics.jsonl"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for member in range(2):
        ours, theirs = (load_params(tmp_path / n, 6, member) for n in ("cut", "whole"))
        assert bits(ours) == bits(theirs)


def test_a_member_that_diverges_leaves_the_others_alone(tmp_path, caplog):
    config = tiny(
        population=2,
        steps=12,
        members="optimizer.learning_rate=1e30,1e-2",
        optimizer__clip=0.0,
    )
    with caplog.at_level("WARNING", logger="physlm_jax"):
        train(config, tmp_path / "run")
    assert caplog.text.count("member 0 (optimizer.learning_rate=1e+30) is not finite") == 1
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    last = [json.loads(line) for line in text.splitlines() if "gradient_norm" in line][-1]
    assert last["loss"][0] is None and np.isfinite(last["loss"][1])
    train(member_config(config, 1), tmp_path / "alone")
    alone = read_rows(tmp_path / "alone" / "metrics.jsonl")
    assert read_rows(tmp_path / "run" / "metrics.jsonl", 1)[-2]["loss"] == pytest.approx(
        alone[-2]["loss"], abs=1e-5
    )
    assert load_run(tmp_path / "run", member=1).step == 12
    with pytest.raises(InputError, match=r"member 0 .* is not finite at step 12"):
        load_run(tmp_path / "run", member=0)


def test_a_population_that_diverges_whole_stops(tmp_path):
    config = tiny(population=2, optimizer__learning_rate=1e30, optimizer__clip=0.0, steps=20)
    with pytest.raises(Diverged, match=r"update \d+ is not finite"):
        train(config, tmp_path / "run")


def test_members_are_told_apart():
    config = tiny(population=3)
    assert [(c.seed, c.data_seed, c.population) for c in member_configs(config)] == [
        (0, 0, 1),
        (1, 1, 1),
        (2, 2, 1),
    ]
    assert differences(config, 2) == "seed=2"
    config = tiny(population=2, members="seed=7,7; optimizer.beta1=.5,.9")
    assert [c.optimizer.beta1 for c in member_configs(config)] == [0.5, 0.9]
    assert differences(config, 1) == "seed=7, optimizer.beta1=0.9"
    assert member_config(tiny(), None).seed == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"population": 0}, "config.population must be at least 1"),
        ({"members": "seed=1,2"}, r"gives seed 2 value\(s\) but config.population is 1"),
        ({"population": 2, "members": "model.width=16,32"}, "cannot vary model.width"),
        ({"population": 2, "members": "optimizer.learning_rat=1,2"}, "did you mean 'optimizer.le"),
        ({"population": 2, "members": "seed=a,b"}, "needs values of type int, got 'a,b'"),
        ({"population": 2, "members": "optimizer.clip=0,1"}, "members 0 and 1 .* not one program"),
        ({"population": 2, "members": "optimizer.warmup=0,99"}, r"warmup must be in 0\.\.6"),
        ({"population": 3, "mesh__population": -1}, None),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(changes, message, tmp_path):
    if message is None:  # one device: all that is left is one
        assert train(tiny(**changes), tmp_path / "run") is not None
        return
    with pytest.raises(InputError, match=message) as caught:
        train(tiny(**changes), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_opening_a_population_names_the_member(tmp_path):
    train(tiny(population=2, steps=1), tmp_path / "run")
    with pytest.raises(InputError, match=r"population of 2: name a member, 0\.\.1"):
        load_run(tmp_path / "run")
    with pytest.raises(InputError, match="no member 2"):
        load_run(tmp_path / "run", member=2)


EIGHT = """
import sys
from pathlib import Path
from tiny import tiny
from physlm_jax.training.loop import train
for name, axes in {"members": (4, 1), "both": (2, 4), "rows": (1, 8)}.items():
    sizes = dict(mesh__population=axes[0], mesh__data=-1, mesh__tensor=8 // axes[0] // axes[1])
    config = tiny(population=4, batch=8, members=sys.argv[2], **sizes)
    train(config, Path(sys.argv[1]) / name)
"""


@pytest.mark.parametrize("members", ["", "optimizer.learning_rate=1e-2,5e-3,2e-3,1e-3"])
def test_members_spread_over_devices_are_the_same(members, tmp_path):
    on_eight_devices(EIGHT, tmp_path, members)
    train(tiny(population=4, batch=8, members=members), tmp_path / "one")
    one = read_rows(tmp_path / "one" / "metrics.jsonl")
    for name in ("members", "both", "rows"):
        for a, b in zip(read_rows(tmp_path / name / "metrics.jsonl"), one, strict=True):
            for key in a:
                np.testing.assert_allclose(a[key], b[key], rtol=2e-5, atol=1e-5)
        for member in (0, 3):  # written on eight devices, read on one
            ours, theirs = (load_params(tmp_path / n, None, member) for n in (name, "one"))
            for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-3, atol=2e-5)


def test_worlds_whose_facts_are_drawn_have_other_facts_in_each_member():
    config = tiny(population=2, seed=4)
    set_data(config, "reversal", seed=7)
    members = member_configs(config)
    assert [(m.seed, m.data_seed, m.data.seed) for m in members] == [(4, 0, 7), (5, 1, 8)]
    assert [m.data_seed for m in member_configs(tiny(population=2))] == [0, 1]
