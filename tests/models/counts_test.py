"""Parameters of the shapes that Physics of Language Models, Part 3.3, compares, by counting.

Source: arXiv 2404.05405; a layer's attention has 4 d^2, its MLP what the title of each test says.
"""

import math

import pytest

from physlm_jax.models import transformer
from physlm_jax.models.paths import flat
from physlm_jax.models.transformer import TransformerConfig

WIDTH, USED = 192, 3275  # three heads of 64; rows of the embedding that biographies use


def blocks(**changes):
    """{path: numbers of one layer} of a model of two layers."""
    c = TransformerConfig(
        **{
            "vocab_size": USED,
            "max_length": 512,
            "layers": 2,
            "width": WIDTH,
            "heads": WIDTH // 64,
            **changes,
        }
    )
    leaves = flat(transformer.abstract(c)["blocks"])
    return {"/".join(path): math.prod(leaf.shape[1:]) for path, leaf in leaves.items()}


def numbers(found, part="", kernels=True, others=True):
    """How many of them are in a part of the layer, in matrices or elsewhere."""
    return sum(
        size
        for name, size in found.items()
        if name.startswith(part) and (kernels if name.endswith("kernel") else others)
    )


@pytest.mark.parametrize("experts", [32, 8])
def test_experts_have_2_d2_each_and_a_router(experts):
    found = blocks(mlp="experts", experts=experts, mlp_ratio=1.0)
    d, M = WIDTH, experts
    assert numbers(found, others=False) == (4 + 2 * M) * d**2 + M * d  # 68 d^2 for 32, and router
    assert numbers(found, "mlp/", kernels=False) == M * (d + d)  # every expert's own biases
    assert numbers(found, "attention/", kernels=False) == 4 * d
    assert numbers(found) == (4 + 2 * M) * d**2 + M * d + 2 * M * d + 4 * d + 4 * d  # two norms
    bare = blocks(mlp="experts", experts=experts, mlp_ratio=1.0, bias=False)
    assert numbers(bare) == (4 + 2 * M) * d**2 + M * d + 2 * d


def test_a_token_meets_6_of_68_d2():
    """The paper's 8.8 %: attention and one of 32 experts."""
    found = blocks(mlp="experts", experts=32, mlp_ratio=1.0, bias=False)
    matrices = numbers(found, others=False) - found["mlp/router/kernel"]
    used = numbers(found, "attention/", others=False) + matrices - 4 * WIDTH**2 - 31 * 2 * WIDTH**2
    assert matrices == 68 * WIDTH**2 and used == 6 * WIDTH**2
    assert used / matrices == pytest.approx(0.088, abs=5e-4)


def test_gpt2_s_mlp_has_8_d2_its_quarter_2_d2_and_none_no_norm():
    d = WIDTH
    assert numbers(blocks()) == 12 * d**2 + 13 * d
    quarter = blocks(mlp_ratio=1.0)
    assert numbers(quarter, "mlp/") == 2 * d**2 + 2 * d
    none = blocks(mlp="none")
    assert not numbers(none, "mlp") and "mlp_norm/scale" not in none
    assert numbers(none) == 4 * d**2 + 4 * d + 2 * d


LLAMA = {"mlp": "gated", "norm": "rmsnorm", "bias": False, "tied": False}


def test_llama_s_mlp_has_8_d2():
    found = blocks(**LLAMA, mlp_ratio=8 / 3)
    assert found["mlp/up/kernel"] == WIDTH * round(8 * WIDTH / 3)
    assert numbers(found, "mlp/") == 8 * WIDTH**2
    assert numbers(found) == 12 * WIDTH**2 + 2 * WIDTH
    odd = blocks(**LLAMA, mlp_ratio=8 / 3, width=128, heads=2)  # 341.3 hidden units
    assert numbers(odd, "mlp/") == 3 * 128 * 341 == pytest.approx(8 * 128**2, rel=2e-3)


@pytest.mark.parametrize(("heads", "groups"), [(8, 4), (6, 2), (3, 1)])
def test_mistral_s_mlp_has_10_and_a_half_d2_and_its_keys_are_few(heads, groups):
    d = 64 * heads
    found = blocks(**LLAMA, mlp_ratio=3.5, width=d, heads=heads, kv_heads=groups)
    assert numbers(found, "mlp/") == 10.5 * d**2
    assert found["attention/key/kernel"] == found["attention/value/kernel"] == d * 64 * groups
    assert numbers(found, "attention/") == 2 * d**2 + 2 * d * 64 * groups


@pytest.mark.parametrize(
    ("layers", "heads", "count"), [(2, 2, 816_000), (2, 4, 2_418_432), (12, 12, 87_571_200)]
)
def test_whole_models_of_gpt2_s_kind(layers, heads, count):
    """P = 3275 d + l (12 d^2 + 13 d) + 2 d, only used rows of the embedding counted."""
    c = TransformerConfig(USED, 512, layers=layers, width=64 * heads, heads=heads)
    assert transformer.parameter_count(c) == count
