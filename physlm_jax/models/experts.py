"""Mixture of experts: M small MLPs of which every token uses k, chosen by a learned router.

The router's softmax over all experts, in float32, gives each its probability p. With k = 1 the
chosen expert's result is multiplied by its p, which is what trains the router; with more, by the
probabilities of the chosen divided by their sum. An expert takes a limited number of each row's
tokens (`dispatch.capacity`); what it has no room for is dropped: that choice contributes nothing,
and the residual stream passes by. Priority is by position, of equal ones by rank of the choice.

Experts lie on the mesh axis "expert", which also cuts the batch everywhere else: tokens travel to
their experts and back by an exchange within the groups of that axis.

Sources: Physics of Language Models, Part 3.3 (arXiv 2404.05405), the result on mixtures of experts;
Switch Transformer (arXiv 2101.03961), section 2.2; GShard (arXiv 2006.16668), section 3.2.

Shapes: B rows, T tokens, k choices, M experts, C capacity, D model, F hidden.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from physlm_jax.models.dispatch import holders, likeliest, moved, places
from physlm_jax.models.layers import Linear, normal, parameter
from physlm_jax.models.weights import array
from physlm_jax.parallel.mesh import constrain, gathered


class Use(NamedTuple):
    """How evenly the experts of a layer were used; float32, over the tokens that count.

    Attributes:
        balance: M sum_e f_e p_e, with f_e the share of the pairs (token, choice) that ask for
            expert e, dropped ones too, and p_e its mean probability; 1 where either is uniform.
        dropped: share of the pairs for which there was no room.
    """

    balance: jax.Array
    dropped: jax.Array


class Stack(nnx.Module):
    """The linear maps of all experts: y_m = x_m W_m + b_m, with W [M, I, O]."""

    def __init__(
        self,
        experts: int,
        inputs: tuple[str, int],
        outputs: tuple[str, int],
        *,
        std: float,
        bias: bool,
        dtype: jnp.dtype,
        key: jax.Array,
    ) -> None:
        self.axes = ("expert", inputs[0], outputs[0])
        drawn = normal(key, (experts, inputs[1], outputs[1]), std)
        self.kernel = parameter(drawn, *self.axes)
        small = "vector" if outputs[0] == "embed" else outputs[0]
        zeros = jnp.zeros((experts, outputs[1]))
        self.bias = parameter(zeros, "expert", small) if bias else None
        self.dtype = dtype

    def __call__(self, x_MBCI: jax.Array) -> jax.Array:
        kernel = gathered(array(self.kernel.get_value()), self.axes, self.dtype)
        M, B, C, inputs = x_MBCI.shape
        # rows and places as one axis: XLA's CPU backend then sums gradients 1.1 times as fast
        y = jnp.einsum("mni,mio->mno", x_MBCI.reshape(M, B * C, inputs), kernel)
        y = y.reshape(M, B, C, -1)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)[:, None, None]


class Experts(nnx.Module):
    """The MLPs x -> gelu(x W1) W2 and their router, which has no bias."""

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        experts: int,
        chosen: int,
        std: float,
        out_std: float,
        bias: bool,
        dtype: jnp.dtype,
        key: jax.Array,
    ) -> None:
        route, up, down = jax.random.split(key, 3)
        self.router = Linear(
            {"embed": width},
            {"route": experts},
            std=std,
            bias=False,
            dtype=jnp.dtype(jnp.float32),
            key=route,
        )
        into, out = ("embed", width), ("hidden", hidden)
        self.expert_up = Stack(experts, into, out, std=std, bias=bias, dtype=dtype, key=up)
        self.expert_down = Stack(experts, out, into, std=out_std, bias=bias, dtype=dtype, key=down)
        self.count, self.chosen = experts, chosen

    def __call__(
        self, x_BTD: jax.Array, most: int, counted_BT: jax.Array | None
    ) -> tuple[jax.Array, Use]:
        """Returns what is added to the residual stream, and how the experts were used.

        Args:
            most: C, the tokens of a row that one expert takes.
            counted_BT: float32, how much each token counts in `Use`; None: all the same.
        """
        p_BTM = self._probabilities(x_BTD)
        hit_BTkM = likeliest(jax.lax.stop_gradient(p_BTM), self.chosen)
        gate_BTk = jnp.where(hit_BTkM, p_BTM[:, :, None], 0).sum(-1)
        if self.chosen > 1:
            gate_BTk = gate_BTk / gate_BTk.sum(-1, keepdims=True)
        slot_BTk = places(hit_BTkM, most)
        y_BTkD = self._taken(x_BTD, slot_BTk, most)
        y_BTD = (y_BTkD * gate_BTk[..., None]).sum(2).astype(x_BTD.dtype)
        lost_BTk = slot_BTk == self.count * most
        return y_BTD, _use(p_BTM, hit_BTkM, lost_BTk, counted_BT)

    def _probabilities(self, x_BTD: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("float32"):  # accelerators would round the factors
            logits = self.router(x_BTD.astype(jnp.float32))
        return jax.nn.softmax(constrain(logits, "batch", "length", None))

    def _taken(self, x_BTD: jax.Array, slot_BTk: jax.Array, most: int) -> jax.Array:
        """[B, T, k, D]: each pair's expert's result, zeros where it was dropped."""
        B, T, k = slot_BTk.shape
        M, D = self.count, x_BTD.shape[-1]
        pair_BS = holders(slot_BTk, M * most)
        x_BSD = moved(x_BTD, pair_BS // k, slot_BTk)
        y_MBCD = self._computed(_by_expert(x_BSD.reshape(B, M, most, D)))
        y_BSD = _by_row(y_MBCD).reshape(B, M * most, D)
        y_BPD = moved(y_BSD, slot_BTk.reshape(B, T * k), pair_BS[..., None])
        return y_BPD.reshape(B, T, k, D)

    def _computed(self, x_MBCD: jax.Array) -> jax.Array:
        h_MBCF = constrain(self.expert_up(x_MBCD), "expert", "group", None, "hidden")
        return self.expert_down(jax.nn.gelu(h_MBCF, approximate=True))


def _by_expert(x_BMCD: jax.Array) -> jax.Array:
    """[M, B, C, D]: rows of all devices of a group go to the device that has their expert."""
    x_BMCD = constrain(x_BMCD, "batch", None, None, None)
    # experts in front: XLA's CPU backend then runs one product per expert, 1.3 times as fast
    return constrain(x_BMCD, "group", "expert", None, None).swapaxes(0, 1)


def _by_row(y_MBCD: jax.Array) -> jax.Array:
    """[B, M, C, D]: and back."""
    y_BMCD = constrain(y_MBCD, "expert", "group", None, None).swapaxes(0, 1)
    return constrain(y_BMCD, "batch", None, None, None)


def _use(
    p_BTM: jax.Array, hit_BTkM: jax.Array, lost_BTk: jax.Array, counted_BT: jax.Array | None
) -> Use:
    if counted_BT is None:
        counted_BT = jnp.ones(p_BTM.shape[:2])
    share_BT = counted_BT / jnp.maximum(counted_BT.sum(), 1)
    asked_M = (share_BT[..., None] * hit_BTkM.mean(2)).sum((0, 1))
    likely_M = (share_BT[..., None] * p_BTM).sum((0, 1))
    balance = p_BTM.shape[-1] * (asked_M * likely_M).sum()
    return Use(balance, (share_BT * lost_BTk.mean(-1)).sum())
