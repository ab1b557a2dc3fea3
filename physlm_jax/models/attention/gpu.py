"""cuDNN's fused attention on NVIDIA GPUs, through `jax.nn.dot_product_attention`.

A causal mask is a flag, so that the kernel skips the half it hides. Segments have no flag in JAX's
interface: they go in as a mask [B, 1, T, T], which JAX adds to the scores as a bias; the memory of
one such array (and of its unused gradient) is the price of isolation.

Shapes: B batch, T queries, S keys, H heads, G key/value heads, K head size.
"""

import jax

from physlm_jax.models.attention.per_device import per_device
from physlm_jax.models.attention.visibility import Variant, Visibility

HONOURS = frozenset({"causal", "bidirectional", "segments", "population"})


def objection(variant: Variant) -> str | None:
    """Returns why cuDNN cannot compute this variant that it honours, None if it can."""
    if variant.dtype not in ("bfloat16", "float16"):
        return f"computes in bfloat16 or float16, not {variant.dtype}"
    if variant.head_size % 8 or variant.head_size > 128:  # 256 on Hopper and later alone
        return f"takes heads of up to 128 dimensions, a multiple of 8, not {variant.head_size}"
    if variant.queries != variant.keys:
        return f"takes rows alone, not {variant.queries} queries on {variant.keys} keys"
    if "segments" not in variant.asks:
        return None
    if variant.queries % 2:
        return f"takes segments in rows of even length alone, not {variant.queries}"
    if "population" in variant.asks:  # JAX's batching rule reshapes a mask without its heads
        return "cannot keep segments apart in a population"
    return None


def cudnn(
    q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array, visibility: Visibility
) -> jax.Array:
    """Returns [B, T, H, K] in the dtype of q; softmax in float32."""

    def kernel(
        q: jax.Array, k: jax.Array, v: jax.Array, segment_ids: jax.Array | None
    ) -> jax.Array:
        mask = None
        if segment_ids is not None:
            mask = Visibility(segment_ids=segment_ids).same_segment()
        return jax.nn.dot_product_attention(
            q, k, v, mask=mask, is_causal=visibility.causal, implementation="cudnn"
        )

    return per_device(kernel, q_BTHK, k_BSGK, v_BSGK, visibility.segment_ids)
