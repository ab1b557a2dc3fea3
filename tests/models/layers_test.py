"""Linear maps against matrix products in float64, also where the weight is turned for CPUs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from physlm_jax.models.layers import Linear


@pytest.mark.parametrize(
    "rows, inputs, outputs",
    [
        (80, {"hidden": 64}, {"embed": 16}),  # tall, many rows: turned
        (8, {"hidden": 64}, {"embed": 16}),  # tall, few rows
        (80, {"embed": 16}, {"heads": 4, "head_dim": 8}),
        (80, {"heads": 4, "head_dim": 8}, {"embed": 16}),
    ],
)
def test_a_linear_map_is_a_matrix_product(rows, inputs, outputs):
    map_ = Linear(inputs, outputs, std=0.1, bias=True, dtype=jnp.float32, key=jax.random.key(0))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, rows // 2, *inputs.values()))
    d = rng.standard_normal((2, rows // 2, *outputs.values()))
    graph, params = nnx.split(map_)
    params = nnx.to_pure_dict(params)
    kernel = np.asarray(params["kernel"], np.float64)

    def run(x, params):
        return nnx.merge(graph, params)(x)

    y, back = jax.vjp(run, jnp.asarray(x, jnp.float32), params)
    d_x, gradients = back(jnp.asarray(d, jnp.float32))
    d_kernel = gradients["kernel"]
    flat = kernel.reshape(np.prod([*inputs.values()]), -1)
    x2, d2 = x.reshape(rows, -1), d.reshape(rows, -1)
    np.testing.assert_allclose(y.reshape(rows, -1), x2 @ flat, atol=1e-5)
    np.testing.assert_allclose(d_x.reshape(rows, -1), d2 @ flat.T, atol=1e-5)
    np.testing.assert_allclose(d_kernel.reshape(flat.shape), x2.T @ d2, atol=1e-4)
