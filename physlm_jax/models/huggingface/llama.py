"""Llama, and Mistral: RMSNorm, gated MLP, rotary positions, grouped heads; Mistral's window."""

import dataclasses
from typing import Any

from physlm_jax.errors import InputError
from physlm_jax.models.huggingface.layout import Module
from physlm_jax.models.huggingface.settings import Settings, differing
from physlm_jax.models.transformer import TransformerConfig

PREFIX = "model."
HEAD = "lm_head"
BUFFERS = r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq"


def read_llama(s: Settings) -> TransformerConfig:
    """Returns the configuration of a Llama's `config.json`.

    Raises:
        InputError: what is not implemented.
    """
    attention, mlp = bool(s.get("attention_bias", False)), bool(s.get("mlp_bias", False))
    config = _read(s, s.whole("num_key_value_heads", s.whole("num_attention_heads")))
    return dataclasses.replace(
        config, bias=mlp, attention_bias=None if attention == mlp else attention
    )


def read_mistral(s: Settings) -> TransformerConfig:
    """Returns the configuration of a Mistral's `config.json`.

    Raises:
        InputError: what is not implemented.
    """
    for kind in s.get("layer_types", []):
        if kind != "sliding_attention":
            raise InputError(f"{s.path}: layer_types with '{kind}' are not implemented")
    # null is a value of its own here: no window
    window = s.whole("sliding_window", 4096) if s.values.get("sliding_window", 4096) else 0
    return dataclasses.replace(_read(s, s.whole("num_key_value_heads")), window=window)


def _read(s: Settings, kv_heads: int) -> TransformerConfig:
    s.only("hidden_act", "silu")
    width, heads = s.whole("hidden_size"), s.whole("num_attention_heads")
    size = s.whole("head_dim", width // heads)
    base, fraction = s.rotary("rope_theta", "partial_rotary_factor", 1.0)
    if fraction != 1:
        raise InputError(f"{s.path}: partial_rotary_factor = {fraction} is not implemented")
    return TransformerConfig(
        vocab_size=s.whole("vocab_size"),
        max_length=s.whole("max_position_embeddings"),
        layers=s.whole("num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=0 if kv_heads == heads else kv_heads,
        head_dim=0 if size * heads == width else size,
        rotary_base=base,
        norm="rmsnorm",
        norm_epsilon=s.number("rms_norm_eps", 1e-6),
        mlp="gated",
        mlp_ratio=s.whole("intermediate_size") / width,
        bias=False,
        tied=bool(s.get("tie_word_embeddings", False)),
        init_std=s.number("initializer_range", 0.02),
    )


def write_llama(c: TransformerConfig) -> dict[str, Any]:
    """Returns the values of a Llama's `config.json`."""
    return {**_write(c), "attention_bias": c.biased_attention, "mlp_bias": c.bias}


def write_mistral(c: TransformerConfig) -> dict[str, Any]:
    """Returns the values of a Mistral's `config.json`."""
    return {**_write(c), "sliding_window": c.window or None}


def _write(c: TransformerConfig) -> dict[str, Any]:
    """Values that both have, the rotary base under its old and its new name."""
    return {
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.max_length,
        "num_hidden_layers": c.layers,
        "hidden_size": c.width,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.key_heads,
        "head_dim": c.head_size,
        "intermediate_size": c.hidden,
        "hidden_act": "silu",
        "rms_norm_eps": c.norm_epsilon,
        "tie_word_embeddings": c.tied,
        "initializer_range": c.init_std,
        "rope_theta": c.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": c.rotary_base},
    }


def llama_objections(c: TransformerConfig) -> list[str]:
    """Returns what of a configuration a Llama cannot hold."""
    return [*_objections(c), *differing(c, windowed=(False,))]


def mistral_objections(c: TransformerConfig) -> list[str]:
    """Returns what of a configuration a Mistral cannot hold."""
    return [*_objections(c), *differing(c, bias=(False,), biased_attention=(False,))]


def _objections(c: TransformerConfig) -> list[str]:
    return differing(
        c,
        position=("rotary",),
        rotated=(c.head_size,),
        norm=("rmsnorm",),
        mlp=("gated",),
        causal=(True,),
        parallel=(False,),
    )


def express(c: TransformerConfig) -> TransformerConfig:
    """Returns the configuration: these families have nothing that ours may lack."""
    return c


def modules(c: TransformerConfig) -> list[Module]:
    """Returns the modules of a model."""
    block, attention, mlp = "model.layers.{}.", ("blocks", "attention"), ("blocks", "mlp")
    found = [
        Module("model.embed_tokens", "table", (("embedding",),)),
        Module(block + "input_layernorm", "norm", (("blocks", "attention_norm"),)),
        Module(block + "self_attn.q_proj", "linear", ((*attention, "query"),)),
        Module(block + "self_attn.k_proj", "linear", ((*attention, "key"),)),
        Module(block + "self_attn.v_proj", "linear", ((*attention, "value"),)),
        Module(block + "self_attn.o_proj", "linear", ((*attention, "out"),), inputs=2),
        Module(block + "post_attention_layernorm", "norm", (("blocks", "mlp_norm"),)),
        Module(block + "mlp.gate_proj", "linear", ((*mlp, "gate"),)),
        Module(block + "mlp.up_proj", "linear", ((*mlp, "up"),)),
        Module(block + "mlp.down_proj", "linear", ((*mlp, "down"),)),
        Module("model.norm", "norm", (("final_norm",),)),
    ]
    return found if c.tied else [*found, Module(HEAD, "linear", (("output",),))]
