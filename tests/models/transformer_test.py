"""The transformer against a slow NumPy twin that knows nothing of scans, caches or back ends."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.errors import InputError
from physlm_jax.models import attention, transformer
from physlm_jax.models.transformer import TransformerConfig

SMALL = TransformerConfig(vocab_size=11, max_length=12, layers=2, width=16, heads=4)
VARIANTS = {
    "rotary": {},
    "rotary quarter": {"rotary_fraction": 0.5, "parallel": True},
    "learned": {"position": "learned"},
    "none": {"position": "none", "bias": False},
    "grouped, rms, gated, untied": {
        "kv_heads": 2,
        "norm": "rmsnorm",
        "mlp": "gated",
        "tied": False,
        "bias": False,
    },
    "attention only": {"mlp": "none", "head_dim": 6},
    "encoder": {"causal": False},
    "window": {"window": 3, "kv_heads": 1},
    "exact gelu, bare attention": {"mlp": "gelu_exact", "attention_bias": False},
    "plain silu": {"mlp": "silu", "tied": False},
    "biases in attention alone": {"bias": False, "attention_bias": True, "norm": "rmsnorm"},
}


def numpy_params(config, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: (0.3 * rng.standard_normal(x.shape)).astype(np.float32),
        transformer.abstract(config),
    )


def norm(c, p, x):
    if c.norm == "layernorm":
        x = x - x.mean()
    y = x / np.sqrt((x**2).mean() + c.norm_epsilon) * p["scale"]
    return y + p["bias"] if p.get("bias") is not None else y


def linear(p, x, contract=1):
    """x is one token's vector (or heads x size); the kernel is applied entry by entry of numpy."""
    y = np.tensordot(x, p["kernel"].astype(np.float64), axes=contract)
    return y + p["bias"] if p.get("bias") is not None else y


def rotate(c, vector, place):
    out, half = vector.copy(), c.rotated // 2
    for i in range(half):
        angle = place * c.rotary_base ** (-2 * i / c.rotated)
        a, b = vector[i], vector[i + half]
        out[i] = a * np.cos(angle) - b * np.sin(angle)
        out[i + half] = b * np.cos(angle) + a * np.sin(angle)
    return out


def twin(c, params, tokens, segments=None, positions=None):
    """float64 logits [T, V], residual streams [L + 1, T, D], attention [L, H, T, T] of one row."""
    T = len(tokens)
    segments = np.zeros(T) if segments is None else segments
    positions = np.arange(T) if positions is None else positions
    x = [params["embedding"][t].astype(np.float64) for t in tokens]
    if c.position == "learned":
        x = [v + params["positions"][i] for v, i in zip(x, positions, strict=True)]
    streams, maps = [np.array(x)], np.zeros((c.layers, c.heads, T, T))
    for layer in range(c.layers):
        p = jax.tree.map(lambda leaf, layer=layer: leaf[layer], params["blocks"])
        normed = [norm(c, p["attention_norm"], v) for v in x]
        q, k, v = (
            [linear(p["attention"][name], n) for n in normed] for name in ("query", "key", "value")
        )
        if c.position == "rotary":
            q = [np.array([rotate(c, h, i) for h in n]) for n, i in zip(q, positions, strict=True)]
            k = [np.array([rotate(c, h, i) for h in n]) for n, i in zip(k, positions, strict=True)]
        new = []
        for i in range(T):
            heads = []
            for h in range(c.heads):
                g = h * c.key_heads // c.heads
                seen = [
                    j
                    for j in range(T)
                    if segments[j] == segments[i]
                    and (j <= i or not c.causal)
                    and (not c.window or i - j < c.window)
                ]
                scores = np.array([q[i][h] @ k[j][g] for j in seen]) / np.sqrt(c.head_size)
                w = np.exp(scores - scores.max())
                w /= w.sum()
                maps[layer, h, i, seen] = w
                heads.append(sum(wj * v[j][g] for wj, j in zip(w, seen, strict=True)))
            after = x[i] + linear(p["attention"]["out"], np.array(heads), contract=2)
            if c.mlp != "none":
                n = norm(c, p["mlp_norm"], x[i] if c.parallel else after)
                up = linear(p["mlp"]["up"], n)
                if c.mlp == "gated":
                    gate = linear(p["mlp"]["gate"], n)
                    inner = gate / (1 + np.exp(-gate)) * up
                elif c.mlp == "silu":
                    inner = up / (1 + np.exp(-up))
                elif c.mlp == "gelu_exact":
                    inner = 0.5 * up * (1 + np.vectorize(math.erf)(up / np.sqrt(2)))
                else:
                    inner = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
                after = after + linear(p["mlp"]["down"], inner)
            new.append(after)
        x = new
        streams.append(np.array(x))
    final = [norm(c, params["final_norm"], v) for v in x]
    if c.tied:
        logits = [params["embedding"].astype(np.float64) @ v for v in final]
    else:
        logits = [linear(params["output"], v) for v in final]
    return np.array(logits), np.array(streams), maps


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("backend", ["plain", "manual"])
def test_every_variant_equals_the_twin(variant, backend):
    c = dataclasses.replace(SMALL, **VARIANTS[variant], attention=backend)
    params = numpy_params(c)
    tokens = np.random.default_rng(1).integers(0, 11, (2, 12))
    out = jax.jit(lambda p, t: transformer.apply(c, p, t, hidden=True, weights=True))(
        params, tokens
    )
    fast = jax.jit(lambda p, t: transformer.apply(c, p, t).logits)(params, tokens)
    for row in range(2):
        logits, streams, maps = twin(c, params, tokens[row])
        np.testing.assert_allclose(out.logits[row], logits, atol=2e-4)
        np.testing.assert_allclose(fast[row], logits, atol=2e-4)
        np.testing.assert_allclose(out.hidden[:, row], streams, atol=2e-4)
        np.testing.assert_allclose(out.attention[:, row], maps, atol=1e-5)


def test_a_cache_serves_branches_that_share_a_beginning():
    """Tokens 0, 1, then two ends of two tokens side by side: each as in a row of its own."""
    c, params = SMALL, jax.tree.map(jnp.asarray, numpy_params(SMALL))
    begun, ends = jnp.array([[1, 2]]), jnp.array([[3, 4], [5, 6]])  # [branch, token]
    cache = transformer.apply(c, params, begun, cache=transformer.empty_cache(c, 1, 6)).cache
    seen = np.zeros((2, 2, 6), bool)  # token, branch, place of the cache
    seen[:, :, :2] = seen[:, [0, 1], [2, 3]] = True
    seen[1, [0, 1], [4, 5]] = True
    for i in range(2):
        out = transformer.apply(
            c,
            params,
            ends[:, i][None],
            positions=jnp.full(2, 2 + i),
            cache=cache,
            start=2 + 2 * i,
            visible=jnp.array(seen[i])[None],
        )
        cache = out.cache
    for branch, tokens in enumerate(([1, 2, 3, 4], [1, 2, 5, 6])):
        logits, _, _ = twin(c, numpy_params(c), np.array(tokens))
        np.testing.assert_allclose(out.logits[0, branch], logits[-1], atol=2e-4)


@pytest.mark.parametrize("backend", ["plain", "manual"])
def test_a_row_serves_branches_that_share_a_beginning(backend):
    """Tokens 0, 1, 2, then two branches of two tokens, the second from after token 1."""
    c = dataclasses.replace(SMALL, attention=backend)
    params = jax.tree.map(jnp.asarray, numpy_params(c))
    tokens, places = [1, 2, 7, 3, 4, 5, 6], [0, 1, 2, 3, 4, 2, 3]
    seen = np.tril(np.ones((7, 7), bool))
    seen[5:, 2:5] = False
    out = transformer.apply(
        c,
        params,
        jnp.array([tokens]),
        positions=jnp.array([places]),
        visible=jnp.array(seen)[None],
    )
    for alone, here in (([1, 2, 7, 3, 4], [3, 4]), ([1, 2, 5, 6], [5, 6])):
        logits, _, _ = twin(c, numpy_params(c), np.array(alone))
        np.testing.assert_allclose(out.logits[0, here], logits[-2:], atol=2e-4)
    with pytest.raises(InputError, match="exclude each other"):
        transformer.apply(
            c,
            params,
            jnp.array([tokens]),
            segment_ids=jnp.ones((1, 7), int),
            visible=jnp.array(seen)[None],
        )


def test_a_cache_honours_the_window():
    c = dataclasses.replace(SMALL, window=3)
    params = jax.tree.map(jnp.asarray, numpy_params(c))
    tokens = np.random.default_rng(1).integers(0, 11, (2, 12))
    step = jax.jit(lambda t, cache, i: transformer.apply(c, params, t, cache=cache, start=i))
    cache = transformer.empty_cache(c, 2, 12)
    for i in range(12):
        out = step(tokens[:, i : i + 1], cache, i)
        cache = out.cache
    logits, _, _ = twin(c, numpy_params(c), tokens[1])
    np.testing.assert_allclose(out.logits[1, 0], logits[-1], atol=2e-4)


@pytest.mark.parametrize("backend", ["plain", "manual"])
def test_segments_are_isolated(backend):
    """Packed rows equal the twin, and changing document 1 leaves document 2 bit-equal."""
    c = dataclasses.replace(SMALL, attention=backend)
    params = numpy_params(c)
    device = jax.tree.map(jnp.asarray, params)
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, 11, (1, 12))
    segments = np.array([[1] * 5 + [2] * 4 + [0] * 3])
    positions = np.array([[0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1, 2]])
    run = jax.jit(
        lambda t: transformer.apply(c, device, t, segment_ids=segments, positions=positions).logits
    )
    logits, _, _ = twin(c, params, tokens[0], segments[0], positions[0])
    np.testing.assert_allclose(run(tokens)[0, :9], logits[:9], atol=2e-4)
    alone = transformer.apply(c, device, tokens[:, 5:9]).logits
    np.testing.assert_allclose(run(tokens)[:, 5:9], alone, atol=2e-4)
    changed = tokens.copy()
    changed[0, :5] = rng.integers(0, 11, 5)
    assert np.array_equal(run(tokens)[0, 5:], run(changed)[0, 5:])


def test_the_manual_backward_pass_is_plain_s_gradient():
    rng = np.random.default_rng(3)
    q = jnp.asarray(rng.standard_normal((2, 7, 4, 5)), jnp.float32)
    k, v = (jnp.asarray(rng.standard_normal((2, 7, 2, 5)), jnp.float32) for _ in range(2))
    d = jnp.asarray(rng.standard_normal(q.shape), jnp.float32)
    segments = jnp.asarray([[1, 1, 1, 2, 2, 2, 0], [1] * 7])
    for visibility in (
        attention.Visibility(),
        attention.Visibility(causal=False),
        attention.Visibility(segment_ids=segments),
    ):
        plain = jax.grad(
            lambda q, k, v, s=visibility: jnp.vdot(d, attention.plain(q, k, v, s)[0]), (0, 1, 2)
        )(q, k, v)
        manual = jax.grad(
            lambda q, k, v, s=visibility: jnp.vdot(d, attention.manual(q, k, v, s)), (0, 1, 2)
        )(q, k, v)
        for a, b in zip(plain, manual, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_blocks_of_queries_change_nothing():
    """150 tokens: three blocks, the last one shorter; with and without segments."""
    rng = np.random.default_rng(5)
    q, k, v, d = (jnp.asarray(rng.standard_normal((2, 150, 2, 4)), jnp.float32) for _ in range(4))
    segments = jnp.asarray(np.sort(rng.integers(1, 4, (2, 150))))
    for visibility in (attention.Visibility(), attention.Visibility(segment_ids=segments)):
        for backend in ("manual", "plain"):
            out, back = jax.vjp(
                lambda *a, b=backend, s=visibility: attention.attend(*a, s, backend=b)[0], q, k, v
            )
            gradients = back(d)
            if backend == "manual":
                first = (out, *gradients)
        for a, b in zip(first, (out, *gradients), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)


def test_how_far_the_scan_unrolls_and_what_is_rematerialised_change_nothing():
    tokens = np.random.default_rng(4).integers(0, 11, (2, 12))
    params = numpy_params(SMALL)

    def gradient(c):
        loss = lambda p: jnp.square(transformer.apply(c, p, tokens).logits).mean()  # noqa: E731
        return jax.tree.leaves(jax.jit(jax.grad(loss))(params))

    expected = gradient(SMALL)
    for change in ({"unroll": 1}, {"remat": "full", "unroll": 1}, {"remat": "dots"}):
        found = gradient(dataclasses.replace(SMALL, **change))
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_bfloat16_keeps_parameters_and_softmax_in_float32():
    c = dataclasses.replace(SMALL, dtype="bfloat16")
    params = transformer.init(c, jax.random.key(0))
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    tokens = np.arange(12)[None] % 11
    out = transformer.apply(c, params, tokens, weights=True, hidden=True)
    assert (out.logits.dtype, out.attention.dtype) == (jnp.float32, jnp.float32)
    assert out.hidden.dtype == jnp.bfloat16
    full = transformer.apply(SMALL, params, tokens).logits
    np.testing.assert_allclose(out.logits, full, atol=0.02)


def test_the_count_of_gpt2_small():
    """124,439,808: 12 x 768 with 50257 tokens and 1024 learned positions, tied."""
    c = TransformerConfig(50257, 1024, layers=12, width=768, heads=12, position="learned")
    assert transformer.parameter_count(c) == 124_439_808


def test_initial_residual_maps_are_scaled_by_depth():
    c = TransformerConfig(50, 8, layers=8, width=128, heads=4)
    blocks = transformer.init(c, jax.random.key(1))["blocks"]
    assert float(blocks["attention"]["query"]["kernel"].std()) == pytest.approx(0.02, rel=0.02)
    for part in (blocks["attention"]["out"], blocks["mlp"]["down"]):
        assert float(part["kernel"].std()) == pytest.approx(0.02 / 4, rel=0.02)


def test_embeddings_may_begin_at_a_scale_of_their_own():
    c = TransformerConfig(500, 64, layers=1, width=64, heads=4, position="learned")
    wide = dataclasses.replace(c, embedding_std=0.5)
    for config, std in ((c, 0.02), (wide, 0.5)):
        params = transformer.init(config, jax.random.key(1))
        for table in ("embedding", "positions"):
            assert float(params[table].std()) == pytest.approx(std, rel=0.05)
        assert float(params["blocks"]["mlp"]["up"]["kernel"].std()) == pytest.approx(0.02, rel=0.05)


def test_mistakes_are_named():
    for change, message in (
        ({"norm": "layernrom"}, "did you mean 'layernorm'"),
        ({"kv_heads": 3}, "not a multiple of model.kv_heads"),
        ({"layers": 0}, "at least 1"),
        ({"attention": "flash"}, "attention"),
        ({"embedding_std": -0.1}, "model.embedding_std must not be negative"),
        ({"head_dim": -1}, "model.head_dim must be at least 0, got -1"),
        ({"unroll": -1}, "model.unroll must be at least 0"),
        ({"norm_epsilon": float("nan")}, "model.norm_epsilon must be at least 0, got nan"),
        ({"rotary_fraction": 2.0}, r"model.rotary_fraction must be in 0\.\.1 .* got 2.0"),
        ({"rotary_base": -1.0}, r"model.rotary_base above 0, got 1.0 and -1.0"),
        ({"mlp_ratio": 0.0}, "model.mlp_ratio must give a hidden unit, got 0.0"),
    ):
        with pytest.raises(InputError, match=message):
            dataclasses.replace(SMALL, **change)
