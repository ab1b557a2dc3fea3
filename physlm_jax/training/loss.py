"""Cross-entropy of the next token, with the output map fused in; what training adds for experts.

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
from physlm_jax.models.experts import Use
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.parallel.mesh import constrain, row_groups

Batch = dict[str, jax.Array]
LOGITS = 2**28  # bytes of float32 logits that one device should hold at a time


def summed_loss(
    config: TransformerConfig, params: Params, batch: Batch, segmented: bool, chunks: int = 1
) -> tuple[jax.Array, jax.Array]:
    """Returns (sum of weighted cross-entropies in nats, number of weighted tokens), float32.

    Experts have the capacity of evaluation.

    Args:
        batch: tokens, targets, segment_ids, positions int32[B, T], weights float32[B, T].
        segmented: rows hold whole examples that must not see each other (best_fit packing); then
            positions restart at each. Otherwise places are 0..T-1 and all is visible.
        chunks: pieces of a row whose logits exist one after the other; divides T.
    """
    loss, _ = _forward_loss(config, params, batch, segmented, chunks, train=False)
    return loss, batch["weights"].sum()


def training_sums(
    config: TransformerConfig, params: Params, batch: Batch, segmented: bool, chunks: int = 1
) -> dict[str, jax.Array]:
    """Returns what training measures, summed over weighted tokens: the names of `measured`.

    Args: as of `summed_loss`, but experts have the capacity of training.
    Returns:
        loss: the cross-entropies in nats.
        balance, dropped: means over the layers of `experts.Use`, times the number of weighted
            tokens of this batch.
    """
    loss, use = _forward_loss(config, params, batch, segmented, chunks, train=True)
    if use is None:
        return {"loss": loss}
    tokens = batch["weights"].sum()
    return {
        "loss": loss,
        "balance": use.balance.mean() * tokens,
        "dropped": use.dropped.mean() * tokens,
    }


def measured(config: TransformerConfig) -> tuple[str, ...]:
    """Returns the names of what `training_sums` measures of a model."""
    return ("loss", "balance", "dropped") if config.mlp == "experts" else ("loss",)


def objective(config: TransformerConfig, means: dict[str, jax.Array]) -> jax.Array:
    """Returns what is minimised: the loss, and every layer's load-balancing loss.

    Args:
        means: of `training_sums`, per weighted token.
    """
    if "balance" not in means:
        return means["loss"]
    return means["loss"] + config.balance * config.layers * means["balance"]


def _forward_loss(
    config: TransformerConfig,
    params: Params,
    batch: Batch,
    segmented: bool,
    chunks: int,
    *,
    train: bool,
) -> tuple[jax.Array, Use | None]:
    out = transformer.apply(
        config,
        params,
        batch["tokens"],
        positions=batch["positions"] if segmented else None,
        segment_ids=batch["segment_ids"] if segmented else None,
        logits=False,
        train=train,
        counted=batch["weights"],
    )
    assert out.final is not None
    output = transformer.output_map(config, params)
    loss = cross_entropy(chunks, out.final, output, batch["targets"], batch["weights"])
    return loss, out.use


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
        x_BTD, w_VD: states and output map, of one dtype, in which products run.
        targets_BT: int32.  weights_BT: float32; no gradient flows to them.
    """
    rows = _cut(chunks, (x_BTD, targets_BT, weights_BT))
    if chunks == 1:
        return _piece(rows, w_VD)[-1]
    return jax.lax.map(lambda piece: _piece(piece, w_VD)[-1], rows).sum()


def _piece(rows: Any, w_VD: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns exp(logits - max), 1 / their sum, where the targets are, and the summed loss."""
    x, targets, weights = rows
    logits = jnp.einsum("gbtd,vd->gbtv", x, w_VD, preferred_element_type=jnp.float32)
    logits = constrain(logits, *_axes(logits), "length", "vocab")
    top = jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    e = jnp.exp(logits - top)
    total = e.sum(-1, keepdims=True)
    # a comparison instead of a look-up: the vocabulary may be cut over devices
    hit = jax.lax.broadcasted_iota(jnp.int32, logits.shape, 3) == targets[..., None]
    own = jnp.where(hit, logits, 0.0).sum(-1, keepdims=True)
    loss = jnp.vdot((jnp.log(total) + top - own)[..., 0], weights)
    return e, 1 / total, hit, loss


def _gradients(rows: Any, w_VD: jax.Array, out: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the loss and its gradients of the states and, laid out as `out`, of the map."""
    e, scale, hit, loss = _piece(rows, w_VD)
    x, _, weights = rows
    d_logits = ((e * scale - hit) * weights[..., None]).astype(x.dtype)
    d_x = jnp.einsum("gbtv,vd->gbtd", d_logits, w_VD)
    d_w = jnp.einsum(f"gbtv,gbtd->{out}", d_logits, x, preferred_element_type=jnp.float32)
    return loss, d_x, d_w


def _forward(chunks: int, x_BTD: Any, w_VD: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
    rows = _cut(chunks, (x_BTD, targets, weights))
    if chunks == 1:
        loss, d_x, d_w = _gradients(rows, w_VD, "vd")
        return loss, (d_x[0], d_w.astype(w_VD.dtype))

    def add(d_w: jax.Array, piece: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        loss, d_x, more = _gradients(piece, w_VD, "gvd")
        return constrain(d_w + more, "batch", "vocab", None), (loss, d_x)

    # each group of devices sums its own; they meet once, after the loop
    zeros = jnp.zeros((rows[0].shape[1], *w_VD.shape), jnp.float32)
    d_w, (losses, d_x) = jax.lax.scan(add, constrain(zeros, "batch", "vocab", None), rows)
    d_x = d_x.transpose(1, 2, 0, 3, 4).reshape(x_BTD.shape)
    return losses.sum(), (d_x, d_w.sum(0).astype(w_VD.dtype))


def _backward(chunks: int, saved: Any, g: jax.Array) -> tuple[Any, ...]:
    d_x, d_w = saved
    return g.astype(d_x.dtype) * d_x, g.astype(d_w.dtype) * d_w, None, None


cross_entropy.defvjp(_forward, _backward)


def _axes(x: jax.Array) -> tuple[str | None, str | None]:
    """The logical names of [groups, rows]: the batch is cut over the groups if there are any."""
    return ("batch", None) if x.shape[0] > 1 else (None, "batch")


def _cut(chunks: int, rows: Any) -> Any:
    """[B, T, ...] -> [groups, B / groups, T, ...], pieces of T in front where there are several.

    With one piece there is one group. With more, a group is what lies on one device.
    """
    if chunks == 1:
        return jax.tree.map(lambda x: x[None], rows)
    groups = row_groups()

    def cut(x: jax.Array) -> jax.Array:
        shape = (groups, x.shape[0] // groups, chunks, x.shape[1] // chunks, *x.shape[2:])
        return x.reshape(shape).transpose(2, 0, 1, *range(3, len(shape)))

    return jax.tree.map(cut, rows)
