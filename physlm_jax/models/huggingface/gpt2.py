"""GPT-2: learned positions, pre-norm LayerNorm blocks, matrices stored [inputs, outputs]."""

import dataclasses
from typing import Any

from physlm_jax.models.huggingface.layout import Module
from physlm_jax.models.huggingface.settings import Settings, differing
from physlm_jax.models.transformer import TransformerConfig

PREFIX = "transformer."
HEAD = "lm_head"
ARCHITECTURE = "GPT2LMHeadModel"
BUFFERS = r"h\.\d+\.attn\.(bias|masked_bias)"  # masks that old files hold


def read(s: Settings) -> TransformerConfig:
    """Returns the configuration of a `config.json`.

    Raises:
        InputError: what is not implemented.
    """
    s.only("scale_attn_weights", True)
    s.only("scale_attn_by_inverse_layer_idx", False)
    s.only("add_cross_attention", False)
    width = s.whole("n_embd")
    return TransformerConfig(
        vocab_size=s.whole("vocab_size"),
        max_length=s.whole("n_positions"),
        layers=s.whole("n_layer"),
        width=width,
        heads=s.whole("n_head"),
        position="learned",
        norm_epsilon=s.number("layer_norm_epsilon", 1e-5),
        mlp=s.activation("activation_function", "gelu_new"),
        mlp_ratio=s.whole("n_inner", 4 * width) / width,
        tied=bool(s.get("tie_word_embeddings", True)),
        init_std=s.number("initializer_range", 0.02),
    )


def write(c: TransformerConfig) -> dict[str, Any]:
    """Returns the values of a `config.json`."""
    return {
        "vocab_size": c.vocab_size,
        "n_positions": c.max_length,
        "n_embd": c.width,
        "n_layer": c.layers,
        "n_head": c.heads,
        "n_inner": c.hidden,
        "activation_function": "gelu_new" if c.mlp == "gelu" else "gelu",
        "layer_norm_epsilon": c.norm_epsilon,
        "initializer_range": c.init_std,
        "tie_word_embeddings": c.tied,
    }


def objections(c: TransformerConfig) -> list[str]:
    """Returns what of a configuration this family cannot hold."""
    return differing(
        c,
        position=("learned", "none"),
        norm=("layernorm",),
        mlp=("gelu", "gelu_exact"),
        causal=(True,),
        parallel=(False,),
        windowed=(False,),
        key_heads=(c.heads,),
        head_size=(c.width / c.heads,),
    )


def express(c: TransformerConfig) -> TransformerConfig:
    """Returns the same function with all that this family always has: biases and positions."""
    return dataclasses.replace(c, position="learned", bias=True, attention_bias=None)


def modules(c: TransformerConfig) -> list[Module]:
    """Returns the modules of a model."""
    block, attention, mlp = "transformer.h.{}.", ("blocks", "attention"), ("blocks", "mlp")
    qkv = tuple((*attention, name) for name in ("query", "key", "value"))
    found = [
        Module("transformer.wte", "table", (("embedding",),)),
        Module("transformer.wpe", "table", (("positions",),)),
        Module(block + "ln_1", "norm", (("blocks", "attention_norm"),)),
        Module(block + "attn.c_attn", "conv1d", qkv),
        Module(block + "attn.c_proj", "conv1d", ((*attention, "out"),), inputs=2),
        Module(block + "ln_2", "norm", (("blocks", "mlp_norm"),)),
        Module(block + "mlp.c_fc", "conv1d", ((*mlp, "up"),)),
        Module(block + "mlp.c_proj", "conv1d", ((*mlp, "down"),)),
        Module("transformer.ln_f", "norm", (("final_norm",),)),
    ]
    return found if c.tied else [*found, Module(HEAD, "linear", (("output",),))]
