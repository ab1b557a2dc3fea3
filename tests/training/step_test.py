"""The train step: its loss against NumPy, its golden update, accumulation, padding, meshes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import on_eight_devices, tiny

from physlm_jax.data import open_world
from physlm_jax.models import transformer
from physlm_jax.parallel.mesh import make_mesh
from physlm_jax.training.config import model_config
from physlm_jax.training.loss import summed_loss
from physlm_jax.training.optimizer import numbers, recipe
from physlm_jax.training.step import Program, init_state, make_train_step


def numpy_params(shapes, seed=0):
    """Parameters drawn by NumPy, so that golden numbers outlive changes of jax.random."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: jnp.asarray(0.1 * rng.standard_normal(x.shape), jnp.float32), shapes
    )


def numpy_batch(rows=4, length=16, vocab=6, seed=1):
    rng = np.random.default_rng(seed)
    stream = rng.integers(0, vocab, (rows, length + 1)).astype(np.int32)
    return {
        "tokens": jnp.asarray(stream[:, :-1]),
        "targets": jnp.asarray(stream[:, 1:]),
        "segment_ids": jnp.ones((rows, length), jnp.int32),
        "positions": jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), (rows, length)),
        "weights": jnp.asarray(rng.integers(0, 2, (rows, length)).astype(np.float32)),
    }


def stepper(accumulation=1, **changes):
    c = tiny(**changes)
    model = model_config(c, open_world(c.data))
    program = Program(model, recipe(c.optimizer, c.steps), make_mesh(c.mesh), accumulation)
    state = init_state(program, numbers(c.optimizer), jax.random.key(0))
    state["params"] = numpy_params(state["params"])
    return model, make_train_step(program), state


def test_loss_is_the_cross_entropy_of_the_weighted_targets():
    model, _, state = stepper()
    batch = numpy_batch()
    logits = np.asarray(
        transformer.apply(model, state["params"], batch["tokens"]).logits, np.float64
    )
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = 0.0
    for row, target, weight in zip(log_p, batch["targets"], batch["weights"], strict=True):
        expected -= sum(float(w) * p[int(t)] for p, t, w in zip(row, target, weight, strict=True))
    loss, tokens = summed_loss(model, state["params"], batch, segmented=False)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(tokens) == float(batch["weights"].sum())


def test_golden_update():
    """From NumPy parameters and tokens; a change here is a change of the model or the optimizer.

    The numbers were printed by this test's own code when the model agreed with the NumPy twins of
    tests/models and tests/training.
    """
    _, step, state = stepper()
    before = jax.tree.map(np.asarray, state["params"])
    state, metrics = step(state, numpy_batch())
    moved = jax.tree.map(lambda a, b: np.asarray(a) - b, state["params"], before)
    rms = np.sqrt(np.mean(np.concatenate([np.ravel(x) for x in jax.tree.leaves(moved)]) ** 2))
    found = [float(metrics["loss"]), float(metrics["gradient_norm"]), float(rms)]
    np.testing.assert_allclose(found, [GOLDEN_LOSS, GOLDEN_NORM, GOLDEN_MOVE], rtol=2e-4)


GOLDEN_LOSS, GOLDEN_NORM, GOLDEN_MOVE = 1.7825875, 0.0976191, 0.0097037


@pytest.mark.parametrize("accumulation", [2, 4])
def test_accumulation_divides_by_all_real_tokens(accumulation):
    _, one, state = stepper()
    _, many, other = stepper(accumulation)
    batch = numpy_batch()
    state, a = one(state, batch)
    other, b = many(other, batch)
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-6)
    assert float(a["gradient_norm"]) == pytest.approx(float(b["gradient_norm"]), rel=1e-5)
    for x, y in zip(
        jax.tree.leaves(state["params"]), jax.tree.leaves(other["params"]), strict=True
    ):
        np.testing.assert_allclose(x, y, atol=3e-5)


def test_rows_of_weight_zero_change_nothing():
    model, _, state = stepper()
    batch = numpy_batch()
    padded = {k: jnp.concatenate([v, v[:2]]) for k, v in batch.items()}
    padded["weights"] = padded["weights"].at[4:].set(0)
    padded["tokens"] = padded["tokens"].at[4:].set(3)
    full = summed_loss(model, state["params"], batch, segmented=False)
    more = summed_loss(model, state["params"], padded, segmented=False)
    np.testing.assert_allclose(full, more, rtol=1e-6)


EIGHT = """
import json
import jax
import numpy as np
import step_test
from physlm_jax.parallel.mesh import make_mesh
MESHES = {"one": (1, 1, 1), "data": (8, 1, 1), "all": (2, 2, 2), "fsdp": (1, 8, 1)}
found = {}
for name, axes in MESHES.items():
    devices = jax.devices()[: int(np.prod(axes))]
    step_test.make_mesh = lambda sizes: make_mesh(sizes, devices)
    sizes = dict(zip(("mesh__data", "mesh__fsdp", "mesh__tensor"), axes))
    accumulation = 2 if name == "all" else 1
    _, step, state = step_test.stepper(accumulation, model__width=32, **sizes)
    losses = []
    for t in range(3):
        state, metrics = step(state, step_test.numpy_batch(rows=16, seed=t))
        losses.append(float(metrics["loss"]))
    kernel = state["params"]["blocks"]["mlp"]["up"]["kernel"]
    found[name] = [losses, len(kernel.sharding.device_set), list(kernel.addressable_shards[0].data.shape)]
print("RESULT", json.dumps(found))
"""  # noqa: E501


def test_eight_devices_give_the_loss_of_one():
    found = on_eight_devices(EIGHT)
    assert [devices for _, devices, _ in found.values()] == [1, 8, 8, 8]
    shards = [shape for _, _, shape in found.values()]  # of [layers, embed 32, hidden 128]
    assert shards == [[2, 32, 128], [2, 32, 128], [2, 16, 64], [2, 4, 128]]
    for losses, _, _ in found.values():
        np.testing.assert_allclose(losses, found["one"][0], atol=1e-5)
