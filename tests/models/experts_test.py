"""Mixtures of experts against a slow twin that sends token after token, gradients included."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import slow_experts
from flax import nnx
from our_models import made
from transformer_test import SMALL, numpy_params

from physlm_jax.errors import InputError
from physlm_jax.models import huggingface, lora, transformer
from physlm_jax.models.dispatch import capacity
from physlm_jax.models.experts import Experts
from physlm_jax.models.paths import flat

SOME = dataclasses.replace(SMALL, mlp="experts", mlp_ratio=1.0, experts=4)


def layer(chosen=1, bias=True, dtype=jnp.float32):
    """(function of parameters, x, C and what counts; parameters; x) of one layer of experts."""
    module = Experts(
        6,
        5,
        experts=4,
        chosen=chosen,
        std=1.0,
        out_std=1.0,
        bias=bias,
        dtype=jnp.dtype(dtype),
        key=jax.random.key(0),
    )
    graph, state = nnx.split(module)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: rng.standard_normal(x.shape).astype(np.float32), nnx.to_pure_dict(state)
    )
    x = rng.standard_normal((3, 10, 6)).astype(np.float32)

    @functools.partial(jax.jit, static_argnums=2)
    def run(p, x, most, counted=None):
        return nnx.merge(graph, p)(x, most, counted)

    return run, params, x


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("most", [2, 3, 10])
@pytest.mark.parametrize("chosen", [1, 2, 4])
def test_a_layer_equals_the_slow_twin(chosen, most, bias):
    run, params, x = layer(chosen, bias)
    counted = np.random.default_rng(3).integers(0, 2, x.shape[:2]).astype(np.float32)
    y, use = run(params, x, most, counted)
    expected, balance, dropped, kept, _ = slow_experts.rows(params, x, chosen, most, counted)
    np.testing.assert_allclose(y, expected, atol=2e-5)
    np.testing.assert_allclose(use.balance, balance, rtol=1e-5)
    np.testing.assert_allclose(use.dropped, dropped, atol=1e-6)
    assert kept.all() == (most == 10)


@pytest.mark.parametrize("most", [2, 10])
@pytest.mark.parametrize("chosen", [1, 2])
def test_gradients_equal_those_of_every_expert_on_every_token(chosen, most):
    """The dense formulation: all experts on all tokens, times gates that the twin's drops zero."""
    run, params, x = layer(chosen)
    _, _, _, kept, experts = slow_experts.rows(params, x, chosen, most)
    mask = (jax.nn.one_hot(experts, 4) * kept[..., None]).sum(2)
    asked = jax.nn.one_hot(experts, 4).sum(2)
    d = np.random.default_rng(4).standard_normal(x.shape).astype(np.float32)

    def dense(p, x):
        odds = jax.nn.softmax(x @ p["router"]["kernel"])
        gates = odds * mask / ((odds * asked).sum(-1, keepdims=True) if chosen > 1 else 1)
        up, down = p["expert_up"], p["expert_down"]
        h = jax.nn.gelu(jnp.einsum("btd,mdf->btmf", x, up["kernel"]) + up["bias"])
        each = jnp.einsum("btmf,mfd->btmd", h, down["kernel"]) + down["bias"]
        y = jnp.einsum("btm,btmd->btd", gates, each)
        return jnp.vdot(d, y) + 4 * (odds.mean((0, 1)) * asked.mean((0, 1)) / chosen).sum()

    def sparse(p, x):
        y, use = run(p, x, most)
        return jnp.vdot(d, y) + use.balance

    found, expected = (jax.jit(jax.grad(f, (0, 1)))(params, x) for f in (sparse, dense))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=5e-5)


@pytest.mark.parametrize(
    ("chosen", "changes"), [(1, {}), (2, {"bias": False}), (1, {"parallel": True, "tied": False})]
)
def test_a_whole_model_equals_the_twin(chosen, changes):
    """Residual streams of a model whose MLPs the twin computes, attention being the model's own."""
    c = dataclasses.replace(SOME, experts_per_token=chosen, capacity_factor=1.0, **changes)
    params = numpy_params(c)
    tokens = np.random.default_rng(1).integers(0, 11, (2, 12))
    bare = dataclasses.replace(c, mlp="none")
    out = transformer.apply(c, params, tokens, train=True, hidden=True)
    x, dropped, balance = out.hidden[0], [], []
    for i in range(c.layers):
        one = jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], params["blocks"])
        without = {n: leaf for n, leaf in one.items() if not n.startswith("mlp")}
        before, x = x, _attended(dataclasses.replace(bare, layers=1), without, params, x)
        source = before if c.parallel else x
        n = _norm(c, jax.tree.map(lambda leaf: leaf[0], one["mlp_norm"]), source)
        mlp = jax.tree.map(lambda leaf: leaf[0], one["mlp"])
        y, even, lost, _, _ = slow_experts.rows(mlp, np.asarray(n), chosen, 3)
        x = x + y
        np.testing.assert_allclose(out.hidden[i + 1], x, atol=3e-4)
        balance.append(even)
        dropped.append(lost)
    assert max(dropped) > 0
    np.testing.assert_allclose(out.use.balance, balance, rtol=1e-4)
    np.testing.assert_allclose(out.use.dropped, dropped, atol=1e-6)


def _attended(c, blocks, params, x):
    """The residual stream x after one layer without an MLP: x is the embedding, a row a token."""
    B, T, D = x.shape
    c = dataclasses.replace(c, vocab_size=B * T)
    table = {**params, "blocks": blocks, "embedding": jnp.asarray(x, jnp.float32).reshape(B * T, D)}
    return transformer.apply(c, table, jnp.arange(B * T).reshape(B, T), hidden=True).hidden[-1]


def _norm(c, p, x):
    x = x - x.mean(-1, keepdims=True)
    y = x / jnp.sqrt(jnp.square(x).mean(-1, keepdims=True) + c.norm_epsilon) * p["scale"]
    return y + p["bias"] if c.bias else y


@pytest.mark.parametrize("chosen", [1, 2])
def test_with_room_for_all_permuted_tokens_give_permuted_results(chosen):
    run, params, x = layer(chosen)
    order = np.random.default_rng(5).permutation(10)
    straight, use = run(params, x, 10)
    turned, same = run(params, x[:, order], 10)
    np.testing.assert_allclose(turned, straight[:, order], atol=1e-6)
    np.testing.assert_allclose(use, same, rtol=1e-6)


def test_neither_later_tokens_nor_other_rows_change_a_token():
    run, params, x = layer(chosen=2)
    y, use = run(params, x, 2)
    assert use.dropped > 0
    other = x.copy()
    other[:, 6:] = other[::-1, 6:]
    np.testing.assert_array_equal(run(params, other, 2)[0][:, :6], y[:, :6])
    np.testing.assert_array_equal(run(params, x[1:2], 2)[0][0], y[1])


def test_balance_is_one_where_routing_is_uniform_and_m_where_it_collapses():
    run, params, x = layer()
    even = {**params, "router": {"kernel": np.zeros((6, 4), np.float32)}}
    assert float(run(even, x, 10)[1].balance) == pytest.approx(1, rel=1e-6)
    one = np.zeros((6, 4), np.float32)
    one[0] = [0, 99, 0, 0]
    x[..., 0] = 1
    assert float(run({**params, "router": {"kernel": one}}, x, 10)[1].balance) == pytest.approx(4)


def test_the_share_of_dropped_pairs_on_a_crafted_router():
    """Token t of 10 has its only large number at t % 4 and asks for expert t % 3, then for 3."""
    run, params, x = layer(chosen=2)
    kernel = np.zeros((6, 4), np.float32)
    kernel[:3, :3], kernel[:, 3] = 9 * np.eye(3), 4
    x = np.broadcast_to(np.eye(6)[np.arange(10) % 3], (3, 10, 6)).astype(np.float32)
    crafted = {**params, "router": {"kernel": kernel}}
    # experts 0, 1, 2 are asked for 4, 3 and 3 times, expert 3 ten times
    for most, lost in ((10, 0), (4, 6), (3, 7 + 1), (1, 9 + 3 + 2 + 2)):
        assert float(run(crafted, x, most)[1].dropped) == pytest.approx(lost / 20), most
    last = np.zeros((3, 10), np.float32)
    last[:, -1] = 1  # only the last token counts, and loses both its choices
    assert float(run(crafted, x, 3, last)[1].dropped) == 1
    first = np.zeros((3, 10), np.float32)
    first[0, 0] = 1
    assert float(run(crafted, x, 3, first)[1].dropped) == 0


def test_capacities():
    """The paper's settings: 32 experts, factors 2 and 8, windows of 512."""
    assert [capacity(512, 32, c) for c in (1, 2, 8, 32, 99)] == [16, 32, 128, 512, 512]
    assert [capacity(n, 32, 2) for n in (1, 15, 16, 31, 48)] == [1, 1, 1, 1, 3]
    assert capacity(320, 32, 1.1) == 11
    c = dataclasses.replace(SMALL, mlp="experts")
    assert [c.room(n, train=True) for n in (1, 140, 512)] == [1, 8, 32]
    assert [c.room(n, train=False) for n in (1, 5, 32, 75, 140, 512)] == [1, 5, 32, 32, 35, 128]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experts": 0}, r"model.experts must be at least 1, got 0"),
        ({"experts_per_token": 0}, r"model.experts_per_token must be in 1\.\.4 .*got 0"),
        ({"experts_per_token": 5}, r"model.experts_per_token must be in 1\.\.4 .*got 5"),
        ({"capacity_factor": 0.9}, r"model.capacity_factor must be at least 1, got 0.9"),
        ({"eval_capacity_factor": 0.5}, r"model.eval_capacity_factor must be at least 1, got 0.5"),
        ({"capacity_factor": float("nan")}, r"model.capacity_factor must be at least 1, got nan"),
        ({"balance": -1.0}, r"model.balance must be at least 0, got -1.0"),
        ({"mlp": "expert"}, r"did you mean 'experts'"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(InputError, match=message) as error:
        dataclasses.replace(SOME, **change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("chosen", [1, 2])
def test_decoding_with_a_cache_equals_the_whole_row(chosen):
    """Nothing is dropped in rows of up to 32 tokens, whatever the factor: nor from step to step."""
    c = dataclasses.replace(SOME, experts_per_token=chosen, eval_capacity_factor=1.0)
    params = jax.tree.map(jnp.asarray, numpy_params(c))
    tokens = np.random.default_rng(1).integers(0, 11, (3, 12))
    whole = transformer.apply(c, params, tokens)
    assert not whole.use.dropped.any()
    step = jax.jit(lambda t, cache, i: transformer.apply(c, params, t, cache=cache, start=i))
    out = step(tokens[:, :4], transformer.empty_cache(c, 3, 12), 0)
    for i in range(4, 12):
        out = step(tokens[:, i : i + 1], out.cache, i)
        np.testing.assert_allclose(out.logits[:, 0], whole.logits[:, i], atol=2e-4)
        assert out.use.balance.shape == (2,) and not out.use.dropped.any()


def test_beams_that_are_all_alike_find_room():
    params = jax.tree.map(jnp.asarray, numpy_params(SOME))
    seen = np.concatenate([np.ones((24, 2), bool), np.eye(24, dtype=bool)], axis=1)[None]

    @jax.jit
    def side_by_side():
        cache = transformer.empty_cache(SOME, 1, 26)
        cache = transformer.apply(SOME, params, jnp.array([[1, 2]]), cache=cache).cache
        row, places = jnp.full((1, 24), 3), jnp.full(24, 2)
        given = {"positions": places, "cache": cache, "start": 2, "visible": jnp.asarray(seen)}
        return transformer.apply(SOME, params, row, **given).logits[0]

    alone = jax.jit(lambda: transformer.apply(SOME, params, jnp.array([[1, 2, 3]])).logits[0, -1])
    np.testing.assert_allclose(side_by_side(), np.tile(alone(), (24, 1)), atol=2e-4)


def test_unrolling_and_rematerialising_change_nothing():
    tokens = np.random.default_rng(4).integers(0, 11, (2, 12))
    tight = dataclasses.replace(SOME, capacity_factor=1.0, experts_per_token=2)
    params = numpy_params(tight)

    def gradient(c):
        def loss(p):
            out = transformer.apply(c, p, tokens, train=True)
            return jnp.square(out.logits).mean() + out.use.balance.sum()

        return jax.tree.leaves(jax.jit(jax.grad(loss))(params))

    expected = gradient(tight)
    for change in ({"remat": "full", "unroll": 1}, {"remat": "dots", "unroll": 1}):
        found = gradient(dataclasses.replace(tight, **change))
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(a, b, rtol=5e-4, atol=2e-5)


def test_bfloat16_keeps_the_router_in_float32():
    c = dataclasses.replace(SOME, dtype="bfloat16")
    params = transformer.init(c, jax.random.key(0))
    tokens = np.arange(12)[None] % 11
    out = transformer.apply(c, params, tokens, hidden=True)
    assert out.hidden.dtype == jnp.bfloat16 and out.use.balance.dtype == jnp.float32
    full = transformer.apply(SOME, params, tokens).logits
    np.testing.assert_allclose(out.logits, full, atol=0.02)
    run, params, x = layer(dtype=jnp.bfloat16)
    x = jnp.asarray(x, jnp.bfloat16)
    _, balance, dropped, _, _ = slow_experts.rows(params, np.asarray(x, np.float32), 1, 3)
    y, use = run(params, x, 3)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(use, (balance, dropped), rtol=1e-5)


def test_initial_residual_maps_are_scaled_by_depth():
    c = dataclasses.replace(SOME, layers=8, width=64, experts=8)
    mlp = transformer.init(c, jax.random.key(1))["blocks"]["mlp"]
    for name, std in (("router", 0.02), ("expert_up", 0.02), ("expert_down", 0.02 / 4)):
        assert float(mlp[name]["kernel"].std()) == pytest.approx(std, rel=0.03), name
    kernel = np.asarray(mlp["expert_up"]["kernel"])
    assert len({float(x) for x in kernel[:, :, 0, 0].ravel()}) == 64  # no two are the same


def test_a_dense_model_has_no_use_and_no_cost():
    params = numpy_params(SMALL)
    tokens = np.zeros((1, 12), int)
    assert transformer.apply(SMALL, params, tokens).use is None
    plain, train = (
        str(jax.make_jaxpr(lambda p, t=t: transformer.apply(SMALL, p, tokens, train=t).logits)(p))
        for t, p in ((False, params), (True, params))
    )
    assert plain == train


def test_hugging_face_formats_refuse_experts_by_name(tmp_path):
    with pytest.raises(InputError, match=r"no Hugging Face format .*mlp='experts'"):
        huggingface.save(tmp_path / "m", *made(mlp="experts", mlp_ratio=1.0, experts=4))


def test_low_rank_rules_do_not_reach_experts():
    for text in ("mlp: rank=2", "expert_up/kernel: rank=2", ".: rank=1"):
        with pytest.raises(InputError, match=r"expert_\w+/kernel is .*narrow the pattern"):
            lora.check(SOME, lora.parse(text))
    rules = lora.parse("expert_up/kernel: full; attention|router: rank=2; mlp_norm: full")
    params = jax.tree.map(jnp.asarray, numpy_params(SOME))
    adapter = lora.init(SOME, rules, jax.random.key(0), params)
    assert adapter["blocks"]["mlp"]["expert_up"]["kernel"].shape == (2, 4, 16, 16)
    tokens = np.arange(12)[None] % 11
    changed = jax.tree.map(lambda x: x + 0.1, adapter)
    beside = transformer.apply(SOME, lora.attach(params, changed), tokens).logits
    merged = transformer.apply(SOME, lora.merge(params, changed), tokens).logits
    np.testing.assert_allclose(beside, merged, atol=5e-4)
    axes = flat(lora.axes(SOME, adapter))
    assert axes["blocks", "mlp", "expert_up", "kernel"] == ("layers", "expert", "embed", "hidden")
