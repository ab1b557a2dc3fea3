"""Splash attention: the fused Pallas kernel for TPUs that ships with JAX.

It skips the blocks that the causal mask hides, compares segment ids inside the kernel, lets groups
of query heads share a key head, and computes all three gradients in one backward kernel. Scores and
softmax are float32. Heads of any size are taken: the compiler pads them to 128 lanes.

Shapes: B batch, T queries, S keys, H heads, G key/value heads, K head size.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax

from physlm_jax.models.attention.per_device import per_device
from physlm_jax.models.attention.visibility import Variant, Visibility

HONOURS = frozenset({"causal", "bidirectional", "segments", "population"})
BLOCKS = (512, 256, 128)  # tokens per block, the largest that divides the row


def objection(variant: Variant) -> str | None:
    """Returns why splash cannot compute this variant that it honours, None if it can."""
    if variant.dtype not in ("bfloat16", "float32"):
        return f"computes in bfloat16 or float32, not {variant.dtype}"
    if variant.queries != variant.keys:
        return f"takes rows alone, not {variant.queries} queries on {variant.keys} keys"
    if variant.queries % BLOCKS[-1]:
        return f"takes rows of a multiple of {BLOCKS[-1]} tokens, not {variant.queries}"
    return None


def splash(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    visibility: Visibility,
    *,
    interpret: bool = False,
) -> jax.Array:
    """Returns [B, T, H, K] in the dtype of q.

    Args:
        interpret: run the kernel in Pallas' interpreter, slowly, on any platform.
    """

    def kernel(
        q: jax.Array, k: jax.Array, v: jax.Array, segment_ids: jax.Array | None
    ) -> jax.Array:
        q, k, v = (x.swapaxes(1, 2) for x in (q * q.shape[-1] ** -0.5, k, v))
        row = _row_kernel(q.shape[2], q.shape[1], visibility.causal, interpret)
        return jax.vmap(row)(q, k, v, segment_ids).swapaxes(1, 2)

    return per_device(kernel, q_BTHK, k_BSGK, v_BSGK, visibility.segment_ids)


def kernel_flops(name: str, queries: Sequence[int], keys: Sequence[int], causal: bool) -> float:
    """Returns the FLOPs of one call of a splash kernel; blocks that the mask hides are not visited.

    The kernels themselves tell nobody what they cost. Forward: two products per visited block, of
    queries with keys and of weights with values; the fused backward kernel makes five.

    Args:
        name: of the kernel; "dkv" in it means backward.
        queries: sizes [..., H, T, K].  keys: [..., G, S, K].
    """
    length, other = queries[-2], keys[-2]
    places = float(length * other)
    if causal:
        block = _block(length)
        places = length * (length + block) / 2
    products = 5 if "dkv" in name else 2
    return products * 2 * math.prod(queries[:-2]) * places * queries[-1]


def _block(length: int) -> int:
    """Tokens per block of a row."""
    return next(b for b in BLOCKS if length % b == 0)


def _row_kernel(length: int, heads: int, causal: bool, interpret: bool) -> Any:
    """Returns f(q [H, T, K], k, v [G, T, K], segment_ids [T] or None) -> [H, T, K]."""
    # a third of a second to import, which only those pay who use it
    from jax.experimental.pallas.ops.tpu import splash_attention as library

    block = _block(length)
    sizes = library.BlockSizes(
        block_q=block,
        block_kv=block,
        block_q_dkv=block,
        block_kv_dkv=block,
        use_fused_bwd_kernel=True,
    )
    mask = (library.CausalMask if causal else library.FullMask)((length, length))
    attend = library.make_splash_mha(
        library.MultiHeadMask([mask] * heads),
        block_sizes=sizes,
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )

    def row(q: jax.Array, k: jax.Array, v: jax.Array, segment_ids: jax.Array | None) -> jax.Array:
        if segment_ids is None:
            return attend(q, k, v)
        return attend(q, k, v, library.SegmentIds(segment_ids, segment_ids))

    return row
