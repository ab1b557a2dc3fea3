"""Tiny models of ours with parameters from NumPy, and folders of them."""

import json

import jax
import numpy as np

from physlm_jax.models import transformer
from physlm_jax.models.huggingface import tensors
from physlm_jax.models.transformer import TransformerConfig

SIZES = {"vocab_size": 23, "max_length": 16, "layers": 2, "width": 16, "heads": 4}
LLAMA = {"kv_heads": 2, "norm": "rmsnorm", "mlp": "gated", "bias": False, "mlp_ratio": 1.5}
OURS = {
    "gpt2": {"position": "learned"},
    "gpt2 untied": {"position": "learned", "tied": False, "mlp": "gelu_exact", "mlp_ratio": 2.5},
    "gpt_neox": {"parallel": True, "rotary_fraction": 0.5, "tied": False, "rotary_base": 500.0},
    "gpt_neox in turn": {"mlp": "gelu_exact", "attention_bias": False},
    "llama": {**LLAMA, "tied": False},
    "llama biased": {**LLAMA, "attention_bias": True, "head_dim": 6, "norm_epsilon": 1e-6},
    "mistral": {**LLAMA, "window": 5},
}


def made(**changes):
    """A configuration and parameters of which none is zero."""
    config = TransformerConfig(**{**SIZES, **changes})
    rng = np.random.default_rng(0)
    shapes = transformer.abstract(config)
    return config, jax.tree.map(
        lambda x: (0.3 * rng.standard_normal(x.shape)).astype(np.float32), shapes
    )


def arrays(folder):
    """The arrays of a model's folder by name."""
    return {name: s.read() for name, s in tensors.open_folder(folder, "model").items()}


def change(folder, **values):
    """Changes values of a folder's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
