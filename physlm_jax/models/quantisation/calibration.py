"""The inputs that a model's matrices see, matrix by matrix, as all before them are quantised.

Layer by layer, the calibration tokens' states go through; within a layer, matrices that read the
same states (query, key and value) make a stage, and the next stage's inputs are those of a layer
whose earlier stages are quantised. Only Gram matrices are kept of the inputs.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.paths import Path, at, flat, nested
from physlm_jax.models.quantisation.matrices import Matrix
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.models.weights import StandIn, array, product

TOKENS = 4096  # at a time, about
Encode = Callable[[Matrix, jax.Array], Any]
Method = Callable[[np.ndarray], Encode]
Rows = list[tuple[jax.Array, jax.Array]]


class Watched(StandIn):
    """Acts as its leaf, and tells what it is multiplied with; lives within one trace."""

    def __init__(self, leaf: Any, tell: Callable[[jax.Array], None]) -> None:
        self.leaf, self.tell = leaf, tell

    def product(self, x: jax.Array, names: tuple[str, ...], contract: int, dtype: Any) -> jax.Array:
        """See models.weights.product."""
        self.tell(x)
        return product(x, self.leaf, names, contract, dtype)

    def array(self) -> jax.Array:
        """See models.weights.StandIn."""
        return array(self.leaf)


def in_turn(
    config: TransformerConfig,
    params: Params,
    chosen: dict[Path, Matrix],
    rows: Rows,
    method: Method,
) -> Params:
    """Returns params with the chosen kernels encoded, each for the inputs it will see.

    Args:
        chosen: by path; kernels alone.
        rows: tokens int32[B, T] and their weights float32[B, T], pieces of one shape.
        method: Gram matrix [I, I] of inputs -> (matrix of one layer, array) -> the new leaf.
    Raises:
        InputError: a chosen kernel that no product with states is seen of.
    """
    inside = {path[1:]: m.one() for path, m in chosen.items() if path[0] == "blocks"}
    if inside:
        params = {**params, "blocks": _layers(config, params, inside, rows, method)}
    for path in chosen:  # the output map
        if path[0] != "blocks":
            gram = _summed(_final_gram, ((tokens, w) for tokens, w in rows), config, params)
            leaf = method(gram)(chosen[path], at(params, path))
            params = nested(flat(params) | {path: leaf})
    return params


def _layers(
    config: TransformerConfig,
    params: Params,
    chosen: dict[Path, Matrix],
    rows: Rows,
    method: Method,
) -> Params:
    """The stacked layers, quantised one after the other."""
    states = [_embed(config, params, tokens) for tokens, _ in rows]
    weights = [w for _, w in rows]
    done = []
    for layer in range(config.layers):
        block = _one(params["blocks"], layer)
        for stage in _stages(config, block, states[0], chosen):
            gram = _summed(_gram, zip(states, weights, strict=True), config, block, stage[0])
            encode = method(gram)
            leaves = {path: encode(chosen[path], at(block, path)) for path in stage}
            block = nested(flat(block) | leaves)
        states = [_layer(config, block, x) for x in states]
        done.append(block)
    return _stacked(*done)


def _stages(
    config: TransformerConfig, block: Params, x: jax.Array, chosen: dict[Path, Matrix]
) -> list[list[Path]]:
    """The chosen kernels in the order of their use, those of the same input together."""
    seen: list[tuple[Path, jax.Array]] = []
    jax.eval_shape(lambda b, x: _watch(config, b, x, chosen, seen), block, x)
    missing = chosen.keys() - {path for path, _ in seen}
    if missing:
        name = "/".join(("blocks", *min(missing)))
        raise InputError(
            f"quantisation: gptq sees no product of {name} with states; leave it to 'nearest'"
        )
    stages: list[list[Path]] = []
    last = None
    for path, inputs in seen:
        if inputs is not last:
            stages.append([])
        stages[-1].append(path)
        last = inputs
    return stages


def _watch(
    config: TransformerConfig, block: Params, x: jax.Array, paths: Any, seen: list[Any]
) -> jax.Array:
    """One layer; notes (path, input) of the products with kernels of these paths."""
    tell = {path: functools.partial(lambda path, x: seen.append((path, x)), path) for path in paths}
    watched = {path: Watched(at(block, path), tell[path]) for path in paths}
    return transformer.layer(config, nested(flat(block) | watched), x)


_one = jax.jit(lambda tree, i: jax.tree.map(lambda x: x[i], tree))
_stacked = jax.jit(lambda *trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees))
_embed = jax.jit(transformer.embed, static_argnums=0)
_layer = jax.jit(transformer.layer, static_argnums=0)


def _summed(gram: Any, pieces: Any, *arguments: Any) -> np.ndarray:
    """Sums Gram matrices of the pieces' inputs, on the device; as float64."""
    return np.asarray(sum(gram(*arguments, x, w) for x, w in pieces), np.float64)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _gram(
    config: TransformerConfig, block: Params, path: Path, x: jax.Array, weights: jax.Array
) -> jax.Array:
    """Of what one kernel of a layer reads."""
    seen: list[tuple[Path, jax.Array]] = []
    _watch(config, block, x, [path], seen)
    return _of(seen[0][1], weights)


@functools.partial(jax.jit, static_argnums=0)
def _final_gram(
    config: TransformerConfig, params: Params, tokens: jax.Array, weights: jax.Array
) -> jax.Array:
    """Of what the output map reads."""
    return _of(transformer.apply(config, params, tokens, logits=False).final, weights)


def _of(inputs: Any, weights: jax.Array) -> jax.Array:
    """float32[I, I]: sum over places of weight * x^T x, of x [B, T, *inputs]."""
    flat = inputs.reshape(weights.size, -1).astype(jnp.float32)
    return jnp.matmul((flat * weights.reshape(-1, 1)).T, flat, precision=jax.lax.Precision.HIGHEST)


def pieces(tokens: np.ndarray, weights: np.ndarray) -> Rows:
    """Cuts rows [N, T] into pieces of equal shape; rows that fill the last one up weigh 0."""
    size = -(-len(tokens) // -(-tokens.size // TOKENS))  # as many pieces, evenly filled
    more = ((0, -len(tokens) % size), (0, 0))
    cut = (
        np.pad(tokens, more).reshape(-1, size, tokens.shape[1]).astype(np.int32),
        np.pad(weights, more).reshape(-1, size, tokens.shape[1]).astype(np.float32),
    )
    return [(jnp.asarray(t), jnp.asarray(w)) for t, w in zip(*cut, strict=True)]
