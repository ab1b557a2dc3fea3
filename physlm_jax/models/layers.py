"""The parts of a transformer block. Shapes: B batch, T length, D model, F hidden."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from physlm_jax.models.weights import product
from physlm_jax.parallel.mesh import constrain


def normal(key: jax.Array, shape: Sequence[int], std: float) -> jax.Array:
    """float32 array of independent normals with mean 0 and standard deviation `std`."""
    return std * jax.random.normal(key, tuple(shape), jnp.float32)


def parameter(value: jax.Array, *axes: str) -> nnx.Param:
    """Returns a parameter whose axes carry logical names (see parallel.mesh.RULES)."""
    return nnx.Param(value, out_sharding=axes, eager_sharding=False)


class Linear(nnx.Module):
    """y = x W + b over the last `contract` axes of x; W keeps its structured shape, e.g. [D, H, K].

    Parameters are float32; the product runs in `dtype`.
    """

    def __init__(
        self,
        inputs: dict[str, int],
        outputs: dict[str, int],
        *,
        std: float,
        bias: bool,
        dtype: jnp.dtype,
        key: jax.Array,
    ) -> None:
        shape = (*inputs.values(), *outputs.values())
        self.axes = (*inputs, *outputs)
        self.kernel = parameter(normal(key, shape, std), *self.axes)
        small = ("vector" if name == "embed" else name for name in outputs)
        self.bias = parameter(jnp.zeros(tuple(outputs.values())), *small) if bias else None
        self.contract = len(inputs)
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        y = product(x, self.kernel.get_value(), self.axes, self.contract, self.dtype)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)


class Norm(nnx.Module):
    """LayerNorm or RMSNorm over the last axis, computed in float32."""

    def __init__(self, width: int, *, kind: str, epsilon: float, bias: bool) -> None:
        self.scale = parameter(jnp.ones(width), "vector")
        self.bias = parameter(jnp.zeros(width), "vector") if bias and kind == "layernorm" else None
        self.kind = kind
        self.epsilon = epsilon

    def __call__(self, x: jax.Array) -> jax.Array:
        x32 = x.astype(jnp.float32)
        if self.kind == "layernorm":
            x32 = x32 - x32.mean(-1, keepdims=True)
        variance = jnp.square(x32).mean(-1, keepdims=True)
        y = x32 * jax.lax.rsqrt(variance + self.epsilon) * self.scale[...]
        if self.bias is not None:
            y = y + self.bias[...]
        return y.astype(x.dtype)


class Mlp(nnx.Module):
    """x -> act(x W1) W2 ("gelu" by tanh, "gelu_exact", "silu"); "gated": (silu(x Wg) * x W1) W2."""

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        kind: str,
        std: float,
        out_std: float,
        bias: bool,
        dtype: jnp.dtype,
        key: jax.Array,
    ) -> None:
        up, gate, down = jax.random.split(key, 3)
        into, out = {"embed": width}, {"hidden": hidden}
        self.up = Linear(into, out, std=std, bias=bias, dtype=dtype, key=up)
        self.gate = (
            Linear(into, out, std=std, bias=bias, dtype=dtype, key=gate)
            if kind == "gated"
            else None
        )
        self.down = Linear(out, into, std=out_std, bias=bias, dtype=dtype, key=down)
        self.kind = kind

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        h_BTF = constrain(self.up(x_BTD), "batch", "length", "hidden")
        if self.gate is None:
            if self.kind == "silu":
                return self.down(jax.nn.silu(h_BTF))
            return self.down(jax.nn.gelu(h_BTF, approximate=self.kind == "gelu"))
        return self.down(jax.nn.silu(self.gate(x_BTD)) * h_BTF)
