"""A run goes on on any other mesh, straight into its shardings, with the same batches."""

import json

import jax
import numpy as np
from tiny import on_eight_devices, tiny

from physlm_jax.training.checkpoint import load_params
from physlm_jax.training.loop import train

CHAIN = """
import json, shutil, sys
from pathlib import Path
from tiny import tiny
from physlm_jax.training.loop import train

first, then = Path(sys.argv[1]), Path(sys.argv[2])
sizes = dict(model__width=32, batch=8, checkpoint__keep_last=3)
train(tiny(**sizes, mesh__data=1, mesh__fsdp=4, mesh__tensor=2), first)
shutil.copytree(first, then)
for step in ("4", "6"):
    shutil.rmtree(then / "checkpoints" / step)
state = train(tiny(**sizes, mesh__data=2, mesh__fsdp=1, mesh__tensor=4), then)
kernel = state["params"]["blocks"]["mlp"]["up"]["kernel"]
moment = [x for x in state["optimizer"][-1] if hasattr(x, "mu")][0].mu["blocks"]["mlp"]["up"]["kernel"]
print("RESULT", json.dumps([list(x.addressable_shards[0].data.shape) for x in (kernel, moment)]))
"""  # noqa: E501


def losses(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [row.get("loss", row.get("held_out_loss")) for row in map(json.loads, lines)]


def test_four_by_two_goes_on_as_two_by_four_and_opens_on_one(tmp_path):
    shards = on_eight_devices(CHAIN, tmp_path / "a", tmp_path / "b")
    assert shards == [[2, 32, 32], [2, 32, 32]]  # [layers, embed 32, hidden 128 / 4]
    train(tiny(model__width=32, batch=8), tmp_path / "one")
    for name in ("a", "b"):
        np.testing.assert_allclose(losses(tmp_path / name), losses(tmp_path / "one"), atol=2e-5)
    ours, theirs = (load_params(tmp_path / name) for name in ("b", "one"))
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert len(x.sharding.device_set) == 1
        np.testing.assert_allclose(x, y, atol=1e-4)
