"""Sizes and variants of the transformer, checked."""

import dataclasses

from physlm_jax.errors import InputError, unknown
from physlm_jax.models import attention
from physlm_jax.models.dispatch import capacity

POSITIONS = ("rotary", "learned", "none")
NORMS = ("layernorm", "rmsnorm")
MLPS = ("gelu", "gelu_exact", "silu", "gated", "experts", "none")
REMATS = ("none", "dots", "full")
SPARED = 32  # tokens of a row that an expert always has room for in evaluation: see `room`


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """Sizes and variants; every field is a plain value so that a config file can hold it.

    Attributes:
        vocab_size: V.  max_length: longest row (learned positions, KV cache).
        layers, width, heads: L, D, H.  kv_heads: G, 0 for H.  head_dim: K, 0 for D / H.
        position: "rotary" on the first `rotary_fraction` of each head with base `rotary_base`;
            "learned" absolute embeddings; "none".
        norm: "layernorm" or "rmsnorm" with `norm_epsilon`.
        mlp: "gelu" (its tanh form), "gelu_exact" (by the error function), "silu", "gated" (by
            silu), "experts" (a mixture of "gelu" ones, see models.experts) or "none", with
            `mlp_ratio` * D hidden units.
        bias: biases in linear maps and LayerNorm.  attention_bias: in the linear maps of attention,
            where that differs from `bias`; None: it does not.
        tied: the output map is the embedding.
        causal: decoder or encoder.  window: tokens that a token attends to, itself and those before
            it; 0: all.  parallel: attention and MLP read the same residual (NeoX).
        init_std: of all weights; maps into the residual stream get init_std / sqrt(2 L).
        embedding_std: of token embeddings and learned positions; 0: init_std. Where it is small,
            the steps of Adam blur names into one another (docs/igsm.md).
        dtype: of activations ("float32", "bfloat16"); parameters and softmax are float32.
        unroll: layers per iteration of the scan, 0 for all (fastest, compiles slowest).
        remat: what the backward pass recomputes: "none", all but matrix products ("dots"), "full".
        attention: back end, see models.attention.BACKENDS; "auto" is the platform's fastest.
        platform: of the devices compiled for, as `for_platform` sets it; "" for JAX's default.
        experts: M of mlp "experts".  experts_per_token: k of them that every token uses.
        capacity_factor, eval_capacity_factor: c, in training and elsewhere: an expert takes at most
            c / M of each row's tokens, see `room`.
        balance: what the load-balancing loss of every layer is multiplied with in training.
    """

    vocab_size: int
    max_length: int
    layers: int
    width: int
    heads: int
    kv_heads: int = 0
    head_dim: int = 0
    position: str = "rotary"
    rotary_fraction: float = 1.0
    rotary_base: float = 10000.0
    norm: str = "layernorm"
    norm_epsilon: float = 1e-5
    mlp: str = "gelu"
    mlp_ratio: float = 4.0
    bias: bool = True
    tied: bool = True
    causal: bool = True
    parallel: bool = False
    init_std: float = 0.02
    embedding_std: float = 0.0
    dtype: str = "float32"
    unroll: int = 0
    remat: str = "none"
    attention: str = "auto"
    platform: str = ""
    attention_bias: bool | None = None
    window: int = 0
    experts: int = 32
    experts_per_token: int = 1
    capacity_factor: float = 2.0
    eval_capacity_factor: float = 8.0
    balance: float = 0.01

    def __post_init__(self) -> None:
        for field, allowed in (
            ("position", POSITIONS),
            ("norm", NORMS),
            ("mlp", MLPS),
            ("remat", REMATS),
            ("attention", attention.BACKENDS),
            ("dtype", ("float32", "bfloat16")),
        ):
            if getattr(self, field) not in allowed:
                raise unknown(f"model.{field}", getattr(self, field), allowed)
        for field in ("vocab_size", "max_length", "layers", "width", "heads"):
            if getattr(self, field) < 1:
                raise InputError(f"model.{field} must be at least 1, got {getattr(self, field)}")
        for field in ("kv_heads", "head_dim", "unroll", "norm_epsilon"):
            if not getattr(self, field) >= 0:
                raise InputError(f"model.{field} must be at least 0, got {getattr(self, field)}")
        if not 0 <= self.rotary_fraction <= 1 or not self.rotary_base > 0:
            raise InputError(
                "model.rotary_fraction must be in 0..1 and model.rotary_base above 0, got "
                f"{self.rotary_fraction} and {self.rotary_base}"
            )
        if self.mlp != "none" and not self.hidden >= 1:
            raise InputError(f"model.mlp_ratio must give a hidden unit, got {self.mlp_ratio}")
        if not self.head_dim and self.width % self.heads:
            raise InputError(
                f"model.width {self.width} is not a multiple of model.heads {self.heads}; "
                "change one or set model.head_dim"
            )
        if self.heads % self.key_heads:
            raise InputError(
                f"model.heads {self.heads} is not a multiple of model.kv_heads {self.kv_heads}"
            )
        if self.window < 0 or (self.window and not self.causal):
            raise InputError(
                f"model.window must be 0 or a number of tokens of a causal model, got {self.window}"
            )
        for field in ("init_std", "embedding_std"):
            if not getattr(self, field) >= 0:
                raise InputError(f"model.{field} must not be negative, got {getattr(self, field)}")
        self._check_experts()

    def _check_experts(self) -> None:
        if self.experts < 1:
            raise InputError(f"model.experts must be at least 1, got {self.experts}")
        if not 1 <= self.experts_per_token <= self.experts:
            raise InputError(
                f"model.experts_per_token must be in 1..{self.experts} (model.experts), got "
                f"{self.experts_per_token}"
            )
        for field, least in (("capacity_factor", 1), ("eval_capacity_factor", 1), ("balance", 0)):
            if not getattr(self, field) >= least:
                raise InputError(
                    f"model.{field} must be at least {least}, got {getattr(self, field)}"
                )

    @property
    def key_heads(self) -> int:
        """G: number of key/value heads."""
        return self.kv_heads or self.heads

    @property
    def head_size(self) -> int:
        """K: dimensions of one head."""
        return self.head_dim or self.width // self.heads

    @property
    def hidden(self) -> int:
        """F: hidden units of the MLP."""
        return round(self.mlp_ratio * self.width)

    def room(self, length: int, train: bool) -> int:
        """C: the most tokens that an expert takes of a row of `length` of them.

        Outside training at least `SPARED`, so that what is decoded step by step, beams side by side
        and short prompts lose nothing.
        """
        if train:
            return capacity(length, self.experts, self.capacity_factor)
        return capacity(length, self.experts, self.eval_capacity_factor, SPARED)

    @property
    def biased_attention(self) -> bool:
        """Attention's linear maps have biases."""
        return self.bias if self.attention_bias is None else self.attention_bias

    @property
    def windowed(self) -> bool:
        """There are rows in which a token does not attend to all before it."""
        return 0 < self.window < self.max_length

    @property
    def rotated(self) -> int:
        """Dimensions of each head that the rotary embedding turns (even)."""
        return 2 * int(self.head_size * self.rotary_fraction / 2)
