"""Low-rank adapters as a pytree of their own, and the two ways of applying one.

An adapter is a nested dict with the base's own parameter paths. A leaf is a `LowRank` (the array W
acts as W + scale * down up, with W frozen) or a plain array (that parameter, trained in full).

- `merge` forms the sum: plain parameters, at the base's own cost. Right for anything, but inside a
  loss it forms the gradient of the whole matrix.
- `attach` puts the pair beside the array: x W + scale * (x down) up. Cheap; needed for dropout and
  for several adapters in one batch (`mix`).

"down" is the factor on the input side, "up" the one on the output side, whatever a paper calls A
and B. Source: LoRA, arXiv 2106.09685, sections 4.1 and 4.2; DoRA: arXiv 2402.09353, section 4.
"""

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from physlm_jax.errors import InputError
from physlm_jax.models.paths import at, flat, nested
from physlm_jax.models.transformer import Params
from physlm_jax.models.weights import StandIn, original, product, rows

Adapter = dict[str, Any]
STACKED = "blocks"  # the part of the tree whose arrays have an axis of layers in front
static = functools.partial(dataclasses.field, metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LowRank:
    """An update of one array W [*lead, *inputs, *outputs]; a table [V, D] has one axis of each.

    Attributes:
        down: [*lead, *inputs, R].  up: [*lead, R, *outputs].
        magnitude: [*lead, *outputs], DoRA's lengths of the columns of W; None: plain.
        scale: what the product is multiplied with: one number per layer of a stacked array, else
            one. Ranks that differ between layers are filled up with zeros, which stay zero.
        dropout: share of the inputs of `down` that are dropped in training.
        tied: of an embedding: the output map that is tied to it changes too.
    """

    down: Any
    up: Any
    magnitude: Any = None
    scale: tuple[float, ...] = static(default=(1.0,))
    dropout: float = static(default=0.0)
    tied: bool = static(default=False)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Adapted(StandIn):
    """A frozen array with its update beside it, as `LowRank` without the lead.

    Attributes:
        base: the array, or another stand-in.  scale: of this layer.
        key: of the dropout; None: off.
        choice: int32[B], which of N adapters each row of a batch uses; `down`, `up`, `scale` then
            have an axis N in front.
    """

    base: Any
    down: Any
    up: Any
    scale: Any
    magnitude: Any = None
    key: Any = None
    choice: Any = None
    dropout: float = static(default=0.0)
    tied: bool = static(default=False)

    def product(self, x: jax.Array, names: tuple[str, ...], contract: int, dtype: Any) -> jax.Array:
        """See models.weights.product."""
        y = product(x, self.base, names, contract, dtype)
        into, out = (*names[:contract], "rank"), ("rank", *names[contract:])
        if self.choice is not None:
            return y + self._chosen(x, contract, y.shape).astype(y.dtype)
        z = product(self._dropped(x), self.down, into, contract, dtype)
        z = (z * self.scale).astype(y.dtype)
        y = y + product(z, self.up, out, 1, dtype)
        if self.magnitude is None:
            return y
        lengths = column_lengths(self._sum(), tuple(range(contract)))
        return y * (self.magnitude / lengths).astype(y.dtype)

    def rows(self, names: tuple[str, ...], index: jax.Array) -> jax.Array:
        """See models.weights.rows."""
        plain = rows(self.base, names, index)
        if self.choice is None:
            down = rows(self.down, (names[0], "rank"), index)
            return plain + self.scale * (down @ self.up)
        which = self.choice.reshape(-1, *[1] * (index.ndim - 1))
        down = self.down[which, index] * self.scale[which][..., None]
        return plain + jnp.einsum("b...r,brd->b...d", down, self.up[self.choice])

    def array(self) -> jax.Array:
        """See models.weights.StandIn."""
        if self.choice is not None:
            raise InputError("several adapters in one batch have no one matrix")
        whole = self._sum()
        if self.magnitude is None:
            return whole
        inputs = tuple(range(self.down.ndim - 1))
        return whole * (self.magnitude / column_lengths(whole, inputs))

    def original(self) -> jax.Array:
        """See models.weights.StandIn."""
        return original(self.base)

    def output_table(self) -> jax.Array:
        """See models.weights.StandIn."""
        return self.array() if self.tied else self.original()

    def _sum(self) -> jax.Array:
        base = original(self.base)
        update = self.scale * jnp.tensordot(self.down, self.up, 1)
        return base.astype(jnp.float32) + update

    def _dropped(self, x: jax.Array) -> jax.Array:
        if self.key is None or not self.dropout:
            return x
        keep = jax.random.bernoulli(jax.random.wrap_key_data(self.key), 1 - self.dropout, x.shape)
        return jnp.where(keep, x / (1 - self.dropout), 0).astype(x.dtype)

    def _chosen(self, x: jax.Array, contract: int, shape: tuple[int, ...]) -> jax.Array:
        """The update of every row's own adapter: x [B, ..., *inputs] -> [B, ..., *outputs]."""
        fan_in = math.prod(x.shape[x.ndim - contract :])
        flat = x.reshape(x.shape[0], -1, fan_in)
        ranks = self.down.shape[-1]
        down = self.down.reshape(-1, fan_in, ranks)[self.choice].astype(x.dtype)
        up = self.up.reshape(self.up.shape[0], ranks, -1)[self.choice].astype(x.dtype)
        z = jnp.einsum("bti,bir->btr", flat, down) * self.scale[self.choice][:, None, None]
        return jnp.einsum("btr,bro->bto", z, up).reshape(shape)


def column_lengths(w: jax.Array, inputs: tuple[int, ...]) -> jax.Array:
    """Returns the lengths of the columns of a matrix over its input axes; no gradient passes."""
    return jax.lax.stop_gradient(jnp.sqrt(jnp.square(w).sum(inputs)))


def walk(adapter: Adapter, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Returns (path, leaf) of every leaf, `LowRank`s whole, by path."""
    if not isinstance(adapter, dict):
        return [(path, adapter)]
    return [found for key in sorted(adapter) for found in walk(adapter[key], (*path, key))]


def apply_to(params: Params, adapter: Adapter, change: Callable[..., Any]) -> Params:
    """Returns params with change(path, leaf, the adapter's leaf) where the adapter has one.

    Raises:
        InputError: the adapter names parameters that are not there, or of another shape.
    """
    new = params
    for path, leaf in walk(adapter):
        new = _replaced(new, path, functools.partial(_swapped, change, path, leaf), path)
    return new


def _swapped(change: Callable[..., Any], path: tuple[str, ...], leaf: Any, old: Any) -> Any:
    return change(path, old, leaf)


def _replaced(tree: Any, path: tuple[str, ...], change: Callable[[Any], Any], whole: Any) -> Any:
    if not path:
        return change(tree)
    if not isinstance(tree, dict) or path[0] not in tree:
        raise InputError(f"the adapter is for another model: there is no {'/'.join(whole)}")
    return {**tree, path[0]: _replaced(tree[path[0]], path[1:], change, whole)}


def _checked(path: tuple[str, ...], old: Any, leaf: Any) -> None:
    """Raises InputError where an update does not have its array's shape."""
    if old is None:
        raise InputError(f"the adapter is for another model: there is no {'/'.join(path)}")
    there, name = original(old).shape, "/".join(path)
    if not isinstance(leaf, LowRank):
        if leaf.shape != there:
            raise InputError(f"the adapter's {name} is {leaf.shape}, the base's {there}")
        return
    lead = int(path[0] == STACKED)
    down, up, inputs = leaf.down.shape, leaf.up.shape, leaf.down.ndim - 1
    fits = (
        down[:-1] == there[:inputs]
        and up == (*there[:lead], down[-1], *there[inputs:])
        and len(leaf.scale) == (there[0] if lead else 1)
    )
    if not fits:
        raise InputError(
            f"the adapter's {name} has down {down}, up {up} and {len(leaf.scale)} scale(s), which "
            f"do not make an update of {there}"
        )


def attach(params: Params, adapter: Adapter, key: jax.Array | None = None) -> Params:
    """Returns the parameters with the updates beside the arrays, for `transformer.apply`.

    Args:
        params: of the base; none of its arrays is changed or copied.
        key: of the dropout, in training; None: no dropout.
    """

    def change(path: tuple[str, ...], old: Any, leaf: Any) -> Any:
        _checked(path, old, leaf)
        if not isinstance(leaf, LowRank):
            return leaf
        keys = None
        if key is not None and leaf.dropout:
            own = jax.random.fold_in(key, stable(path))
            layers = path[0] == STACKED
            keys = jax.random.key_data(jax.random.split(own, len(leaf.scale)) if layers else own)
        return _beside(path, old, leaf, keys)

    return apply_to(params, adapter, change)


def _beside(path: tuple[str, ...], old: Any, leaf: LowRank, keys: Any = None) -> Adapted:
    scale = jnp.asarray(leaf.scale if path[0] == STACKED else leaf.scale[0], jnp.float32)
    return Adapted(
        old,
        leaf.down,
        leaf.up,
        scale,
        leaf.magnitude,
        keys,
        dropout=leaf.dropout,
        tied=leaf.tied,
    )


def detach(params: Params) -> tuple[Params, Adapter]:
    """Returns (base, adapter) of parameters that one adapter was attached to.

    Parameters that were trained in full stay in the base: nothing tells them from it.
    """
    leaves = flat(params)
    found = {path: leaf for path, leaf in leaves.items() if isinstance(leaf, Adapted)}
    base = nested(leaves | {path: leaf.base for path, leaf in found.items()})
    return base, nested({path: _update_of(leaf) for path, leaf in found.items()})


def _update_of(leaf: Adapted) -> LowRank:
    scale = tuple(float(s) for s in jnp.atleast_1d(leaf.scale))
    return LowRank(leaf.down, leaf.up, leaf.magnitude, scale, leaf.dropout, leaf.tied)


def merge(params: Params, adapter: Adapter, untie: bool = False) -> Params:
    """Returns plain parameters that act as the base with the adapter; summed in float32.

    The way back is to keep the base: subtracting the update again is not exact.

    Args:
        untie: where the output map is the embedding and that is adapted, give the output map a
            table of its own (the base's); the configuration is then that of `untied`.
    Raises:
        InputError: a tied embedding is adapted, which acts on what is read alone, and not `untie`;
            an adapter of another model.
    """
    table = adapter.get("embedding")
    tied = isinstance(table, LowRank) and not table.tied and "output" not in params
    if tied and not untie:
        raise InputError(
            "the embedding is adapted and tied to the output map: merging would change both; "
            "merge with untie=True (model.tied = False), or keep the adapter beside the base"
        )

    def change(path: tuple[str, ...], old: Any, leaf: Any) -> Any:
        _checked(path, old, leaf)
        if not isinstance(leaf, LowRank):
            return leaf
        beside = _beside(path, old, leaf)
        form = jax.vmap(Adapted.array) if path[0] == STACKED else Adapted.array
        return form(beside).astype(original(old).dtype)

    merged = apply_to(params, adapter, change)
    return {**merged, "output": {"kernel": params["embedding"].T}} if tied else merged


def mix(params: Params, adapters: Sequence[Adapter], choice: jax.Array) -> Params:
    """Returns the parameters with several adapters beside them, one for each row of a batch.

    Args:
        choice: int32[B], which adapter the rows of a batch use; B is then fixed.
    Raises:
        InputError: DoRA or parameters trained in full, which have no such form.
    """
    found = [dict(walk(adapter)) for adapter in adapters]
    shapes = {path: leaf for leaves in found for path, leaf in leaves.items()}
    mixed = params
    for path, like in sorted(shapes.items()):
        leaves = [leaves.get(path) for leaves in found]
        if any(x is not None and not _plain(x) for x in leaves):
            raise InputError(
                f"several adapters in one batch: {'/'.join(path)} is DoRA, tied or trained in full"
            )
        rank = max(x.down.shape[-1] for x in leaves if x is not None)
        stacked = path[0] == STACKED
        parts = [_padded(x if x is not None else _nothing(like), rank, stacked) for x in leaves]
        down, up, scale = (jnp.stack(each, axis=int(stacked)) for each in zip(*parts, strict=True))
        scale = scale if stacked else scale[:, 0]
        chosen = jnp.broadcast_to(choice, (*down.shape[: int(stacked)], *choice.shape))
        _checked(path, at(mixed, path), like)
        beside = Adapted(at(mixed, path), down, up, scale, choice=chosen)
        mixed = apply_to(mixed, nested({path: like}), functools.partial(_put, beside))
    return mixed


def _put(new: Any, *_: Any) -> Any:
    return new


def _plain(leaf: Any) -> bool:
    return isinstance(leaf, LowRank) and leaf.magnitude is None and not leaf.tied


def _nothing(like: LowRank) -> LowRank:
    return jax.tree.map(jnp.zeros_like, like)


def _padded(leaf: LowRank, rank: int, stacked: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
    """down, up with more rank, and [1 or L] scales."""
    more = rank - leaf.down.shape[-1]
    down = jnp.pad(leaf.down, [(0, 0)] * (leaf.down.ndim - 1) + [(0, more)])
    ranks = int(stacked)
    up = jnp.pad(leaf.up, [(0, more if i == ranks else 0) for i in range(leaf.up.ndim)])
    return down, up, jnp.asarray(leaf.scale, jnp.float32)


def stable(path: Sequence[str]) -> int:
    """A number for a path, the same in every process and version."""
    return zlib.crc32("/".join(path).encode())


def size(adapter: Adapter) -> int:
    """Number of trained numbers (of padded ranks too)."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(adapter))
