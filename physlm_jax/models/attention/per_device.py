"""Fused kernels on a mesh: each device attends over its own rows and heads.

XLA cannot cut a Pallas kernel, and cuts cuDNN's calls by rules that lose the batch axis of a mask;
so the kernels run inside `jax.shard_map`. No row sees another and no head another, hence no device
needs to speak to any other. Under `jax.vmap(..., spmd_axis_name=...)` the mapped axis is cut over
the mesh axis of that name, as elsewhere in the model.
"""

from collections.abc import Callable

import jax

from physlm_jax.parallel.mesh import partition_spec

Kernel = Callable[[jax.Array, jax.Array, jax.Array, jax.Array | None], jax.Array]


def per_device(
    kernel: Kernel,
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    segment_ids: jax.Array | None,
) -> jax.Array:
    """Returns kernel(q, k, v, segment_ids), run per device if the context has a mesh."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return kernel(q_BTHK, k_BSGK, v_BSGK, segment_ids)
    queries, keys = (
        partition_spec(("batch", "length", name, None), k_BSGK.shape, mesh.shape)
        for name in ("heads", "kv_heads")  # by the key heads: a group stays with its own
    )
    rows = None if segment_ids is None else partition_spec(("batch", "length"))
    # pallas_call does not say over which mesh axes its results vary, so JAX cannot check it
    cut = jax.shard_map(
        kernel, in_specs=(queries, keys, keys, rows), out_specs=queries, check_vma=False
    )
    return cut(q_BTHK, k_BSGK, v_BSGK, segment_ids)
