"""cuDNN: what is handed to its kernel, read from programs lowered for CUDA; on a GPU, its results.

Lowering needs no GPU, only the belief that there is a cuDNN; it shows the call, the causal flag,
the mask, and on a mesh the shape that each device works on.
"""

import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.models import attention
from physlm_jax.models.attention import Visibility

CALLS = {
    (False, "forward"): "__cudnn$fmhaSoftmax",
    (False, "backward"): "__cudnn$fmhaSoftmaxBackward",
    (True, "forward"): "__cudnn$fmhaScaleBiasSoftmax",
    (True, "backward"): "__cudnn$fmhaScaleBiasSoftmaxBackward",
}


@pytest.fixture
def believe_in_cudnn(monkeypatch):
    from jax._src.cudnn import fused_attention_stablehlo

    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)


def calls(function, *args) -> list[str]:
    """The lines that call cuDNN in the program lowered for CUDA."""
    text = jax.jit(function).trace(*args).lower(lowering_platforms=("cuda",)).as_text()
    return [line for line in text.splitlines() if "@__cudnn" in line]


def loss(q, k, v, causal, segment_ids):
    out = attention.cudnn(q, k, v, Visibility(causal, segment_ids=segment_ids))
    return jnp.square(out.astype(jnp.float32)).sum()


def shapes(*lead, key_heads=2):
    make = lambda n: jax.ShapeDtypeStruct((*lead, 256, n, 64), jnp.bfloat16)  # noqa: E731
    return make(4), make(key_heads), make(key_heads)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("segmented", [True, False])
def test_the_kernel_gets_the_flag_and_the_mask(believe_in_cudnn, causal, segmented):
    """No mask without segments; groups are not repeated; the scale is 1 / sqrt(64)."""
    ids = jax.ShapeDtypeStruct((8, 256), jnp.int32) if segmented else None
    gradient = jax.grad(lambda q, k, v, ids: loss(q, k, v, causal, ids), (0, 1, 2))
    forward, backward = calls(gradient, *shapes(8), ids)
    for line, phase in ((forward, "forward"), (backward, "backward")):
        assert re.search(r"@(\S+?)\(", line).group(1) == CALLS[segmented, phase]
        assert f"mask_type\\22: \\22{'CAUSAL' if causal else 'NO_MASK'}\\22" in line
        assert "fmha_scale\\22: 0.125" in line
        assert "tensor<8x256x2x64xbf16>" in line
        assert ("tensor<8x1x256x256xbf16>" in line) == segmented


MESH = """
import jax, jax.numpy as jnp
from jax._src.cudnn import fused_attention_stablehlo
fused_attention_stablehlo.check_cudnn_version = lambda: 91000
from physlm_jax.models import attention, transformer
from physlm_jax.parallel.mesh import make_mesh

def loss(q, k, v, ids):
    return jnp.square(attention.cudnn(q, k, v, attention.Visibility(segment_ids=ids))).sum()

def show(name, function, *args):
    text = jax.jit(function).trace(*args).lower(lowering_platforms=("cuda",)).as_text()
    for line in text.splitlines():
        if "@__cudnn" in line:
            print(name, line.rsplit(" : ", 1)[1])

def arrays(*lead):
    return [jax.ShapeDtypeStruct((*lead, 256, n, 64), jnp.bfloat16) for n in (4, 2, 2)]

config = transformer.TransformerConfig(
    64, 256, layers=2, width=256, heads=4, kv_heads=2, dtype="bfloat16", unroll=1
)
config = transformer.for_platform(config, "gpu", population=True)
def model_loss(params, tokens):
    return transformer.apply(config, params, tokens).logits.mean()
models = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((6, *x.shape), x.dtype), transformer.abstract(config)
)

gradient = jax.grad(loss, (0, 1, 2))
ids = jax.ShapeDtypeStruct((8, 256), jnp.int32)
with jax.set_mesh(make_mesh({"data": 2, "tensor": 2, "population": 2})):
    show("rows", gradient, *arrays(8), None)
    show("segments", gradient, *arrays(8), ids)
    members = jax.vmap(lambda q, k, v: gradient(q, k, v, None), spmd_axis_name="population")
    show("population", members, *arrays(6, 8))
    whole = jax.vmap(jax.grad(model_loss), (0, None), spmd_axis_name="population")
    show("model", whole, models, jax.ShapeDtypeStruct((8, 256), jnp.int32))
"""


def test_each_device_of_a_mesh_gets_its_rows_and_heads():
    """2 x 2 x 2: 4 of 8 rows, 2 of 4 heads, 1 of 2 key heads, 3 of 6 members; masks cut alike."""
    done = subprocess.run(
        [sys.executable, "-c", MESH],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name, query, key in (
        ("rows", "4x256x2x64", "4x256x1x64"),
        ("segments", "4x256x2x64", "4x256x1x64"),
        ("population", "12x256x2x64", "12x256x1x64"),
        ("model", "12x256x2x64", "12x256x1x64"),
    ):
        mine = [line for line in lines if line.startswith(name)]
        assert len(mine) == 2  # forward and backward
        for line in mine:
            operands = f"(tensor<{query}xbf16>, tensor<{key}xbf16>, tensor<{key}xbf16>"
            assert operands in line
            assert ("tensor<4x1x256x256xbf16>" in line) == (name == "segments")


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("segmented", [True, False])
def test_on_a_gpu_cudnn_is_plain(causal, segmented):
    rng = np.random.default_rng(0)
    q, k, v, d = (
        jnp.asarray(rng.standard_normal((2, 256, n, 64)), jnp.bfloat16) for n in (4, 2, 2, 4)
    )
    ids = jnp.asarray(np.sort(rng.integers(0, 4, (2, 256))), jnp.int32) if segmented else None
    visibility = Visibility(causal, segment_ids=ids)
    found, back = jax.vjp(lambda *a: attention.cudnn(*a, visibility), q, k, v)
    full = [x.astype(jnp.float32) for x in (q, k, v)]
    expected, plain_back = jax.vjp(lambda *a: attention.plain(*a, visibility)[0], *full)
    pairs = zip((found, *back(d)), (expected, *plain_back(d.astype(jnp.float32))), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a.astype(jnp.float32), b, atol=0.05, rtol=0.05)
