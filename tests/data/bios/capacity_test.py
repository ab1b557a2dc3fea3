"""Capacity in bits: the identities of the definition, the paper's figures, the real parameters."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data.bios import capacity
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig

N0 = 400 * 400 * 1000
S0 = 2 * (12 * 28 * 200) * 200 * 300 * 100 * 263
SET = {"n": 1000, "k": 5, "c": 3, "d": 50, "l": 4, "t": 30, "names": N0}
HUGE = {"n": 20_000, "k": 50, "c": 50, "d": 10_000, "l": 50, "t": 40_000, "names": N0}


def bios(n, name_loss, value_loss, params=1_000_000):
    return capacity.bios_bits(n, N0, S0, name_loss, value_loss, params)


def test_the_possibilities():
    assert S0 == 212_083_200_000_000
    assert math.log2(N0) == pytest.approx(27.2535, abs=5e-5)
    assert math.log2(S0) == pytest.approx(47.5916, abs=5e-5)


@pytest.mark.parametrize(
    ("n", "each"),
    [(1000, 64.88), (10_000, 61.56), (100_000, 58.24), (1_000_000, 54.91), (20_000_000, 50.59)],
)
def test_bits_of_a_person(n, each):
    assert bios(n, math.log(n), 0).total / n == pytest.approx(each, abs=0.005)


@pytest.mark.parametrize(
    ("n", "total"),
    [(10_000, 615_574), (100_000, 5.824e6), (1_000_000, 5.491e7), (20_000_000, 1.012e9)],
)
def test_bits_of_all(n, total):
    assert bios(n, 0, 0).max_total == pytest.approx(total, rel=5e-4)


@pytest.mark.parametrize(
    ("n", "params", "ratio"),
    [(20_000_000, 496_130_560, 2.039), (2_000_000, 52_115_968, 2.069), (10_000, 2_418_432, 0.2545)],
)
def test_ratios_at_perfection(n, params, ratio):
    assert bios(n, 0, 0, params).max_ratio == pytest.approx(ratio, abs=5e-4)


@pytest.mark.parametrize("n", [1, 1000, N0])
def test_a_perfect_model_reaches_the_maximum_and_a_uniform_guess_nothing(n):
    best, none = bios(n, math.log(n), 0), bios(n, math.log(N0), math.log(S0))
    assert best.total == pytest.approx(best.max_total) and best.diversity == 0
    assert best.ratio == pytest.approx(best.max_ratio)
    assert best.total == pytest.approx(best.name + best.value)
    assert none.total == pytest.approx(0, abs=1e-9 * n)


@pytest.mark.parametrize("sizes", [SET, HUGE])
def test_the_same_of_chunks(sizes):
    chunk, strings = math.log(sizes["d"]), sizes["l"] * math.log(sizes["t"])
    best = capacity.biod_bits(**sizes, name_loss=math.log(sizes["n"]), value_loss=0, chunk_loss=0,
                              params=10)  # fmt: skip
    assert best.total == pytest.approx(best.max_total) and best.ratio == best.total / 10
    guess = {"name_loss": math.log(N0), "value_loss": sizes["c"] * chunk}
    none = capacity.biod_bits(**sizes, **guess, chunk_loss=strings - chunk, params=10)
    assert none.total == pytest.approx(0, abs=1e-9 * best.max_total)


def test_chunks_by_hand():
    # 1000 people, 5 attributes of 3 chunks: each term written out
    found = capacity.biod_bits(**SET, name_loss=8.0, value_loss=1.5, chunk_loss=0.25, params=7)
    assert found.name == pytest.approx(1000 * math.log2(N0 / math.exp(8.0)))
    assert found.value == pytest.approx(5000 * math.log2(50**3 / math.exp(1.5)))
    assert found.diversity == pytest.approx(250 * math.log2(30**4 / (50 * math.exp(0.25))))
    assert found.total == pytest.approx(7 * found.ratio)
    assert found.max_total == pytest.approx(
        1000 * math.log2(N0 / 1000) + 15000 * math.log2(50) + 250 * math.log2(30**4 / 50)
    )


@given(
    n=st.integers(1, N0),
    above=st.floats(0, 1e4),
    values=st.floats(0, 1e6),
    params=st.integers(1, 10**12),
)
@settings(max_examples=50, deadline=None)
def test_no_model_beats_the_maximum(n, above, values, params):
    found = bios(n, math.log(n) + above, values, params)
    assert found.total <= found.max_total * (1 + 1e-12) + 1e-6
    assert found.ratio <= found.max_ratio * (1 + 1e-12) + 1e-6
    assert found.total == pytest.approx(found.name + found.value)


def test_a_bad_model_has_negative_bits():
    assert bios(10, math.log(N0), 1e5).total < -1e6


@pytest.mark.parametrize(
    ("base", "power", "count"),
    [(7, 1, 3), (2, 13, 5), (2, 13, 8000), (10, 4, 5000), (3, 9, 1), (5, 6, 15_625), (9, 9, 0),
     (2, 61, 3), (2, 40, 700), (10, 30, 40), (40_000, 2, 25)],
)  # fmt: skip
def test_choices_are_those_of_exact_integers(base, power, count):
    exact = math.log2(math.comb(base**power, count))
    assert capacity.log2_choices(base, power, count) == pytest.approx(exact, rel=1e-11, abs=1e-9)


@given(base=st.integers(2, 60), power=st.integers(1, 30), count=st.integers(0, 300))
@settings(max_examples=50, deadline=None)
def test_choices_of_any_size(base, power, count):
    count = min(count, base**power)
    exact = math.log2(math.comb(base**power, count))
    assert capacity.log2_choices(base, power, count) == pytest.approx(exact, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("sizes", [SET, HUGE])
def test_the_upper_bound_is_above_the_maximum_by_what_the_approximation_drops(sizes):
    bound = capacity.biod_upper_bound(**sizes)
    bits = capacity.biod_bits(**sizes, name_loss=0, value_loss=0, chunk_loss=0, params=1)
    dropped = (sizes["n"] + sizes["k"] * sizes["d"]) / math.log(2)
    assert 0 < bound - bits.max_total <= dropped
    assert bound - bits.max_total > 0.97 * dropped


def config(layers, heads, rows=3275, **changes):
    return TransformerConfig(
        vocab_size=rows, max_length=512, layers=layers, width=64 * heads, heads=heads, **changes
    )


MISTRAL = {"norm": "rmsnorm", "mlp": "gated", "bias": False, "tied": False, "mlp_ratio": 3.5}
LLAMA = {**MISTRAL, "mlp_ratio": 8 / 3}


@pytest.mark.parametrize(("layers", "heads"), [(2, 2), (2, 4), (12, 12), (16, 4)])
@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_the_real_models(layers, heads, tied):
    def real(**changes):
        return transformer.parameter_count(config(layers, heads, **changes))

    gpt2, sizes = capacity.gpt2_params, (layers, heads, 64, 3275)
    assert gpt2(*sizes, tied=tied) == real(tied=tied)
    assert gpt2(*sizes, mlp_ratio=1, tied=tied) == real(mlp_ratio=1, tied=tied)
    assert gpt2(*sizes, mlp_ratio=0, tied=tied) == real(mlp="none", tied=tied)
    assert capacity.llama_params(*sizes, tied=tied) == real(**{**LLAMA, "tied": tied})
    groups = {2: 2, 4: 4, 12: 4}[heads]
    mistral = real(**{**MISTRAL, "tied": tied}, kv_heads=groups)
    assert capacity.mistral_params(*sizes, tied=tied) == mistral
    one = real(**{**MISTRAL, "tied": tied}, kv_heads=1)
    assert capacity.mistral_params(*sizes, kv_heads=1, tied=tied) == one


def test_parameters_of_the_papers_models():
    found = [capacity.gpt2_params(*size, 64, 3275) for size in ((2, 2), (2, 4), (12, 12), (16, 8))]
    assert found == [816_000, 2_418_432, 87_571_200, 52_115_968]
    assert capacity.gpt2_params(25, 20, 64, 3275) == 496_130_560
    rounded = [capacity.gpt2_params(*size, 64, 3275) / 1e6 for size in ((2, 20), (16, 4), (20, 16))]
    assert rounded == pytest.approx([43.5, 13.5, 255], rel=5e-3)


def test_all_experts_count():
    dense = config(3, 2, mlp_ratio=1)
    one = transformer.parameter_count(dense) + 3 * dense.width  # and a router of one output
    assert capacity.experts_params(3, 2, 64, 3275, experts=1) == one
    more = capacity.experts_params(3, 2, 64, 3275, experts=32)
    blocks = transformer.abstract(dataclasses.replace(dense, layers=1))["blocks"]
    mlp = sum(math.prod(x.shape) for part in blocks["mlp"].values() for x in part.values())
    assert more - one == 3 * 31 * (mlp + dense.width)
    weights = more - 3275 * 128 - 3 * 128 * 32
    assert weights / (3 * 128**2) == pytest.approx(68, rel=0.01)  # 68 d^2 a layer, and biases


def test_steps():
    # 80,000 steps of 96 x 512 are about 540 presentations of 100,000 people, 73 tokens each
    assert capacity.exposure_steps(100_000, 540, 73, 96) == 80_201  # 80,200.2
    assert capacity.exposure_steps(1000, 300, 35, 4, 140) == 18_750  # exact: nothing to round
    assert capacity.exposure_steps(np.int64(10**9), 1000, 73.5, 1, 1) == 73_500 * 10**9


BIOS = {"n": 9, "names": 10, "values": 5, "name_loss": 1.0, "value_loss": 1.0, "params": 3}
BIOD = {**SET, "name_loss": 7.0, "value_loss": 1.0, "chunk_loss": 1.0, "params": 3}


@pytest.mark.parametrize(
    ("function", "arguments", "changes", "says"),
    [
        (capacity.bios_bits, BIOS, {"n": 0}, r"n must be a whole number of at least 1, got 0"),
        (capacity.bios_bits, BIOS, {"n": 2.5}, r"n must be a whole number"),
        (capacity.bios_bits, BIOS, {"n": 11}, r"n = 11 people need as many names, there are 10"),
        (capacity.bios_bits, BIOS, {"values": 0}, r"values must be"),
        (capacity.bios_bits, BIOS, {"params": 0}, r"params must be"),
        (capacity.bios_bits, BIOS, {"name_loss": math.nan}, r"name_loss must be 0 nats or more"),
        (capacity.bios_bits, BIOS, {"value_loss": math.inf}, r"value_loss must be"),
        (capacity.bios_bits, BIOS, {"value_loss": -0.1}, r"value_loss must be"),
        *[(capacity.biod_bits, BIOD, {x: 0}, rf"{x} must be") for x in ("k", "c", "d", "l", "t")],
        (capacity.biod_bits, BIOD, {"d": 31, "l": 1}, r"d = 31 chunks, but only 30\^1 strings"),
        (capacity.biod_bits, BIOD, {"d": 2, "t": 1, "l": 10**9}, r"only 1\^1000000000 strings"),
        (capacity.biod_bits, BIOD, {"chunk_loss": -1.0}, r"chunk_loss must be"),
        (capacity.biod_upper_bound, SET, {"n": N0 + 1}, r"people need as many names"),
    ],
)
def test_bad_input_is_one_line(function, arguments, changes, says):
    with pytest.raises(InputError, match=says) as error:
        function(**{**arguments, **changes})
    assert "\n" not in str(error.value)


def test_as_many_chunks_as_strings_are_allowed():
    full = {**BIOD, "d": 30**2, "l": 2}
    assert capacity.biod_bits(**full).diversity < 0  # nothing to know, and a loss all the same
    assert capacity.log2_choices(2, 61, 2**61) == 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: capacity.gpt2_params(0, 1, 64, 10), r"layers must be"),
        (lambda: capacity.gpt2_params(1, 1, 64, 10, mlp_ratio=-1), r"mlp_ratio must be 0 or more"),
        (lambda: capacity.mistral_params(1, 6, 64, 10, kv_heads=4), r"6 heads are not a multiple"),
        (lambda: capacity.experts_params(1, 1, 64, 10, experts=0), r"experts must be"),
        (lambda: capacity.experts_params(1, 1, 64, 10, mlp_ratio=0), r"mlp_ratio must be above 0"),
        (lambda: capacity.exposure_steps(1, 1, math.nan, 1), r"tokens must be a positive"),
        (lambda: capacity.exposure_steps(1, 0, 1, 1), r"exposures must be"),
    ],
)
def test_bad_sizes_are_one_line(call, says):
    with pytest.raises(InputError, match=says):
        call()
