"""Splash compiled by the TPU compiler for abstract chips: forward, backward, meshes, populations.

Results are checked in `attention_test`, in Pallas' interpreter.
"""

import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import pytest

from physlm_jax.models import attention, transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.parallel.mesh import make_mesh, sharding
from physlm_jax.training.optimizer import Recipe
from physlm_jax.training.step import Program, abstract_state, make_train_step

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="the TPU compiler is not installed: pip install 'physlm_jax[tpu]'",
)


@pytest.fixture(scope="module")
def chips():
    """Four abstract chips of a v5e."""
    from jax.experimental import topologies

    # programs for absent chips can be written to the cache of compiled programs but not read back
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TPU_SKIP_MDS_QUERY", "1")
        environment.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # tests may run side by side
        yield topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices
    jax.config.update("jax_enable_compilation_cache", before)


def kernels(compiled) -> list[str]:
    """The Pallas kernels of a compiled program."""
    lines = compiled.as_text().splitlines()
    return [line for line in lines if 'custom_call_target="tpu_custom_call"' in line]


def gradient(q, k, v, segment_ids):
    def loss(q, k, v):
        out = attention.splash(q, k, v, attention.Visibility(segment_ids=segment_ids))
        return jnp.square(out.astype(jnp.float32)).sum()

    return jax.grad(loss, (0, 1, 2))(q, k, v)


@pytest.mark.parametrize(
    "head_size, length, dtype",
    [(64, 512, "bfloat16"), (128, 2048, "bfloat16"), (20, 384, "float32"), (256, 128, "bfloat16")],
)
def test_splash_compiles_for_heads_and_rows_of_many_sizes(chips, head_size, length, dtype):
    mesh = make_mesh({"data": 2, "tensor": 2}, chips)
    heads = sharding(mesh, "batch", "length", "heads", None)
    arrays = [
        jax.ShapeDtypeStruct((4, length, n, head_size), dtype, sharding=heads) for n in (4, 2, 2)
    ]
    ids = jax.ShapeDtypeStruct((4, length), jnp.int32, sharding=sharding(mesh, "batch", "length"))
    with jax.set_mesh(mesh):
        compiled = jax.jit(gradient).lower(*arrays, ids).compile()
    assert len(kernels(compiled)) == 2
    assert "all-" not in compiled.as_text()  # rows and heads need nothing from each other


INTEGERS = ("tokens", "targets", "segment_ids", "positions")
ROWS = {**dict.fromkeys(INTEGERS, "int32"), "weights": "float32"}
CONFIG = TransformerConfig(
    vocab_size=256,
    max_length=256,
    layers=2,
    width=128,
    heads=4,
    kv_heads=2,
    dtype="bfloat16",
    unroll=1,
)


def compile_step(mesh, config, **options):
    """The train step of packed documents, compiled for the chips of the mesh."""
    members = options.get("members", 0)
    config = transformer.for_platform(config, "tpu", segmented=True, population=members > 0)
    assert config.attention == "splash"
    program = Program(config, Recipe("constant", 10, False), mesh, segmented=True, **options)
    size = () if program.shared_rows else (members,)
    rows = {
        name: jax.ShapeDtypeStruct((*size, 8, 256), dtype, sharding=program.rows)
        for name, dtype in ROWS.items()
    }
    return make_train_step(program).lower(abstract_state(program), rows).compile()


@pytest.mark.parametrize(
    "sizes, options",
    [
        ({"data": 2, "tensor": 2}, {}),
        ({"fsdp": 4}, {"accumulation": 2}),
        ({"population": 2, "fsdp": 2}, {"members": 4}),
    ],
)
def test_a_sharded_train_step_runs_on_splash(chips, sizes, options):
    """Two kernels in the loops over layers: one forward, one backward."""
    mesh = make_mesh(sizes, chips)
    config = dataclasses.replace(CONFIG, attention="splash")
    assert len(kernels(compile_step(mesh, config, **options))) == 2


def test_rematerialised_layers_run_splash_forward_twice(chips):
    mesh = make_mesh({"data": 2, "tensor": 2}, chips)
    config = dataclasses.replace(CONFIG, remat="full")  # and "auto" is splash
    assert len(kernels(compile_step(mesh, config))) == 3
