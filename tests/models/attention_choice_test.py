"""Which back end is chosen, what is refused, and what is said about it."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import pytest

from physlm_jax.errors import InputError
from physlm_jax.models import attention, transformer
from physlm_jax.models.attention import choice
from physlm_jax.models.transformer import TransformerConfig

SMALL = attention.Variant(
    dtype="bfloat16",
    head_size=64,
    heads=12,
    key_heads=12,
    queries=512,
    keys=512,
    asks=attention.asked(causal=True, segmented=False),
)
ROW = jnp.zeros((1, 256), jnp.int32)
SEGMENTS = attention.asked(causal=True, segmented=True)


@pytest.mark.parametrize(
    "platform, changes, chosen",
    [
        ("cpu", {}, "manual"),
        ("cpu", {"dtype": "float32", "asks": SEGMENTS}, "manual"),
        ("gpu", {}, "cudnn"),
        ("cuda", {}, "cudnn"),
        ("gpu", {"asks": SEGMENTS}, "cudnn"),
        ("gpu", {"asks": SEGMENTS, "queries": 511, "keys": 511}, "plain"),
        ("gpu", {"asks": SEGMENTS | {"population"}}, "plain"),
        ("gpu", {"asks": SMALL.asks | {"population"}}, "cudnn"),
        ("gpu", {"dtype": "float32"}, "plain"),
        ("gpu", {"head_size": 20}, "plain"),
        ("gpu", {"head_size": 160}, "plain"),
        ("tpu", {}, "splash"),
        ("tpu", {"dtype": "float32", "asks": SEGMENTS | {"population"}}, "splash"),
        ("tpu", {"asks": attention.asked(causal=False, segmented=True)}, "splash"),
        ("tpu", {"queries": 192, "keys": 192}, "plain"),
        ("tpu", {"queries": 128}, "plain"),
        ("tpu", {"asks": attention.asked(causal=True, segmented=False, shifted=True)}, "plain"),
        ("tpu", {"asks": SMALL.asks | {"window"}}, "plain"),
        ("gpu", {"asks": SMALL.asks | {"window"}}, "plain"),
        ("cpu", {"asks": SMALL.asks | {"window"}}, "manual"),
        ("tpu", {"asks": SMALL.asks | {"ribbons"}}, "plain"),  # a kind that none has learned
        ("metal", {}, "plain"),
    ],
)
def test_auto_takes_the_platform_s_own_where_it_can(platform, changes, chosen):
    assert attention.resolve("auto", platform, dataclasses.replace(SMALL, **changes)) == chosen


@pytest.mark.parametrize(
    "backend, platform, changes, message",
    [
        ("splash", "cpu", {}, "runs on tpu, not on cpu; choose 'auto' or 'plain'"),
        ("cudnn", "tpu", {}, "runs on gpu, not on tpu"),
        ("splash", "tpu", {"queries": 100, "keys": 100}, "a multiple of 128 tokens, not 100"),
        ("splash", "tpu", {"dtype": "float16"}, "not float16"),
        ("cudnn", "gpu", {"dtype": "float32"}, "bfloat16 or float16, not float32"),
        ("cudnn", "gpu", {"head_size": 12}, "a multiple of 8, not 12"),
        ("cudnn", "gpu", {"queries": 8}, "not 8 queries on 512 keys"),
        ("cudnn", "gpu", {"asks": SEGMENTS | {"population"}}, "segments apart in a population"),
        ("manual", "cpu", {"asks": SMALL.asks | {"ribbons"}}, "does not honour ribbons"),
        ("flash", "cpu", {}, "did you mean 'splash'"),
    ],
)
def test_an_explicit_choice_is_honoured_or_refused_in_one_line(backend, platform, changes, message):
    with pytest.raises(InputError, match=message) as error:
        attention.resolve(backend, platform, dataclasses.replace(SMALL, **changes))
    assert "\n" not in str(error.value)


def test_the_choice_and_its_reason_are_logged_once(caplog):
    choice.resolve.cache_clear()
    choice._said.cache_clear()
    odd = dataclasses.replace(SMALL, queries=100, keys=100)
    with caplog.at_level(logging.INFO, logger="physlm_jax"):
        for _ in range(3):
            attention.resolve("auto", "tpu", SMALL)
            attention.resolve("auto", "tpu", odd)
            attention.resolve("auto", "tpu", dataclasses.replace(odd, heads=4, key_heads=4))
            attention.resolve("plain", "tpu", SMALL)  # the user's own word needs no telling
    assert caplog.messages == [
        "attention back end: splash (tpu)",
        "attention back end: plain (splash takes rows of a multiple of 128 tokens, not 100)",
    ]


def test_a_model_is_settled_for_the_devices_it_is_compiled_for():
    c = TransformerConfig(50, 256, layers=1, width=128, heads=2, dtype="bfloat16")
    assert transformer.for_platform(c, "tpu").attention == "splash"
    assert transformer.for_platform(c, "gpu", segmented=True).attention == "cudnn"
    assert transformer.for_platform(c, "gpu", segmented=True, population=True).attention == "plain"
    settled = transformer.for_platform(dataclasses.replace(c, causal=False), "cpu")
    assert (settled.attention, settled.platform) == ("manual", "cpu")
    short = dataclasses.replace(c, max_length=100, attention="splash")
    with pytest.raises(InputError, match="128"):
        transformer.for_platform(short, "tpu")
    model, here = transformer.abstract(c), dataclasses.replace(c, attention="splash")
    with pytest.raises(InputError, match="not on cpu"):  # nobody says: this machine's default
        jax.eval_shape(lambda params: transformer.apply(here, params, ROW), model)
