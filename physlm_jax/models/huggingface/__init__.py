"""Models of the Hugging Face Hub's formats, in and out; no torch needed.

    config, params = huggingface.load("folder")  # config.json, model.safetensors
    huggingface.logits(config, params, [[1, 2, 3]])
    huggingface.save("other", config, params)  # AutoModelForCausalLM.from_pretrained("other")

Families: `families.FAMILIES`. Adapters: `lora.load_peft`, `lora.save_peft`. See docs/bridge.md.
"""

from physlm_jax.models.huggingface.folder import load, logits, save

__all__ = ["load", "logits", "save"]
