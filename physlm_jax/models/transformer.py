"""One transformer for all the papers' variants, chosen by configuration.

Pre-norm blocks on a residual stream (GPT-2), or attention and MLP in parallel (GPT-NeoX); a mixture
of experts may take the MLP's place. The layers' parameters are stacked along a leading "layers"
axis, one layout on disk and in memory, and run by `jax.lax.scan`; `unroll` says how far. Modules
are built once for their structure; all use is through pure functions of a plain nested dict of
parameters: `init`, `apply`, `axes`.

Shapes: B batch, T length, D model, H heads, G key/value heads, K head size, F hidden, V vocabulary,
L layers.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from physlm_jax.errors import InputError
from physlm_jax.models import attention
from physlm_jax.models.configuration import TransformerConfig
from physlm_jax.models.experts import Experts, Use
from physlm_jax.models.layers import Linear, Mlp, Norm, normal, parameter
from physlm_jax.models.paths import flat
from physlm_jax.models.weights import array, output_table, rows
from physlm_jax.parallel.mesh import constrain, gathered

Params = dict[str, Any]


class Cache(NamedTuple):
    """Keys and values of the places seen so far: for each of the L layers, [B, G, S, K].

    One array per layer, the layers not scanned: a loop that carries the cache then writes one place
    and leaves the rest where it is, which a stacked array through a scan would copy at every step.
    """

    k: tuple[jax.Array, ...]
    v: tuple[jax.Array, ...]


class Output(NamedTuple):
    """What a forward pass returns; all but logits and use only when asked for.

    Attributes:
        logits: float32[B, T, V]; None when `final` was asked for instead.
        final: [B, T, D] after the final norm, what the output map reads.
        hidden: [L + 1, B, T, D] residual stream: embeddings, then after each block (before the
            final norm).
        attention: float32[L, B, H, T, S].
        cache: the cache with this call's keys and values written.
        use: of the experts, float32[L] each; None for a model without.
    """

    logits: Any
    hidden: jax.Array | None = None
    attention: jax.Array | None = None
    cache: Cache | None = None
    final: jax.Array | None = None
    use: Use | None = None


class Attention(nnx.Module):
    """Grouped-query self-attention with its four projections."""

    def __init__(self, c: TransformerConfig, key: jax.Array) -> None:
        q, k, v, o = jax.random.split(key, 4)
        make = functools.partial(Linear, bias=c.biased_attention, dtype=jnp.dtype(c.dtype))
        embed, heads = {"embed": c.width}, {"heads": c.heads, "head_dim": c.head_size}
        kv_heads = {"kv_heads": c.key_heads, "head_dim": c.head_size}
        self.query = make(embed, heads, std=c.init_std, key=q)
        self.key = make(embed, kv_heads, std=c.init_std, key=k)
        self.value = make(embed, kv_heads, std=c.init_std, key=v)
        self.out = make(heads, embed, std=c.init_std / (2 * c.layers) ** 0.5, key=o)
        self.backend, self.platform = c.attention, c.platform

    def __call__(
        self,
        x_BTD: jax.Array,
        angles: jax.Array | None,
        visibility: attention.Visibility,
        cache: tuple[jax.Array, jax.Array] | None,
        with_weights: bool,
    ) -> tuple[jax.Array, jax.Array | None, tuple[jax.Array, jax.Array] | None]:
        q_BTHK, k_BTGK, v_BTGK = self.query(x_BTD), self.key(x_BTD), self.value(x_BTD)
        if angles is not None:
            q_BTHK, k_BTGK = attention.rotate(q_BTHK, angles), attention.rotate(k_BTGK, angles)
        q_BTHK = constrain(q_BTHK, "batch", "length", "heads", None)
        k_BTGK, v_BTGK = (
            constrain(x, "batch", "length", "kv_heads", None) for x in (k_BTGK, v_BTGK)
        )
        if cache is not None:
            start = (0, 0, visibility.query_start, 0)
            k_BGSK, v_BGSK = (
                jax.lax.dynamic_update_slice(old, new.swapaxes(1, 2).astype(old.dtype), start)
                for old, new in zip(cache, (k_BTGK, v_BTGK), strict=True)
            )
            mixed, weights = attention.cached(q_BTHK, k_BGSK, v_BGSK, visibility, with_weights)
            return self.out(mixed), weights, (k_BGSK, v_BGSK)
        mixed, weights = attention.attend(
            q_BTHK,
            k_BTGK,
            v_BTGK,
            visibility,
            backend=self.backend,
            platform=self.platform,
            with_weights=with_weights,
        )
        return self.out(mixed), weights, None


class Block(nnx.Module):
    """One layer: attention and MLP around the residual stream."""

    def __init__(self, c: TransformerConfig, key: jax.Array) -> None:
        attend, mlp = jax.random.split(key)
        norm = functools.partial(Norm, c.width, kind=c.norm, epsilon=c.norm_epsilon, bias=c.bias)
        self.attention_norm = norm()
        self.attention = Attention(c, attend)
        self.parallel = c.parallel
        self.mlp_norm = norm() if c.mlp != "none" else None
        self.mlp = _mlp(c, mlp)

    def __call__(
        self, x_BTD: jax.Array, experts: tuple[int, jax.Array | None], *args: Any
    ) -> tuple[jax.Array, Any, Any, Use | None]:
        """Args: experts: the last two of `Experts.__call__`.  args: the last four of attention."""
        mixed, weights, cache = self.attention(self.attention_norm(x_BTD), *args)
        after, use = x_BTD + mixed, None
        if self.mlp is not None and self.mlp_norm is not None:
            source = self.mlp_norm(x_BTD if self.parallel else after)
            if isinstance(self.mlp, Experts):
                more, use = self.mlp(source, *experts)
            else:
                more = self.mlp(source)
            after = after + more
        return constrain(after, "batch", "length", None), weights, cache, use


def _mlp(c: TransformerConfig, key: jax.Array) -> Mlp | Experts | None:
    if c.mlp == "none":
        return None
    out_std = c.init_std / (2 * c.layers) ** 0.5
    shared: dict[str, Any] = {"std": c.init_std, "out_std": out_std, "bias": c.bias, "key": key}
    shared["dtype"] = jnp.dtype(c.dtype)
    if c.mlp == "experts":
        chosen = c.experts_per_token
        return Experts(c.width, c.hidden, experts=c.experts, chosen=chosen, **shared)
    return Mlp(c.width, c.hidden, kind=c.mlp, **shared)


class Transformer(nnx.Module):
    """Embedding, L stacked blocks, final norm, output map."""

    def __init__(self, c: TransformerConfig, key: jax.Array) -> None:
        embed, places, blocks, out = jax.random.split(key, 4)
        self.c = c
        std = c.embedding_std or c.init_std
        self.embedding = parameter(normal(embed, (c.vocab_size, c.width), std), "vocab", "embed")
        self.positions = (
            parameter(normal(places, (c.max_length, c.width), std), "position", "embed")
            if c.position == "learned"
            else None
        )

        @nnx.vmap(transform_metadata={nnx.PARTITION_NAME: "layers"})
        def stack(key: jax.Array) -> Block:
            return Block(c, key)

        self.blocks = stack(jax.random.split(blocks, c.layers))
        self.final_norm = Norm(c.width, kind=c.norm, epsilon=c.norm_epsilon, bias=c.bias)
        self.output = (
            None
            if c.tied
            else Linear(
                {"embed": c.width},
                {"vocab": c.vocab_size},
                std=c.init_std,
                bias=False,
                dtype=jnp.dtype(c.dtype),
                key=out,
            )
        )

    def embed(self, tokens_BT: jax.Array, places: jax.Array) -> jax.Array:
        """[B, T, D]: token embeddings plus learned positions."""
        x = self._look_up(self.embedding, "vocab", tokens_BT)
        if self.positions is not None:
            x = x + self._look_up(self.positions, "position", places)
        return constrain(x, "batch", "length", None)

    def _look_up(self, table: nnx.Param, axis: str, index: jax.Array) -> jax.Array:
        return rows(table.get_value(), (axis, "embed"), index).astype(self.c.dtype)

    def unembed(self, x_BTD: jax.Array) -> jax.Array:
        """float32[B, T, V]: logits of the normed final residual stream."""
        if self.output is not None:
            return self.output(x_BTD).astype(jnp.float32)
        table = output_table(self.embedding.get_value())
        embedding = gathered(table, ("vocab", "embed"), jnp.dtype(self.c.dtype))
        return jnp.einsum("btd,vd->btv", x_BTD, embedding, preferred_element_type=jnp.float32)

    def __call__(
        self,
        tokens_BT: jax.Array,
        positions: jax.Array | None,
        visibility: attention.Visibility,
        cache: Cache | None,
        hidden: bool,
        weights: bool,
        logits: bool,
        train: bool,
        counted: jax.Array | None,
    ) -> Output:
        c, experts = self.c, (self.c.room(tokens_BT.shape[1], train), counted)
        if positions is None:
            positions = jnp.arange(tokens_BT.shape[1]) + visibility.query_start
        angles = _angles(c, positions)
        graph, stacked = nnx.split(self.blocks)

        def layer(x: jax.Array, inputs: Any) -> tuple[jax.Array, Any]:
            block = nnx.merge(graph, inputs[0])
            after, seen, written, use = block(x, experts, angles, visibility, inputs[1], weights)
            return after, (after if hidden else None, seen, written, use)

        layer = _rematerialise(layer, c.remat)
        x_BTD = self.embed(tokens_BT, positions)
        run = _scanned if cache is None else _unrolled
        last, (after, seen, written, use) = run(layer, x_BTD, (stacked, cache), c)
        final = self.final_norm(last)
        return Output(
            self.unembed(final) if logits else None,
            jnp.concatenate([x_BTD[None], after]) if hidden else None,
            seen if weights else None,
            written,
            None if logits else final,
            use,
        )


def _angles(c: TransformerConfig, positions: jax.Array) -> jax.Array | None:
    """What the rotary embedding turns queries and keys by; None where it turns nothing."""
    if c.position != "rotary" or not c.rotated:
        return None
    return attention.rotary_angles(positions, c.rotated, c.rotary_base)


def _scanned(layer: Any, x_BTD: jax.Array, inputs: Any, c: TransformerConfig) -> Any:
    """Runs the layers by `jax.lax.scan`."""
    return jax.lax.scan(layer, x_BTD, inputs, unroll=c.unroll or c.layers)


def _unrolled(layer: Any, x: jax.Array, inputs: Any, c: TransformerConfig) -> Any:
    """Runs the layers one by one, each on its own arrays of the cache; returns as `_scanned`."""
    stacked, cache = inputs
    outputs = []
    for i, old in enumerate(zip(*cache, strict=True)):
        x, output = layer(x, (jax.tree.map(lambda leaf, i=i: leaf[i], stacked), old))
        outputs.append(output)
    after, seen, written, use = zip(*outputs, strict=True)
    stack = functools.partial(jax.tree.map, lambda *leaves: jnp.stack(leaves))
    return x, (stack(*after), stack(*seen), Cache(*zip(*written, strict=True)), stack(*use))


def _rematerialise(layer: Any, policy: str) -> Any:
    if policy == "none":
        return layer
    keep = jax.checkpoint_policies.dots_with_no_batch_dims_saveable if policy == "dots" else None
    return jax.checkpoint(layer, policy=keep, prevent_cse=False)


@functools.cache
def _structure(config: TransformerConfig) -> tuple[Any, Any]:
    """(graph definition, abstract state) of the module: traced once per configuration."""
    return nnx.split(nnx.eval_shape(lambda: Transformer(config, jax.random.key(0))))


@functools.cache
def _block_structure(config: TransformerConfig) -> Any:
    """Graph definition of one layer."""
    return nnx.split(nnx.eval_shape(lambda: Block(config, jax.random.key(0))))[0]


def init(config: TransformerConfig, key: jax.Array) -> Params:
    """Returns fresh parameters as a plain nested dict of float32 arrays (traceable)."""
    return nnx.to_pure_dict(nnx.state(Transformer(config, key)))


def abstract(config: TransformerConfig) -> Params:
    """Returns the shapes and dtypes of `init`'s result without computing it."""
    return nnx.to_pure_dict(_structure(config)[1])


def axes(config: TransformerConfig) -> Params:
    """Returns, for each parameter, the tuple of logical names of its axes."""
    named = [(path, v.out_sharding) for path, v in nnx.to_flat_state(_structure(config)[1])]
    return nnx.traversals.unflatten_mapping({path: tuple(names) for path, names in named})


def empty_cache(config: TransformerConfig, batch: int, length: int) -> Cache:
    """Returns a cache of zeros for `batch` rows of up to `length` places."""
    shape = (batch, config.key_heads, length, config.head_size)
    zeros = tuple(jnp.zeros(shape, config.dtype) for _ in range(config.layers))
    return Cache(zeros, zeros)


def apply(
    config: TransformerConfig,
    params: Params,
    tokens_BT: jax.Array,
    *,
    positions: jax.Array | None = None,
    segment_ids: jax.Array | None = None,
    cache: Cache | None = None,
    start: int | jax.Array = 0,
    visible: jax.Array | None = None,
    hidden: bool = False,
    weights: bool = False,
    logits: bool = True,
    train: bool = False,
    counted: jax.Array | None = None,
) -> Output:
    """Runs the model on int32[B, T] tokens; pure, to be jitted by the caller.

    Args:
        params: nested dict as of `init`.
        positions: int32[T] or [B, T] fed to the position embedding; default start, start + 1, ...
        segment_ids: int32[B, T]; tokens of different segments do not see each other. None for a
            stream without borders. Not together with a cache.
        cache: keys and values of places 0..start-1; this call writes start..start+T-1.
        start: place of the first token in the row (static or traced scalar).
        visible: bool[B, T, S], which places each token sees, its own among them: of the cache, or
            of the row (S = T). None for all up to its own, within the window.
        hidden, weights: also return the residual stream, the attention maps.
        logits: False to return `final` instead of them.
        train: experts have the capacity of training, which drops more than that of evaluation.
        counted: float32[B, T], how much each token counts in `use`; None: all the same. What
            experts do with a token does not depend on it.
    Returns:
        Output; parts that were not asked for are None and cost nothing.
    """
    if cache is not None and segment_ids is not None:
        raise InputError("segment_ids and a cache exclude each other")
    if visible is not None and segment_ids is not None:
        raise InputError("segment_ids and visible exclude each other")
    model = nnx.merge(_structure(config)[0], params)
    visibility = attention.Visibility(config.causal, start, segment_ids, config.window, visible)
    return model(tokens_BT, positions, visibility, cache, hidden, weights, logits, train, counted)


def embed(config: TransformerConfig, params: Params, tokens_BT: jax.Array) -> jax.Array:
    """Returns [B, T, D], what the first layer reads of int32[B, T] tokens at places 0..T-1."""
    model = nnx.merge(_structure(config)[0], params)
    return model.embed(tokens_BT, jnp.arange(tokens_BT.shape[1]))


def layer(config: TransformerConfig, block: Params, x_BTD: jax.Array) -> jax.Array:
    """Returns [B, T, D], the residual stream after one layer, for work that goes layer by layer.

    Args:
        block: that layer's parameters, those of `params["blocks"]` without their leading axis.
        x_BTD: the residual stream before it, of rows without segments at places 0..T-1.
    """
    angles = _angles(config, jnp.arange(x_BTD.shape[1]))
    visibility = attention.Visibility(config.causal, window=config.window)
    experts = (config.room(x_BTD.shape[1], train=False), None)
    run = nnx.merge(_block_structure(config), block)
    return run(x_BTD, experts, angles, visibility, None, False)[0]


def output_map(config: TransformerConfig, params: Params) -> jax.Array:
    """Returns [V, D] in the compute dtype: what `Output.final` is multiplied with for logits."""
    dtype = jnp.dtype(config.dtype)
    if "output" in params:
        return gathered(array(params["output"]["kernel"]), ("embed", "vocab"), dtype).T
    return gathered(output_table(params["embedding"]), ("vocab", "embed"), dtype)


def for_platform(
    config: TransformerConfig, platform: str, *, segmented: bool = False, population: bool = False
) -> TransformerConfig:
    """Returns the config with its attention back end settled for the devices it is compiled for.

    Args:
        platform: of those devices ("cpu", "gpu", "tpu"), which need not be here.
        segmented: rows of `max_length` tokens hold segments that must not see each other.
        population: the whole model will be vmapped.
    Raises:
        InputError: an explicit back end that cannot be honoured; see `attention.resolve`.
    """
    variant = attention.Variant(
        dtype=config.dtype,
        head_size=config.head_size,
        heads=config.heads,
        key_heads=config.key_heads,
        queries=config.max_length,
        keys=config.max_length,
        asks=attention.asked(
            causal=config.causal,
            segmented=segmented,
            mapped=population,
            windowed=config.windowed,
        ),
    )
    chosen = attention.resolve(config.attention, platform, variant)
    return dataclasses.replace(config, attention=chosen, platform=platform)


def parameter_count(config: TransformerConfig) -> int:
    """Number of trained numbers, embeddings included."""
    return sum(leaf.size for leaf in jax.tree.leaves(abstract(config)))


def train_flops_per_token(config: TransformerConfig, length: int) -> float:
    """Floating-point operations of forward and backward per token: 6 N + 12 L T H K.

    N: parameters used in matrix products (see `multiplied`); no discount for the causal half, the
    convention of PaLM's appendix B for model FLOPs utilisation.
    """
    attention = 12 * config.layers * length * config.heads * config.head_size
    return 6 * multiplied(config, length) + attention


def multiplied(config: TransformerConfig, length: int) -> float:
    """Number of parameters that a token of a row is multiplied with in training.

    The output map included, look-ups not. Of M experts those count whose places are computed, full
    or empty: M C / T of them a token.
    """
    lookups = config.vocab_size * (0 if config.tied else config.width)
    if config.position == "learned":
        lookups += config.max_length * config.width
    used = parameter_count(config) - lookups
    if config.mlp != "experts":
        return used
    names = flat(axes(config))
    stacks = [x for path, x in flat(abstract(config)).items() if "expert" in names[path]]
    each = sum(x.size for x in stacks) / config.experts
    return used - each * config.experts * (1 - config.room(length, True) / length)
