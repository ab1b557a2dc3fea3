"""Tiny models with random weights, made by transformers: what the bridge is held against."""

import numpy as np
import pytest

SIZES = {"vocab_size": 23, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
LONG = {**SIZES, "intermediate_size": 24, "max_position_embeddings": 16}
GROUPED = {**LONG, "num_key_value_heads": 2}
GPT2 = {"vocab_size": 23, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 16}
BASE = {"rope_theta": 500.0, "rope_type": "default"}
MODELS = {
    "gpt2": ("GPT2", GPT2),
    "gpt2 untied, exact gelu, inner": (
        "GPT2",
        {**GPT2, "tie_word_embeddings": False, "activation_function": "gelu", "n_inner": 40},
    ),
    "llama": ("Llama", {**GROUPED, "rope_parameters": BASE}),
    "llama tied, biases": (
        "Llama",
        {**GROUPED, "tie_word_embeddings": True, "attention_bias": True, "head_dim": 6},
    ),
    "llama, all biases": ("Llama", {**LONG, "attention_bias": True, "mlp_bias": True}),
    "mistral": ("Mistral", {**GROUPED, "sliding_window": None}),
    "mistral, window": ("Mistral", {**GROUPED, "sliding_window": 5, "head_dim": 8}),
    "neox": ("GPTNeoX", {**LONG, "rotary_pct": 0.5, "rotary_emb_base": 300}),
    "neox in turn, tied": (
        "GPTNeoX",
        {**LONG, "use_parallel_residual": False, "rotary_pct": 1.0, "tie_word_embeddings": True},
    ),
    "neox, tanh, bare attention": (
        "GPTNeoX",
        {**LONG, "hidden_act": "gelu_new", "attention_bias": False, "rotary_pct": 0.5},
    ),
}
IDS = np.random.default_rng(0).integers(0, 23, (2, 12), dtype=np.int64)


def make(name, **changes):
    """Returns a model of `MODELS` in eval mode, every parameter drawn anew and none zero."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    kind, settings = MODELS[name]
    config = getattr(transformers, f"{kind}Config")(
        **{**settings, "bos_token_id": 0, "eos_token_id": 1, **changes}
    )
    architecture = f"{kind}LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM"
    model = getattr(transformers, architecture)(config).eval()
    randomise(model)
    return model


def randomise(model, seed=0, part=""):
    """Draws anew every parameter whose name holds `part`."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if part in name:
                shift = 1.0 if name.endswith(("ln_f.weight", "norm.weight")) else 0.0
                noise = torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
                parameter.copy_(shift + 0.3 * noise)


def logits(model, ids=IDS):
    """float32[B, T, V] by torch."""
    import torch

    with torch.no_grad():
        return model(torch.tensor(ids)).logits.float().numpy()


def opened(folder):
    """The model that transformers finds in a folder."""
    import transformers

    model, told = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, dtype="float32"
    )
    assert not any(told.values()), told
    return model.eval()
