"""Splash compiled by the TPU compiler for abstract chips: forward, backward, meshes, populations.

Results are checked in `attention_test`, in Pallas' interpreter.
"""

import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding

from physlm_jax.models import attention, transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.parallel.mesh import make_mesh, partition_spec, sharding

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


def compile_update(mesh, config, members=None):
    """One step of gradient descent, as the train step lays it out."""
    lead = ("population",) if members else ()
    size = (members,) if members else ()
    config = transformer.for_platform(config, "tpu", segmented=True, population=bool(members))
    assert config.attention == "splash"

    def update(params, tokens, ids):
        def loss(p):
            out = transformer.apply(config, p, tokens, segment_ids=ids).logits
            return jax.nn.logsumexp(out, -1).mean()

        grads = jax.grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)

    def place(shape, names, dtype):
        spec = partition_spec((*lead, *names))
        return jax.ShapeDtypeStruct((*size, *shape), dtype, sharding=NamedSharding(mesh, spec))

    params = jax.tree.map(
        lambda leaf, names: place(leaf.shape, names, leaf.dtype),
        transformer.abstract(config),
        transformer.axes(config),
    )
    row = place((8, 256), ("batch", "length"), jnp.int32)
    step = jax.vmap(update, spmd_axis_name="population") if members else update
    with jax.set_mesh(mesh):
        return jax.jit(step).lower(params, row, row).compile()


@pytest.mark.parametrize(
    "sizes, members",
    [({"data": 2, "tensor": 2}, None), ({"fsdp": 4}, None), ({"population": 2, "data": 2}, 4)],
)
def test_a_sharded_train_step_runs_on_splash(chips, sizes, members):
    """Two kernels in the loops over layers: one forward, one backward."""
    mesh = make_mesh(sizes, chips)
    config = dataclasses.replace(CONFIG, attention="splash")
    assert len(kernels(compile_update(mesh, config, members))) == 2


def test_rematerialised_layers_run_splash_forward_twice(chips):
    mesh = make_mesh({"data": 2, "tensor": 2}, chips)
    config = dataclasses.replace(CONFIG, remat="full")  # and "auto" is splash
    assert len(kernels(compile_update(mesh, config))) == 3
