"""Quantised models: stand-ins against the arrays they act as."""

import dataclasses
import functools
import itertools
import json
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from our_models import made

from physlm_jax.decoding.sampling import generate
from physlm_jax.errors import InputError
from physlm_jax.models import huggingface, lora, quantisation, transformer
from physlm_jax.models.paths import flat
from physlm_jax.models.quantisation import Quantised, grid
from physlm_jax.models.quantisation.gptq import gptq, inverse
from physlm_jax.training.loss import summed_loss

TOKENS = np.random.default_rng(1).integers(0, 23, (6, 16))
GPTQ = {"method": "gptq", "calibration": TOKENS}
VARIANTS = {
    "gpt2": {"position": "learned", "head_dim": 8},
    "gated": {"mlp": "gated", "kv_heads": 2, "bias": False, "norm": "rmsnorm", "tied": False},
    "bfloat16": {"dtype": "bfloat16", "parallel": True, "layers": 1},
    "scanned": {"unroll": 1, "remat": "full", "mlp": "none"},
}


@functools.partial(jax.jit, static_argnums=0)
def run(config, params):
    return transformer.apply(config, params, TOKENS).logits


def logits(config, params):
    return np.asarray(run(config, params))


def kernels(params):
    return {path: leaf for path, leaf in flat(params).items() if isinstance(leaf, Quantised)}


@pytest.mark.parametrize("variant", VARIANTS)
def test_stand_ins_act_as_the_arrays(variant):
    config, params = made(**VARIANTS[variant])
    shapes = jax.tree.map(lambda x: x.shape, transformer.abstract(config))
    for options in ({"bits": 4, **GPTQ}, {"bits": 5, "group": 8, "symmetric": False}):
        small = quantisation.quantise(config, params, **options)
        plain = quantisation.dequantised(small)
        assert jax.tree.map(lambda x: x.shape, plain) == shapes
        found, expected = logits(config, small), logits(config, plain)
        exact = 1e-6 * np.abs(expected).max() if config.dtype == "float32" else 0.0
        np.testing.assert_allclose(found, expected, atol=exact)
        assert np.abs(found - logits(config, params)).max() > 1e-3


def test_eight_bits_are_close_and_fewer_are_less_so():
    config, params = made(width=32, layers=1)
    exact = logits(config, params)
    errors = [
        np.abs(logits(config, quantisation.quantise(config, params, bits)) - exact).mean()
        for bits in (8, 6, 4)
    ]
    assert errors[0] < 0.02 * exact.std()
    assert all(2 * low < high for low, high in itertools.pairwise(errors))


def test_decoding_and_the_loss_take_it_as_it_is():
    config, params = made(position="learned", layers=1)
    small = quantisation.quantise(config, params, 4, group=8)
    plain = quantisation.dequantised(small)
    drawn = [
        generate(config, p, [[1, 2]], jax.random.key(0), max_length=6, stop=0)
        for p in (small, plain)
    ]
    np.testing.assert_array_equal(drawn[0].tokens, drawn[1].tokens)
    batch = {"tokens": TOKENS, "targets": TOKENS, "weights": np.ones(TOKENS.shape, np.float32)}
    losses = [summed_loss(config, p, batch, False)[0] for p in (small, plain)]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-6)


def reference_inputs(config, params, tokens):
    """{(layer, map): inputs [B * T, I]} of a causal GELU model without positions, by NumPy."""
    x = params["embedding"][tokens].astype(np.float64)
    found = {}

    def norm(x, scale, bias):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.norm_epsilon) * scale + bias

    def linear(name, layer, x, p, contract=1):
        kernel, bias = p["kernel"][layer], p["bias"][layer]
        found[layer, name] = x.reshape(tokens.size, -1)
        return np.tensordot(x, kernel, contract) + bias

    for layer in range(config.layers):
        p = params["blocks"]
        a = norm(x, p["attention_norm"]["scale"][layer], p["attention_norm"]["bias"][layer])
        q, k, v = (linear(n, layer, a, p["attention"][n]) for n in ("query", "key", "value"))
        scores = np.einsum("bthk,bshk->bhts", q, k) / math.sqrt(config.head_size)
        scores = np.where(np.tri(tokens.shape[1], dtype=bool), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("bhts,bshk->bthk", scores / scores.sum(-1, keepdims=True), v)
        x = x + linear("out", layer, mixed, p["attention"]["out"], 2)
        m = norm(x, p["mlp_norm"]["scale"][layer], p["mlp_norm"]["bias"][layer])
        h = linear("up", layer, m, p["mlp"]["up"])
        h = 0.5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + linear("down", layer, h, p["mlp"]["down"])
    final = norm(x, params["final_norm"]["scale"], params["final_norm"]["bias"])
    found[None, "output"] = final.reshape(tokens.size, -1)
    return found


def test_every_matrix_is_rounded_for_what_the_quantised_model_feeds_it():
    config, params = made(position="none", tied=False)
    small = quantisation.quantise(
        config, params, 4, "gptq", group=8, calibration=np.tile(TOKENS, (50, 1)), act_order=True
    )
    inputs = reference_inputs(config, jax.device_get(quantisation.dequantised(small)), TOKENS)
    compared = 0
    for (layer, name), x in inputs.items():
        room = "attention" if name in ("query", "key", "value", "out") else "mlp"
        path = ("output", "kernel") if layer is None else ("blocks", room, name, "kernel")
        leaf, w = flat(small)[path], flat(params)[path]
        codes, w = (leaf.codes, w) if layer is None else (leaf.codes[layer], w[layer])
        w = jnp.array(w).reshape(x.shape[1], -1)
        again = gptq(w, inverse(x.T @ x, act_order=True), 4, True, 8)[0]
        differ = np.mean(np.asarray(codes, int).reshape(w.shape) != np.asarray(again, int))
        nearest = grid.nearest(w, 4, True, 8)[0]
        assert differ < 0.01 < np.mean(np.asarray(again, int) != np.asarray(nearest, int))
        compared += 1
    assert compared == 2 * 6 + 1


def test_padding_that_weighs_nothing_changes_nothing():
    config, params = made()
    lengths = np.array([5, 16, 9, 16, 16, 2])
    counted = np.arange(16) < lengths[:, None]
    rows = [np.where(counted, TOKENS, filling) for filling in (0, 7)]
    found = [
        quantisation.quantise(config, params, 4, "gptq", calibration=r, weights=counted)
        for r in rows
    ]
    jax.tree.map(np.testing.assert_array_equal, *found)
    other = quantisation.quantise(config, params, 4, "gptq", calibration=rows[0])
    assert any(
        (a != b).any() for a, b in zip(*map(jax.tree.leaves, (found[0], other)), strict=True)
    )


def test_gptq_does_less_harm_than_nearest():
    config, params = made(width=32, layers=1)
    exact = logits(config, params)
    nearest = quantisation.quantise(config, params, 3, which="^blocks/")
    better = quantisation.quantise(config, params, 3, "gptq", which="^blocks/", calibration=TOKENS)
    errors = [np.square(logits(config, p) - exact).mean() for p in (nearest, better)]
    assert errors[1] < 0.8 * errors[0]


def test_parts_may_have_bits_of_their_own():
    config, params = made(tied=False)
    inner = quantisation.quantise(config, params, 3, which="^blocks/mlp")
    mixed = quantisation.quantise(config, inner, 8, "gptq", which="attn|attention|^output",
                                  calibration=TOKENS)  # fmt: skip
    widths = {"/".join(path): leaf.codes.dtype.name for path, leaf in kernels(mixed).items()}
    assert widths == {
        **{f"blocks/attention/{name}/kernel": "int8" for name in ("query", "key", "value", "out")},
        **{f"blocks/mlp/{name}/kernel": "int4" for name in ("up", "down")},
        "output/kernel": "int8",
    }
    assert mixed["embedding"] is params["embedding"]
    scale = mixed["blocks"]["attention"]["out"]["kernel"].scales
    assert scale.shape == (2, 1, 1, 16)  # one for each output of each layer


def test_a_population_is_quantised_and_run_as_its_members():
    config, first = made()
    second = jax.tree.map(lambda x: 2 * x[..., ::-1], first)
    both = jax.tree.map(lambda *x: jnp.stack(x), first, second)
    small = jax.vmap(lambda p: quantisation.quantise(config, p, 4, group=8))(both)
    found = jax.vmap(lambda p: transformer.apply(config, p, TOKENS).logits)(small)
    for i, member in enumerate((first, second)):
        alone = quantisation.quantise(config, member, 4, group=8)
        np.testing.assert_allclose(found[i], logits(config, alone), rtol=1e-4, atol=1e-4)


def test_adapters_train_beside_it_and_merge():
    config, params = made(layers=1)
    small = quantisation.quantise(config, params, 4, group=8, symmetric=False)
    rules = lora.parse("attention/(query|out)|^embedding$: rank=2, init=gaussian")
    adapter = lora.init(config, rules, jax.random.key(0))
    adapter = jax.tree.map(lambda x: x + 0.1, adapter)
    plain = quantisation.dequantised(small)

    def loss(adapter, base):
        out = transformer.apply(config, lora.attach(base, adapter), TOKENS).logits
        return jnp.square(out).mean()

    ours, theirs = (jax.jit(jax.grad(loss))(adapter, base) for base in (small, plain))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), ours, theirs)
    untied = dataclasses.replace(config, tied=False)
    merged = lora.merge(plain, adapter, untie=True)
    beside = logits(config, lora.attach(small, adapter))
    np.testing.assert_allclose(beside, logits(untied, merged), atol=1e-3, rtol=1e-3)
    inner = {"blocks": adapter["blocks"]}
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-5),
        quantisation.dequantised(lora.merge(small, inner)),
        lora.merge(plain, inner),
    )


def test_sizes():
    config, params = made()
    count = transformer.parameter_count(config)
    assert quantisation.size(params) == (count, 4 * count, 32)
    small = quantisation.quantise(config, params, 4, which="mlp/up", group=8, symmetric=False)
    up = 2 * 16 * 64
    scales = up // 8
    stored = 4 * (count - up) + up / 2 + 4 * scales + scales / 2
    assert quantisation.size(small) == (count, stored, pytest.approx(8 * stored / count))
    shapes = jax.eval_shape(lambda p: quantisation.quantise(config, p, 8), params)
    assert 8 < quantisation.size(shapes).bits < 12


SHARDED = """
import json, jax, numpy as np
from our_models import made
from physlm_jax.models import quantisation, transformer
from physlm_jax.parallel.mesh import make_mesh, tree_shardings

config, params = made(tied=False, kv_heads=2, layers=1, vocab_size=24)
tokens = np.random.default_rng(1).integers(0, 23, (4, 16))
run = jax.jit(lambda p: transformer.apply(config, p, tokens).logits)
small = quantisation.quantise(config, params, 4, group=4, symmetric=False)
expected = run(small)
mesh = make_mesh({"data": 1, "fsdp": 4, "tensor": 2})
laid = jax.device_put(small, tree_shardings(mesh, quantisation.axes(config, small), small))
shapes = {
    name: [list(x.addressable_shards[0].data.shape) for x in (k.codes, k.scales, k.zeros)]
    for name, k in (("up", laid["blocks"]["mlp"]["up"]["kernel"]), ("table", laid["embedding"]))
}
with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
    found = jax.jit(lambda p: transformer.apply(config, p, tokens).logits)(laid)
print("RESULT", json.dumps([shapes, float(abs(found - expected).max())]))
"""


def test_it_is_cut_over_devices_as_the_array_is():
    env = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": os.pathsep.join(
            (os.path.dirname(__file__), os.environ.get("PYTHONPATH", ""))
        ),
    }
    command = [sys.executable, "-c", SHARDED]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    shapes, error = json.loads(done.stdout.split("RESULT")[1])
    assert shapes == {
        "up": [[1, 4, 32], [1, 1, 32], [1, 1, 32]],  # [layers, 16 / fsdp 4, 64 / tensor 2]
        "table": [[12, 4], [12, 1], [12, 1]],  # [24 / tensor 2, 16 / fsdp 4], a group a piece
    }
    assert error < 1e-4


def test_it_is_written_as_plain_arrays(tmp_path):
    config, params = made(position="learned")
    small = quantisation.quantise(config, params, 4, group=16)
    with pytest.raises(InputError, match=r"quantisation\.dequantised"):
        huggingface.save(tmp_path / "a", config, small)
    huggingface.save(tmp_path / "b", config, quantisation.dequantised(small))
    read, back = huggingface.load(tmp_path / "b")
    found, expected = huggingface.logits(read, back, TOKENS), logits(config, small)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bits": 1}, r"bits must be 2 to 8, got 1"),
        ({"bits": 4.0}, r"bits must be 2 to 8"),
        ({"group": -1}, r"group must be 0 or"),
        ({"group": 12}, r"groups of 12 do not divide the 16 inputs of blocks/"),
        ({"group": 6, "which": "out"}, r"groups of 6 do not divide the 4 x 4 inputs of blocks/"),
        ({"method": "gtpq"}, r"unknown quantisation method 'gtpq'; did you mean 'gptq'"),
        ({"which": "("}, r"'\(' is no regular expression"),
        ({"which": "blocks/attention/quary"}, r"did you mean 'blocks/attention/query/kernel'"),
        ({"method": "gptq"}, r"'gptq' needs calibration"),
        ({"calibration": TOKENS}, r"are settings of 'gptq'"),
        ({"act_order": True}, r"are settings of 'gptq'"),
        ({**GPTQ, "damping": 0.0}, r"damping must be above 0"),
        ({**GPTQ, "calibration": TOKENS[0]}, r"calibration must be tokens int\[N, T\]"),
        ({**GPTQ, "calibration": TOKENS / 2}, r"got float64\(6, 16\)"),
        ({**GPTQ, "calibration": TOKENS[:0]}, r"calibration must be tokens"),
        ({**GPTQ, "calibration": TOKENS + 9}, r"calibration must be in 0\.\.22"),
        ({**GPTQ, "calibration": np.tile(TOKENS, 2)}, r"rows of 32 tokens, the model reads 16"),
        ({**GPTQ, "weights": np.ones(16)}, r"of shape \(6, 16\), got \(16,\)"),
        ({**GPTQ, "weights": -np.ones((6, 16))}, r"weights must be 0 or more"),
        ({**GPTQ, "weights": np.zeros((6, 16))}, r"no calibration token counts"),
    ],
)
def test_bad_input_is_one_line(options, says):
    config, params = made()
    with pytest.raises(InputError, match=says) as error:
        quantisation.quantise(config, params, **options)
    assert "\n" not in str(error.value)


def test_what_is_not_a_plain_model_is_refused():
    config, params = made()
    small = quantisation.quantise(config, params, which="mlp")
    with pytest.raises(InputError, match=r"blocks/mlp/down/kernel is quantised already"):
        quantisation.quantise(config, small)
    adapter = lora.init(config, lora.parse("query: rank=2"), jax.random.key(0))
    with pytest.raises(InputError, match=r"query/kernel has an adapter beside it; lora\.merge"):
        quantisation.quantise(config, lora.attach(params, adapter))
    with pytest.raises(InputError, match=r"embedding is \(23, 16\), not as the configuration"):
        quantisation.quantise(dataclasses.replace(config, vocab_size=24), params)
    broken = jax.tree.map(lambda x: x * np.nan, params)
    with pytest.raises(InputError, match=r"not finite"):
        quantisation.quantise(config, broken, **GPTQ)


def test_gptq_refuses_what_it_sees_no_product_of(monkeypatch):
    config, params = made(layers=1)
    monkeypatch.setattr(transformer, "layer", lambda config, block, x: x)
    with pytest.raises(InputError, match=r"sees no product of blocks/attention/key/kernel"):
        quantisation.quantise(config, params, **{**GPTQ, "which": "key"})
