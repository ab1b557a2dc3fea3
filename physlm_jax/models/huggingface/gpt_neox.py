"""GPT-NeoX: rotary positions on a part of each head, attention and MLP in parallel or in turn.

A GPT-2 with rotary positions, the papers' usual model, is one with `use_parallel_residual` false.
"""

import dataclasses
from typing import Any

from physlm_jax.errors import InputError
from physlm_jax.models.huggingface.layout import Module
from physlm_jax.models.huggingface.settings import Settings, differing
from physlm_jax.models.transformer import TransformerConfig

PREFIX = "gpt_neox."
HEAD = "embed_out"
RENAMED = "lm_head"  # the same module in transformers 5
ARCHITECTURE = "GPTNeoXForCausalLM"
BUFFERS = r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)"


def read(s: Settings) -> TransformerConfig:
    """Returns the configuration of a `config.json`.

    Raises:
        InputError: what is not implemented.
    """
    width, heads = s.whole("hidden_size"), s.whole("num_attention_heads")
    base, fraction = s.rotary("rotary_emb_base", "rotary_pct", 0.25)
    turned = int(width // heads * fraction)
    if turned % 2 or not turned:
        raise InputError(
            f"{s.path}: rotary_pct = {fraction} turns {turned} dimensions of a head of "
            f"{width // heads}; only an even number is implemented"
        )
    return TransformerConfig(
        vocab_size=s.whole("vocab_size"),
        max_length=s.whole("max_position_embeddings"),
        layers=s.whole("num_hidden_layers"),
        width=width,
        heads=heads,
        rotary_fraction=fraction,
        rotary_base=base,
        norm_epsilon=s.number("layer_norm_eps", 1e-5),
        mlp=s.activation("hidden_act", "gelu"),
        mlp_ratio=s.whole("intermediate_size") / width,
        attention_bias=None if s.get("attention_bias", True) else False,
        tied=bool(s.get("tie_word_embeddings", False)),
        parallel=bool(s.get("use_parallel_residual", True)),
        init_std=s.number("initializer_range", 0.02),
    )


def write(c: TransformerConfig) -> dict[str, Any]:
    """Returns the values of a `config.json`, with rotary settings under old and new names."""
    fraction = c.rotary_fraction
    if int(c.head_size * fraction) != c.rotated:
        fraction = (c.rotated + 0.5) / c.head_size
    return {
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.max_length,
        "num_hidden_layers": c.layers,
        "hidden_size": c.width,
        "num_attention_heads": c.heads,
        "intermediate_size": c.hidden,
        "hidden_act": "gelu_new" if c.mlp == "gelu" else "gelu",
        "layer_norm_eps": c.norm_epsilon,
        "attention_bias": c.biased_attention,
        "use_parallel_residual": c.parallel,
        "tie_word_embeddings": c.tied,
        "initializer_range": c.init_std,
        "rotary_pct": fraction,
        "rotary_emb_base": c.rotary_base,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": c.rotary_base,
            "partial_rotary_factor": fraction,
        },
    }


def objections(c: TransformerConfig) -> list[str]:
    """Returns what of a configuration this family cannot hold."""
    found = differing(
        c,
        position=("rotary",),
        norm=("layernorm",),
        mlp=("gelu", "gelu_exact"),
        causal=(True,),
        windowed=(False,),
        key_heads=(c.heads,),
        head_size=(c.width / c.heads,),
    )
    return found if c.rotated else [*found, f"rotary_fraction={c.rotary_fraction}"]


def express(c: TransformerConfig) -> TransformerConfig:
    """Returns the same function with the biases that this family always has."""
    return dataclasses.replace(c, bias=True, attention_bias=None if c.biased_attention else False)


def modules(c: TransformerConfig) -> list[Module]:
    """Returns the modules of a model."""
    block, attention, mlp = "gpt_neox.layers.{}.", ("blocks", "attention"), ("blocks", "mlp")
    qkv = tuple((*attention, name) for name in ("query", "key", "value"))
    found = [
        Module("gpt_neox.embed_in", "table", (("embedding",),)),
        Module(block + "input_layernorm", "norm", (("blocks", "attention_norm"),)),
        Module(block + "attention.query_key_value", "linear", qkv, by_head=True),
        Module(block + "attention.dense", "linear", ((*attention, "out"),), inputs=2),
        Module(block + "post_attention_layernorm", "norm", (("blocks", "mlp_norm"),)),
        Module(block + "mlp.dense_h_to_4h", "linear", ((*mlp, "up"),)),
        Module(block + "mlp.dense_4h_to_h", "linear", ((*mlp, "down"),)),
        Module("gpt_neox.final_layer_norm", "norm", (("final_norm",),)),
    ]
    head = Module(HEAD, "linear", (("output",),), renamed=RENAMED)
    return found if c.tied else [*found, head]
