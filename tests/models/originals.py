"""Logits of transformers and PEFT for tiny models of ours, kept as numbers in `originals.json`.

So that the bridge is held against the originals also where torch is not installed. Written again by
`python tests/models/originals.py`, with the extra `bridge`; a test compares them where it is there.
"""

import json
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import torch_models
from our_models import OURS, made

from physlm_jax.models import huggingface, lora

FILE = Path(__file__).with_suffix(".json")
IDS = torch_models.IDS[:1, :8]
ADAPTERS = {
    "gpt2": "attention/(query|value): rank=2, alpha=5; mlp: rank=3; ^embedding$: rank=2, alpha=3",
    "gpt_neox": "attention/(key|out): rank=2, alpha=3, scale=alpha_over_sqrt_r",
    "llama": "blocks/1/.*(query|down|gate)/: rank=2, alpha=4",
    "llama biased": "attention/: rank=2, alpha=4, dora=True",
    "mistral": "blocks/0/attention/query: rank=1; blocks/1/attention/query: rank=3, alpha=2",
}


def adapter(name, config, params):
    """Returns an adapter of which no factor is zero, from NumPy."""
    rules = lora.parse(ADAPTERS[name])
    shapes = lora.init(config, rules, jax.random.key(0), params)
    rng = np.random.default_rng(1)

    def draw(x):
        kept = np.asarray(x) != 0  # padding of smaller ranks stays zero
        noise = 0.3 * rng.standard_normal(x.shape).astype(np.float32)
        return np.where(kept | (np.asarray(x) == 0).all(), noise, x)

    return jax.tree.map(draw, shapes)


def originals(folder):
    """Logits [8, 23] of every model, and of those with an adapter, by the original libraries."""
    import peft

    found = {}
    for name, settings in OURS.items():
        config, params = made(**settings)
        place = Path(folder) / name.replace(" ", "-")
        huggingface.save(place, config, params)
        model = torch_models.opened(place)
        found[name] = torch_models.logits(model, IDS)[0]
        if name in ADAPTERS:
            lora.save_peft(place / "adapter", config, adapter(name, config, params))
            model = peft.PeftModel.from_pretrained(model, place / "adapter").eval()
            found[f"{name}, adapted"] = torch_models.logits(model, IDS)[0]
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        numbers = {name: x.round(6).tolist() for name, x in originals(folder).items()}
    rows = [f"{json.dumps(name)}: {json.dumps(x)}" for name, x in numbers.items()]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
