"""Cross-entropy of the next token, with the output map fused in.

The gradient with respect to states and output map is formed while the logits are at hand, so that
no logits are kept for the backward pass; and where the vocabulary is large, the logits of only a
piece of each row exist at a time. Nothing is computed twice: three matrix products in all, as in
plain automatic differentiation.

Shapes: B rows, T places, D model, V vocabulary.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from physlm_jax.models import transformer
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.parallel.mesh import constrain

Batch = dict[str, jax.Array]
LOGITS = 2**28  # bytes of float32 logits that one device should hold at a time


def summed_loss(
    config: TransformerConfig, params: Params, batch: Batch, segmented: bool, chunks: int = 1
) -> tuple[jax.Array, jax.Array]:
    """Returns (sum of weighted cross-entropies in nats, number of weighted tokens), float32.

    Args:
        batch: tokens, targets, segment_ids, positions int32[B, T], weights float32[B, T].
        segmented: rows hold whole examples that must not see each other (best_fit packing); then
            positions restart at each. Otherwise places are 0..T-1 and all is visible.
        chunks: pieces of a row whose logits exist one after the other; divides T.
    """
    states = transformer.apply(
        config,
        params,
        batch["tokens"],
        positions=batch["positions"] if segmented else None,
        segment_ids=batch["segment_ids"] if segmented else None,
        logits=False,
    ).final
    assert states is not None
    output = transformer.output_map(params)
    loss = cross_entropy(chunks, states, output, batch["targets"], batch["weights"])
    return loss, batch["weights"].sum()


def pieces(asked: int, rows: int, length: int, vocabulary: int) -> int:
    """Returns into how many pieces a row is cut.

    Args:
        asked: config.loss_chunks; 0: the least divisor of T that keeps the logits below `LOGITS`.
        rows: of one device.  length: T.  vocabulary: V, of one device.
    """
    if asked:
        return asked
    fits = [n for n in range(1, length + 1) if length % n == 0]
    return next((n for n in fits if 4 * rows * length // n * vocabulary <= LOGITS), length)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def cross_entropy(
    chunks: int, x_BTD: jax.Array, w_VD: jax.Array, targets_BT: jax.Array, weights_BT: jax.Array
) -> jax.Array:
    """Returns the sum over places of weight * (log sum_v exp(x w_v) - x w_target), nats, float32.

    Args:
        chunks: see `summed_loss`.
        x_BTD: states; products run in their dtype.  w_VD: float32 output map.
        targets_BT: int32.  weights_BT: float32; no gradient flows to them.
    """

    def one(rows: Any) -> jax.Array:
        return _logits(rows, w_VD)[-1]

    if chunks == 1:
        return one((x_BTD, targets_BT, weights_BT))
    cut = _cut(chunks, (x_BTD, targets_BT, weights_BT))
    return jax.lax.scan(lambda total, rows: (total + one(rows), None), jnp.zeros(()), cut)[0]


def _logits(rows: Any, w_VD: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns exp(logits - max), 1 / their sum, where the targets are, and the summed loss."""
    x, targets, weights = rows
    w = w_VD.astype(x.dtype)
    logits = jnp.einsum("btd,vd->btv", x, w, preferred_element_type=jnp.float32)
    logits = constrain(logits, "batch", "length", "vocab")
    top = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    e = jnp.exp(logits - top)
    total = e.sum(-1, keepdims=True)
    # a comparison instead of a look-up: the vocabulary may be cut over devices
    hit = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 2) == targets[..., None]
    own = jnp.where(hit, logits, 0.0).sum(-1, keepdims=True)
    loss = jnp.vdot((jnp.log(total) + top - own)[..., 0], weights)
    return e, 1 / total, hit, loss


def _forward(chunks: int, x_BTD: Any, w_VD: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
    def one(d_w: jax.Array | None, rows: Any) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        e, scale, hit, loss = _logits(rows, w_VD)
        x, _, weight = rows
        d_logits = ((e * scale - hit) * weight[..., None]).astype(x.dtype)
        d_x = jnp.einsum("btv,vd->btd", d_logits, w_VD.astype(x.dtype))
        more = jnp.einsum("btv,btd->vd", d_logits, x, preferred_element_type=jnp.float32)
        return (more if d_w is None else d_w + more), (loss, d_x)

    if chunks == 1:
        d_w, (loss, d_x) = one(None, (x_BTD, targets, weights))
        return loss, (d_x, d_w)
    cut = _cut(chunks, (x_BTD, targets, weights))
    d_w, (losses, d_x) = jax.lax.scan(one, jnp.zeros_like(w_VD), cut)
    return losses.sum(), (d_x.swapaxes(0, 1).reshape(x_BTD.shape), d_w)


def _backward(chunks: int, saved: Any, g: jax.Array) -> tuple[Any, ...]:
    d_x, d_w = saved
    return g.astype(d_x.dtype) * d_x, g * d_w, None, None


cross_entropy.defvjp(_forward, _backward)


def _cut(chunks: int, rows: Any) -> Any:
    """[B, T, ...] -> [chunks, B, T / chunks, ...]: every piece still spans all devices."""
    return jax.tree.map(
        lambda x: x.reshape(x.shape[0], chunks, -1, *x.shape[2:]).swapaxes(0, 1), rows
    )
