"""Applying an adapter: beside the base, merged, several at once; each against plain NumPy sums."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.errors import InputError
from physlm_jax.models import lora, transformer
from physlm_jax.models.lora import LowRank
from physlm_jax.models.lora.adapter import Adapted
from physlm_jax.models.transformer import TransformerConfig

CONFIG = TransformerConfig(
    vocab_size=13, max_length=12, layers=3, width=16, heads=4, kv_heads=2, tied=False
)
TOKENS = np.random.default_rng(0).integers(0, 13, (4, 12), dtype=np.int32)
RULES = "attention/(query|out): rank=2, alpha=3; mlp/up: rank=5, alpha=2; embedding|output: rank=3"


@pytest.fixture(scope="module")
def base():
    return transformer.init(CONFIG, jax.random.key(1))


def filled(adapter, seed=0):
    """The same adapter with every number drawn anew, none zero."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape) / 4, x.dtype), adapter)


def made(rules=RULES, seed=0, base=None, config=CONFIG):
    return filled(lora.init(config, lora.parse(rules), jax.random.key(seed), base), seed)


@functools.partial(jax.jit, static_argnums=0)
def run(config, params):
    return transformer.apply(config, params, TOKENS).logits


def logits(params, config=CONFIG):
    return np.asarray(run(config, params))


def summed(base, adapter):
    """The sums by NumPy loops over layers."""
    new = jax.tree.map(np.array, base)
    for path, leaf in lora.walk(adapter):
        folder = new
        for name in path[:-1]:
            folder = folder[name]
        w, down, up = (np.asarray(x, np.float64) for x in (folder[path[-1]], leaf.down, leaf.up))
        if path[0] != "blocks":
            folder[path[-1]] = (w + leaf.scale[0] * down @ up).astype(np.float32)
            continue
        layers = []
        for i, scale in enumerate(leaf.scale):
            flat = down[i].reshape(-1, down.shape[-1]) @ up[i].reshape(up.shape[1], -1)
            layer = w[i] + scale * flat.reshape(w[i].shape)
            if leaf.magnitude is not None:
                axes = tuple(range(down.ndim - 2))
                layer = np.asarray(leaf.magnitude[i]) * layer / np.sqrt((layer**2).sum(axes))
            layers.append(layer)
        folder[path[-1]] = np.stack(layers).astype(np.float32)
    return new


def test_beside_merged_and_summed_by_hand_agree(base):
    adapter = made()
    plain = logits(base)
    beside, merged = logits(lora.attach(base, adapter)), logits(lora.merge(base, adapter))
    assert np.abs(beside - plain).max() > 0.05
    np.testing.assert_allclose(beside, logits(summed(base, adapter)), atol=2e-5)
    np.testing.assert_allclose(merged, logits(summed(base, adapter)), atol=2e-5)


@pytest.mark.parametrize("init", ["default", "gaussian", "zero_down"])
def test_a_fresh_adapter_changes_nothing(base, init):
    rules = lora.parse(f"kernel|embedding: rank=3, init={init}")
    adapter = lora.init(CONFIG, rules, jax.random.key(3))
    assert all(bool(leaf.down.any()) != bool(leaf.up.any()) for _, leaf in lora.walk(adapter))
    np.testing.assert_array_equal(logits(lora.attach(base, adapter)), logits(base))


def test_a_fresh_dora_acts_as_its_base(base):
    rules = lora.parse("attention: rank=2, dora; mlp: rank=2, dora")
    adapter = lora.init(CONFIG, rules, jax.random.key(3), base)
    np.testing.assert_allclose(logits(lora.attach(base, adapter)), logits(base), atol=1e-5)


def test_dora_beside_merged_and_by_hand_agree(base):
    adapter = made("attention/(query|out): rank=2, dora", base=base)
    by_hand = logits(summed(base, adapter))
    np.testing.assert_allclose(logits(lora.attach(base, adapter)), by_hand, atol=3e-5)
    np.testing.assert_allclose(logits(lora.merge(base, adapter)), by_hand, atol=3e-5)


def test_gradients_beside_and_merged_agree_and_the_base_gets_none(base):
    adapter = made(base=base, rules=RULES + "; attention/value: rank=2, dora")

    def loss(adapter, apply):
        out = transformer.apply(CONFIG, apply(base, adapter), TOKENS).logits
        return jnp.square(out).mean()

    beside = jax.grad(loss)(adapter, lora.attach)
    merged = jax.grad(loss)(adapter, lora.merge)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-6), beside, merged
    )
    assert all(bool(jnp.any(leaf)) for leaf in jax.tree.leaves(beside))


def test_ranks_may_differ_between_layers(base):
    rules = "blocks/0/attention/query: rank=4, alpha=2; blocks/2/attention/query: rank=1, alpha=5"
    fresh = lora.init(CONFIG, lora.parse(rules), jax.random.key(0))
    pair = fresh["blocks"]["attention"]["query"]["kernel"]
    assert pair.scale == (0.5, 0.0, 5.0) and pair.down.shape == (3, 16, 4)
    assert pair.down[0].all() and not pair.down[1].any()
    assert pair.down[2, :, 0].all() and not pair.down[2, :, 1:].any()

    def loss(adapter):
        return jnp.square(
            transformer.apply(CONFIG, lora.attach(base, adapter), TOKENS).logits
        ).sum()

    grads = jax.grad(loss)(fresh)["blocks"]["attention"]["query"]["kernel"]
    assert grads.up[0].any() and not grads.up[1].any() and not grads.up[2, 1:].any()


def test_another_rule_does_not_change_what_others_draw():
    few = lora.init(CONFIG, lora.parse("attention/query: rank=2"), jax.random.key(0))
    rules = lora.parse("mlp/up: rank=3; attention/(query|key): rank=2; embedding: rank=4")
    more = lora.init(CONFIG, rules, jax.random.key(0))
    a, b = (x["blocks"]["attention"]["query"]["kernel"].down for x in (few, more))
    np.testing.assert_array_equal(a, b)
    assert len({float(a[i, 0, 0]) for i in range(3)}) == 3


def test_the_default_draw_is_kaiming_uniform():
    down = lora.init(CONFIG, lora.parse("query: rank=64"), jax.random.key(0))
    values = np.asarray(down["blocks"]["attention"]["query"]["kernel"].down)
    assert np.abs(values).max() < 1 / 4 and np.isclose(values.std(), 1 / 4 / 3**0.5, rtol=0.05)


def test_several_adapters_in_one_batch(base):
    adapters = [
        made("attention/query: rank=2; embedding: rank=2", 1),
        made("attention/(query|out): rank=4, alpha=1; output: rank=2", 2),
        made("mlp/down: rank=1", 3),
    ]
    choice = jnp.array([2, 0, 1, 0])
    mixed = logits(lora.mix(base, adapters, choice))
    for row, which in enumerate(choice):
        alone = logits(lora.attach(base, adapters[which]))[row]
        np.testing.assert_allclose(mixed[row], alone, atol=2e-5)


def test_dropout_acts_on_the_update_alone_and_is_off_without_a_key(base):
    adapter = made("attention/query|mlp: rank=2, dropout=0.5")
    key = jax.random.key(0)
    dropped = [logits(lora.attach(base, adapter, jax.random.fold_in(key, i))) for i in (0, 0, 1)]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert not np.allclose(dropped[0], dropped[2])
    whole = logits(lora.attach(base, adapter))
    np.testing.assert_allclose(whole, logits(lora.merge(base, adapter)), atol=2e-5)
    zero = jax.tree.map(jnp.zeros_like, adapter)
    np.testing.assert_array_equal(logits(lora.attach(base, zero, key)), logits(base))


def test_dropout_is_unbiased_and_keeps_its_share():
    rng = np.random.default_rng(0)
    x, w, down, up = (rng.standard_normal(s) for s in ((5, 8), (8, 3), (8, 2), (2, 3)))

    def y(key, dropout=0.25):
        pair = Adapted(w, down, up, 2.0, None, jax.random.key_data(key), dropout=dropout)
        return pair.product(jnp.asarray(x), ("embed", "hidden"), 1, jnp.float32)

    found = jax.vmap(y)(jax.random.split(jax.random.key(0), 4000))
    exact = x @ w + 2 * x @ down @ up
    np.testing.assert_allclose(found.mean(0), exact, atol=0.4)
    spread = 4 * (np.square(x) * 0.25 / 0.75) @ np.square(down @ up)
    np.testing.assert_allclose(found.var(0), spread, rtol=0.15)


def test_a_parameter_may_be_trained_in_full(base):
    rules = lora.parse("final_norm: full; query: rank=2")
    adapter = lora.init(CONFIG, rules, jax.random.key(0), base)
    np.testing.assert_array_equal(adapter["final_norm"]["scale"], base["final_norm"]["scale"])
    adapter["final_norm"]["scale"] = adapter["final_norm"]["scale"] * 2
    changed = logits(lora.attach(base, adapter))
    assert not np.allclose(changed, logits(base))
    np.testing.assert_allclose(changed, logits(lora.merge(base, adapter)), atol=1e-5)


def test_a_tied_embedding_is_not_merged_unless_untied():
    tied = dataclasses.replace(CONFIG, tied=True)
    base = transformer.init(tied, jax.random.key(1))
    adapter = made("embedding: rank=3", config=tied)
    with pytest.raises(InputError, match="tied to the output map"):
        lora.merge(base, adapter)
    beside = logits(lora.attach(base, adapter), tied)
    untied = dataclasses.replace(tied, tied=False)
    np.testing.assert_allclose(
        logits(lora.merge(base, adapter, untie=True), untied), beside, atol=1e-5
    )


def test_a_tied_embedding_and_its_output_map_can_be_adapted_together():
    tied = dataclasses.replace(CONFIG, tied=True)
    base = transformer.init(tied, jax.random.key(1))
    adapter = made("embedding: rank=3, tied=True; mlp/up: rank=2", config=tied)
    beside = logits(lora.attach(base, adapter), tied)
    np.testing.assert_allclose(beside, logits(summed(base, adapter), tied), atol=1e-5)
    np.testing.assert_allclose(beside, logits(lora.merge(base, adapter), tied), atol=1e-5)
    read_alone = made("embedding: rank=3; mlp/up: rank=2", config=tied)
    assert not np.allclose(beside, logits(lora.attach(base, read_alone), tied), atol=1e-2)
    again = lora.detach(lora.attach(base, adapter))[1]
    assert again["embedding"].tied
    with pytest.raises(InputError, match="DoRA, tied or trained in full"):
        lora.mix(base, [adapter, adapter], jnp.zeros(4, jnp.int32))


def test_decoding_with_a_cache_gives_the_same_logits(base):
    params = lora.attach(base, made())
    cache = transformer.empty_cache(CONFIG, 4, 12)
    step = jax.jit(functools.partial(transformer.apply, CONFIG))
    steps = []
    for t in range(12):
        out = step(params, TOKENS[:, t : t + 1], cache=cache, start=t)
        cache = out.cache
        steps.append(np.asarray(out.logits[:, 0]))
    np.testing.assert_allclose(np.stack(steps, 1), logits(params), atol=3e-5)


def test_an_adapter_of_another_model_is_refused(base):
    other = dataclasses.replace(CONFIG, width=32)
    with pytest.raises(InputError, match="do not make an update of"):
        lora.attach(base, made("attention/query: rank=2", config=other))
    with pytest.raises(InputError, match="there is no blocks/mlp/gate"):
        lora.merge(base, {"blocks": {"mlp": {"gate": {"kernel": LowRank(1, 1)}}}})
    deeper = dataclasses.replace(CONFIG, layers=4)
    with pytest.raises(InputError, match="do not make an update of"):
        lora.mix(base, [made("mlp/up: rank=2", config=deeper)], jnp.zeros(4, int))


def test_the_rank_is_never_cut_and_the_rest_as_the_base():
    adapter = jax.eval_shape(lambda: lora.init(CONFIG, lora.parse(RULES), jax.random.key(0)))
    names = lora.axes(CONFIG, adapter)
    out = names["blocks"]["attention"]["out"]["kernel"]
    assert out.down == ("layers", "heads", "head_dim", "rank")
    assert out.up == ("layers", "rank", "embed")
    assert names["embedding"].down == ("vocab", "rank")
    assert names["output"]["kernel"].up == ("rank", "vocab")
