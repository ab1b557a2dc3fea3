"""Runs that start from another run: fine-tuning in full, and adapters beside a frozen base."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from checkpoint_test import bits
from tiny import tiny

from physlm_jax.errors import InputError
from physlm_jax.models import lora, transformer
from physlm_jax.models.lora.adapter import Adapted
from physlm_jax.models.weights import original
from physlm_jax.training.checkpoint import load_params, load_run
from physlm_jax.training.loop import Training, train
from physlm_jax.training.population import member_config
from physlm_jax.training.records import read_rows

RULES = "attention/(query|value): rank=2, alpha=4; embedding: rank=3, alpha=4, scale=constant"
TOKENS = np.random.default_rng(0).integers(1, 4, (3, 16), dtype=np.int32)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A run of 6 steps, and a population of 3 of them."""
    folder = tmp_path_factory.mktemp("base")
    train(tiny(), folder / "one")
    train(tiny(population=3), folder / "three")
    return folder


def adapted(base, run="one", **changes):
    return tiny(base__run=str(base / run), **{"lora": RULES, "data__under": 14, **changes})


def logits(run):
    return transformer.apply(run.model, run.params, TOKENS).logits


def test_an_adapter_is_trained_and_its_base_is_not(base, tmp_path):
    config = adapted(base)
    state = train(config, tmp_path / "run")
    frozen = load_params(base / "one")
    assert bits(state["base"]) == bits(frozen)
    paths = [path for path, _ in lora.walk(state["params"])]
    assert paths == [
        ("blocks", "attention", "query", "kernel"),
        ("blocks", "attention", "value", "kernel"),
        ("embedding",),
    ]
    fresh = Training(config, tmp_path / "none").state(_none())
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state["params"], fresh["params"])
    assert all(jax.tree.leaves(moved))
    # Adam's two moments are the adapter's alone: what makes it 3 x to 1 x the weights
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state["params"]))
    slots = sum(leaf.nbytes for leaf in jax.tree.leaves(state["optimizer"]) if leaf.ndim)
    assert slots == 2 * size == 2 * 4 * lora.size(state["params"])
    run = load_run(tmp_path / "run")
    np.testing.assert_array_equal(
        logits(run),
        transformer.apply(run.model, lora.attach(frozen, state["params"]), TOKENS).logits,
    )
    assert isinstance(run.params["embedding"], Adapted)
    assert bits(jax.tree.map(original, run.params, is_leaf=_is_leaf)) == bits(frozen)


def _is_leaf(x):
    return isinstance(x, Adapted)


class _none:
    """No checkpoints."""

    def restore_latest(self, **_):
        return None


def test_only_the_adapter_is_saved(base, tmp_path):
    train(adapted(base, lora="query: rank=1"), tmp_path / "run")

    def size(run):
        folder = run / "checkpoints" / "6" / "params"
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    meta = json.loads((tmp_path / "run/checkpoints/6/meta/metadata").read_text())
    assert [key.split("'")[-2] for key in meta["params"]] == ["kernel", "kernel"]
    assert size(tmp_path / "run") < size(base / "one") / 2


@pytest.mark.parametrize(
    "rules", [RULES, "attention: rank=2, dropout=0.3, dora; final_norm: full", ""]
)
def test_stopped_and_resumed_has_the_same_bits(base, tmp_path, rules):
    config = adapted(base, lora=rules, accumulation=2)
    train(config, tmp_path / "whole")
    train(config, tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "6")
    train(config, tmp_path / "cut")
    name = "metrics.jsonl"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert bits(load_params(tmp_path / "cut")) == bits(load_params(tmp_path / "whole"))


def test_dropout_differs_from_step_to_step_and_is_off_in_evaluation(base, tmp_path):
    """With a rate of 0 nothing moves: the loss of one batch varies by dropout alone."""
    still = {"optimizer__learning_rate": 0.0, "lora": "kernel: rank=2, init=gaussian, dropout=0.9"}
    run = Training(adapted(base, **still), tmp_path)
    state = run.state(_none())
    filled = jax.tree.map(lambda x: x + 0.3, state["params"])
    state = {**state, "params": jax.device_put(filled, jax.tree.map(_place, state["params"]))}
    held = run.evaluate(state)
    with run.batches(0) as batches:
        batch = next(batches)
    losses = []
    for _ in range(3):
        state, values = run.update(state, batch)
        losses.append(float(values["loss"]))
    assert len({*losses}) == 3
    assert run.evaluate(state) == held


def _place(x):
    return x.sharding


def test_all_parameters_may_start_from_a_run(base, tmp_path):
    config = adapted(base, lora="", optimizer__learning_rate=0.0)
    train(config, tmp_path / "run")
    assert bits(load_params(tmp_path / "run")) == bits(load_params(base / "one"))
    moved = adapted(base, lora="")
    train(moved, tmp_path / "moved")
    first = read_rows(tmp_path / "moved" / "metrics.jsonl")
    fresh = tiny(data__under=14)
    train(fresh, tmp_path / "fresh")
    assert (
        first[0]["held_out_loss"]
        < read_rows(tmp_path / "fresh" / "metrics.jsonl")[0]["held_out_loss"]
    )


@pytest.mark.parametrize("rules", [RULES, ""])
@pytest.mark.parametrize("own", [True, False])
def test_each_member_is_the_run_alone(base, tmp_path, rules, own):
    members = "seed=3..5;base.member=2,0,1" if own else "optimizer.learning_rate=1e-2,3e-3,1e-3"
    config = adapted(base, "three", lora=rules, population=3, members=members, base__member=1)
    train(config, tmp_path / "all")
    for member in range(3):
        alone = member_config(config, member)
        assert alone.base.member == ((2, 0, 1)[member] if own else 1)
        train(alone, tmp_path / str(member))
        ours = read_rows(tmp_path / "all" / "metrics.jsonl", member)
        theirs = read_rows(tmp_path / str(member) / "metrics.jsonl")
        for a, b in zip(ours, theirs, strict=True):
            assert a == pytest.approx(b, rel=1e-5, abs=1e-5)
        both = load_run(tmp_path / "all", member=member), load_run(tmp_path / str(member))
        np.testing.assert_allclose(*map(logits, both), rtol=1e-3, atol=1e-4)


def test_an_adapter_is_cut_over_devices_as_its_base(base, tmp_path):
    """On 2 x 2 x 2 devices (data, fsdp, tensor) as on one, base and adapter each in pieces."""
    config = adapted(base, "three", population=2, members="base.member=0,2", optimizer__clip=0.0)
    train(config, tmp_path / "one")
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from adapters_test import adapted
from pathlib import Path
import jax
from physlm_jax.training.loop import train
config = adapted(Path({str(base)!r}), "three", population=2, members="base.member=0,2",
                 optimizer__clip=0.0, mesh__population=2, mesh__fsdp=2, mesh__tensor=2)
state = train(config, Path({str(tmp_path / "eight")!r}))
down = state["params"]["blocks"]["attention"]["query"]["kernel"].down
kernel = state["base"]["blocks"]["attention"]["query"]["kernel"]
print([s.data.shape for s in down.addressable_shards][0], kernel.addressable_shards[0].data.shape)
"""
    environ = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[-2] == "(1, 2, 8, 2) (1, 2, 8, 1, 8)"
    for member in range(2):
        rows = (read_rows(tmp_path / n / "metrics.jsonl", member) for n in ("one", "eight"))
        for a, b in zip(*rows, strict=True):
            assert a == pytest.approx(b, rel=1e-4, abs=1e-4)


def refused(config, folder, message):
    with pytest.raises(InputError, match=message):
        train(config, folder)
    assert not folder.exists()


def test_what_is_refused(base, tmp_path):
    folder = tmp_path / "run"
    refused(tiny(lora=RULES), folder, "config.lora needs config.base.run")
    refused(adapted(base, "two"), folder, "holds no run")
    refused(adapted(base, base__step=5), folder, r"no checkpoint 5 \(there are: 4, 6\)")
    refused(adapted(base, base__member=1), folder, "is no population")
    refused(adapted(base, "three"), folder, "is a population of 3; name one of")
    refused(adapted(base, model__heads=4), folder, "model.heads is 2 there and 4 here")
    refused(adapted(base, lora="quarry: rank=2"), folder, "matches no parameter")
    refused(adapted(base, lora="query: rnk=2"), folder, "did you mean 'rank'")


def test_an_adapter_knows_its_base(base, tmp_path):
    shutil.copytree(base / "one", tmp_path / "base")
    config = adapted(tmp_path, "base")
    train(config, tmp_path / "run")
    refused(adapted(tmp_path, "run"), tmp_path / "on top", "trained an adapter")
    shutil.rmtree(tmp_path / "base" / "checkpoints" / "6")
    with pytest.raises(InputError, match=r"step 6 of .*base, which is not there any more"):
        load_run(tmp_path / "run")
    longer = tiny(seed=5)
    shutil.rmtree(tmp_path / "base")
    train(longer, tmp_path / "base")
    with pytest.raises(InputError, match="which is another run now"):
        load_run(tmp_path / "run")
    with pytest.raises(InputError, match="started from other parameters"):
        train(config, tmp_path / "run")


def test_runs_of_before_there_were_bases_go_on(tmp_path):
    """A config.json without the newer keys is one with their defaults."""
    train(tiny(), tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    old = json.loads(path.read_text())
    del old["base"], old["lora"]
    path.write_text(json.dumps(old))
    train(tiny(), tmp_path / "run")
    with pytest.raises(InputError, match=r"optimizer\.clip is"):
        train(tiny(optimizer__clip=2.0), tmp_path / "run")
