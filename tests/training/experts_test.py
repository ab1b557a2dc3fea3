"""Training mixtures of experts: what is minimised, populations, Muon, meshes, FLOPs."""

import importlib.util
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoint_test import bits
from fit_test import small
from step_test import numpy_batch, stepper
from tiny import on_eight_devices, tiny

from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.parallel.topology import open_topology
from physlm_jax.training import muon
from physlm_jax.training.checkpoint import load_params, load_run
from physlm_jax.training.fit import check
from physlm_jax.training.loop import train
from physlm_jax.training.loss import summed_loss, training_sums
from physlm_jax.training.population import member_config
from physlm_jax.training.records import read_rows

EXPERTS = {
    "model__mlp": "experts",
    "model__mlp_ratio": 1.0,
    "model__experts": 4,
    "model__capacity_factor": 1.0,
    "model__unroll": 1,
}


def test_a_step_minimises_the_loss_and_every_layer_s_balance():
    """Capacity is that of training; tokens without weight are routed but not counted."""
    changes = {**EXPERTS, "optimizer__clip": 0.0, "model__balance": 0.3}
    model, step, state = stepper(**changes)
    batch, params = numpy_batch(), jax.tree.map(jnp.copy, state["params"])
    weights = batch["weights"]

    def objective(params):
        out = transformer.apply(model, params, batch["tokens"], train=True, counted=weights)
        each = -jnp.take_along_axis(
            jax.nn.log_softmax(out.logits), batch["targets"][..., None], axis=-1
        )[..., 0]
        loss = (each * weights).sum() / weights.sum()
        return loss + 0.3 * out.use.balance.sum(), (loss, out.use)

    (_, (loss, use)), gradient = jax.jit(jax.value_and_grad(objective, has_aux=True))(params)
    _, metrics = step(state, batch)
    norm = np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(gradient)))
    assert float(use.dropped.min()) > 0
    assert float(metrics["loss"]) == pytest.approx(float(loss), rel=1e-5)
    assert float(metrics["gradient_norm"]) == pytest.approx(float(norm), rel=1e-4)
    assert float(metrics["balance"]) == pytest.approx(float(use.balance.mean()), rel=1e-5)
    assert float(metrics["dropped"]) == pytest.approx(float(use.dropped.mean()), rel=1e-5)
    held_out, _ = summed_loss(model, params, batch, segmented=False)
    assert abs(float(held_out / weights.sum()) - float(loss)) > 1e-4  # nothing dropped there


def test_a_dense_step_measures_what_it_did():
    _, step, state = stepper()
    _, metrics = step(state, numpy_batch())
    assert set(metrics) == {"loss", "gradient_norm", "learning_rate", "tokens"}


def test_rows_of_weight_zero_change_nothing():
    model, _, state = stepper(**EXPERTS)
    batch = numpy_batch()
    padded = {k: jnp.concatenate([v[:2] * 0 + 3, v]) for k, v in batch.items()}
    padded["weights"] = padded["weights"].at[:2].set(0)
    full, more = (
        jax.jit(lambda b: training_sums(model, state["params"], b, segmented=False))(b)
        for b in (batch, padded)
    )
    assert full["dropped"] > 0
    for name, value in full.items():
        np.testing.assert_allclose(value, more[name], rtol=1e-6)


def test_micro_batches_are_weighed_by_their_tokens():
    model, one, state = stepper(**EXPERTS, model__balance=0.0)
    _, two, other = stepper(2, **EXPERTS, model__balance=0.0)
    batch, params = numpy_batch(), jax.tree.map(jnp.copy, state["params"])
    state, a = one(state, batch)
    other, b = two(other, batch)
    for name in ("loss", "dropped", "gradient_norm", "tokens"):
        assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-5), name
    for x, y in zip(
        jax.tree.leaves(state["params"]), jax.tree.leaves(other["params"]), strict=True
    ):
        np.testing.assert_allclose(x, y, atol=3e-5)
    parts = [
        training_sums(model, params, {k: v[i::2] for k, v in batch.items()}, segmented=False)
        for i in range(2)
    ]
    balance = sum(float(part["balance"]) for part in parts) / float(batch["weights"].sum())
    assert float(b["balance"]) == pytest.approx(balance, rel=1e-5)


def test_a_population_stopped_and_resumed_is_its_members_alone(tmp_path):
    config = tiny(**EXPERTS, population=2)
    train(config, tmp_path / "all")
    shutil.copytree(tmp_path / "all", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "6")
    train(config, tmp_path / "cut")
    name = "metrics.jsonl"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    assert bits(load_params(tmp_path / "cut", 6, 1)) == bits(load_params(tmp_path / "all", 6, 1))
    alone = member_config(config, 1)
    train(alone, tmp_path / "one")
    ours, theirs = read_rows(tmp_path / "all" / name, 1), read_rows(tmp_path / "one" / name)
    assert {"balance", "dropped"} <= ours[-2].keys()
    for a, b in zip(ours, theirs, strict=True):
        for key in a:
            assert a[key] == pytest.approx(b[key], rel=1e-5, abs=1e-5), (key, a, b)
    assert load_run(tmp_path / "one").model.mlp == "experts"
    alone = alone.copy_and_resolve_references()
    alone.model.capacity_factor = 2.0
    with pytest.raises(InputError, match=r"model\.capacity_factor is 1\.0 there and 2\.0 here"):
        train(alone, tmp_path / "one")


def test_muon_treats_every_expert_as_a_matrix_of_its_own():
    rng = np.random.default_rng(0)
    gradient = {
        "blocks": {
            "mlp": {
                "expert_up": {"kernel": rng.standard_normal((2, 3, 8, 4)).astype(np.float32)},
                "expert_down": {"bias": rng.standard_normal((2, 3, 8)).astype(np.float32)},
                "router": {"kernel": rng.standard_normal((2, 8, 3)).astype(np.float32)},
            }
        }
    }
    rule = muon.scale_by_muon(0.95, 0.98, 1e-8)
    update, _ = rule.update(gradient, rule.init(gradient))
    found, given = update["blocks"]["mlp"], gradient["blocks"]["mlp"]
    ahead = 0.05 * 1.95  # Nesterov's first momentum
    for i in range(2):
        for m in range(3):
            one = jnp.asarray(ahead * given["expert_up"]["kernel"][i, m])
            expected = 0.2 * 8**0.5 * muon.orthogonal(one)
            np.testing.assert_allclose(found["expert_up"]["kernel"][i, m], expected, atol=1e-5)
        route = muon.orthogonal(jnp.asarray(ahead * given["router"]["kernel"][i]))
        np.testing.assert_allclose(found["router"]["kernel"][i], 0.2 * 8**0.5 * route, atol=1e-5)
    bias = given["expert_down"]["bias"]
    np.testing.assert_allclose(found["expert_down"]["bias"], np.sign(bias), atol=1e-5)  # Adam's


EIGHT = """
import json
import jax
import numpy as np
import step_test
from experts_test import EXPERTS
from physlm_jax.parallel.mesh import make_mesh
AXES = ("data", "fsdp", "expert", "tensor")
MESHES = {"one": (1, 1, 1, 1), "two": (2, 1, 2, 2), "four": (1, 2, 4, 1)}
found = {}
for name, axes in MESHES.items():
    devices = jax.devices()[: int(np.prod(axes))]
    step_test.make_mesh = lambda sizes: make_mesh(sizes, devices)
    sizes = {f"mesh__{axis}": n for axis, n in zip(AXES, axes)}
    changes = {**EXPERTS, "model__experts_per_token": 2, "model__width": 32}
    _, step, state = step_test.stepper(2 if name == "two" else 1, **changes, **sizes)
    batch = lambda t: step_test.numpy_batch(rows=16, seed=t)
    step = step.lower(state, batch(0)).compile()
    text, rows = step.as_text(), []
    for t in range(3):
        state, metrics = step(state, batch(t))
        rows.append([float(metrics[n]) for n in ("loss", "dropped", "gradient_norm")])
    kernel = state["params"]["blocks"]["mlp"]["expert_up"]["kernel"]
    shard = list(kernel.addressable_shards[0].data.shape)
    found[name] = [rows, len(kernel.sharding.device_set), shard, " all-to-all(" in text]
print("RESULT", json.dumps(found))
"""


def test_eight_devices_give_the_numbers_of_one():
    """Experts over 2 and 4 devices, beside data, fsdp and tensor; tokens are exchanged."""
    found = on_eight_devices(EIGHT)
    assert [devices for _, devices, _, _ in found.values()] == [1, 8, 8]
    shards = [shape for _, _, shape, _ in found.values()]  # of [layers, experts 4, 32, 32]
    assert shards == [[2, 4, 32, 32], [2, 2, 32, 16], [2, 1, 16, 32]]
    assert [exchanged for *_, exchanged in found.values()] == [False, True, True]
    for rows, *_ in found.values():
        np.testing.assert_allclose(rows, found["one"][0], rtol=2e-4, atol=1e-5)


def test_flops_are_those_of_the_places_that_are_computed():
    """Per token: all dense parameters, the router, and c experts' worth of places, full or not."""
    sizes = {"vocab_size": 11, "max_length": 512, "layers": 3, "width": 64, "heads": 1}
    dense = transformer.TransformerConfig(**sizes, mlp="none", bias=False)
    for factor in (1.0, 2.0, 32.0):
        c = transformer.TransformerConfig(
            **sizes, mlp="experts", mlp_ratio=1.0, bias=False, capacity_factor=factor
        )
        each = 2 * 64 * 64 * factor + 64 * 32 + 64  # two maps, the router, the norm before them
        expected = transformer.train_flops_per_token(dense, 512) + 6 * 3 * each
        assert transformer.train_flops_per_token(c, 512) == pytest.approx(expected)


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu (the extra tpu) is not installed"
)
def test_experts_fit_a_slice_and_their_flops_are_counted():
    """Tokens travel along the expert axis alone, by exchanges: forth and back, and gradients."""
    experts = {"model__mlp": "experts", "model__mlp_ratio": 1.0, "model__experts": 8}
    mesh = {"mesh__data": 2, "mesh__fsdp": 1, "mesh__expert": 2}
    report = check(small(**experts, **mesh), open_topology("v5e:2x2"))
    assert report.fits and report.notes == ()
    assert report.flops == pytest.approx(report.model_flops, rel=0.02)
    exchanged = [t for t in report.traffic if t.kind == "all-to-all"]
    assert {t.axes for t in exchanged} == {"expert"}
    assert sum(t.times for t in exchanged) == 2 * 2 * 2  # layers, ways, passes
    assert all(t.largest <= 2 * 2 * 128 * 128 * 2 for t in exchanged)  # rows, c, T, D, bytes
    gathers = [t for t in report.traffic if t.kind == "all-gather" and "expert" in t.axes]
    assert not gathers
    odd = check(small(**experts, **mesh, batch=6), open_topology("v5e:2x2"))
    assert not odd.fits and "the nearest batch that can is 8" in odd.reason
