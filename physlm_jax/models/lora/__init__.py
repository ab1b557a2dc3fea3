"""Low-rank adapters (LoRA, arXiv 2106.09685): a small trainable pytree beside a frozen base.

    rules = lora.parse("attention/(query|value): rank=8, alpha=16")
    adapter = lora.init(config, rules, jax.random.key(0))
    transformer.apply(config, lora.attach(params, adapter), tokens)  # the side path
    transformer.apply(config, lora.merge(params, adapter), tokens)  # the same, at the base's cost
    lora.save_peft("folder", config, adapter)  # PEFT's format; lora.load_peft reads it

Nothing here is random but `init` and dropout; `subspace` compares what adapters learned.
"""

from physlm_jax.models.lora.adapter import (
    Adapter,
    LowRank,
    attach,
    detach,
    merge,
    mix,
    size,
    walk,
)
from physlm_jax.models.lora.initial import init
from physlm_jax.models.lora.layout import axes
from physlm_jax.models.lora.loralib import load_loralib
from physlm_jax.models.lora.peft import load_peft, save_peft
from physlm_jax.models.lora.rules import Rule, check, parse, table

__all__ = [
    "Adapter",
    "LowRank",
    "Rule",
    "attach",
    "axes",
    "check",
    "detach",
    "init",
    "load_loralib",
    "load_peft",
    "merge",
    "mix",
    "parse",
    "save_peft",
    "size",
    "table",
    "walk",
]
