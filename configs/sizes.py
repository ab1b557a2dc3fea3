"""Decoders of the usual sizes on tokens of noise: what fits where, and how fast.

python -m physlm_jax.fit --config=configs/sizes.py:8b,paper
python -m physlm_jax.train --config=configs/sizes.py:gpt2-small,gpu --workdir=runs/gpt2-small

The argument is "name,scale":
  name   gpt2-small  12 x 768, 12 heads, learned positions, 50257 tokens, rows of 1024; 124 M
         1b          16 x 2048, 32 heads of 64 on 8 key/value heads, gated MLP of 8192, RMSNorm,
                     rotary, 128256 tokens, tied, rows of 4096; 1.24 B
         8b          32 x 4096, 32 heads of 128 on 8 key/value heads, gated MLP of 14336, RMSNorm,
                     rotary, 128256 tokens, rows of 4096; 8.03 B
  scale  gpu         one large accelerator; 100 steps of 8 rows, to measure speed (gpt2-small, 1b)
         paper       a TPU slice, the state cut over 16 chips (fsdp): gpt2-small on v5e:4x4, 1b and
                     8b on v5p:4x4x4; half a million, 2 and 4 million tokens per update
The loss to expect is the world's entropy, ln(vocabulary - 2).
"""

from ml_collections import ConfigDict

from physlm_jax.errors import InputError, unknown
from physlm_jax.training.config import base, set_data

SCALES = ("gpu", "paper")


def get_config(arg: str = "gpt2-small,paper") -> ConfigDict:
    """Returns the configuration of `name,scale`."""
    name, _, scale = arg.partition(",")
    sizes = {"gpt2-small": _gpt2_small, "1b": _1b, "8b": _8b}
    if name not in sizes:
        raise unknown("size", name, sizes, "configs/sizes.py")
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES, "configs/sizes.py")
    if (name, scale) == ("8b", "gpu"):
        raise InputError("configs/sizes.py: 8b needs more than one accelerator; take scale 'paper'")
    c = base()
    c.name = name
    c.model.dtype, c.model.unroll, c.model.remat = "bfloat16", 1, "full"
    c.optimizer.beta2, c.optimizer.clip = 0.95, 1.0
    c.optimizer.schedule, c.optimizer.warmup, c.optimizer.final_fraction = "cosine", 2000, 0.1
    sizes[name](c)
    {"gpu": _gpu, "paper": _paper}[scale](c)
    return c


def _gpt2_small(c: ConfigDict) -> None:
    set_data(c, "noise", size=50257, length=510)
    c.steps, c.batch, c.accumulation, c.topology = 300_000, 512, 4, "v5e:4x4"
    c.pipeline.length = 1024
    c.model.position = "learned"
    c.model.remat = "dots"
    c.optimizer.learning_rate = 6e-4


def _llama(c: ConfigDict) -> None:
    set_data(c, "noise", size=128256, length=1022)
    c.topology, c.pipeline.length = "v5p:4x4x4", 4096
    c.model.kv_heads, c.model.mlp, c.model.norm, c.model.bias = 8, "gated", "rmsnorm", False
    c.model.rotary_base = 500_000.0


def _1b(c: ConfigDict) -> None:
    _llama(c)
    c.steps, c.batch = 500_000, 512
    c.model.layers, c.model.width, c.model.heads, c.model.mlp_ratio = 16, 2048, 32, 4.0
    c.optimizer.learning_rate = 4e-4


def _8b(c: ConfigDict) -> None:
    _llama(c)
    c.steps, c.batch, c.accumulation = 250_000, 1024, 4
    c.model.layers, c.model.width, c.model.heads, c.model.mlp_ratio = 32, 4096, 32, 3.5
    c.model.tied = False
    c.optimizer.learning_rate = 3e-4


def _gpu(c: ConfigDict) -> None:
    c.steps, c.batch, c.accumulation, c.topology = 100, 8, 1, ""
    c.pipeline.rows_per_block = 8
    c.optimizer.warmup = 10
    c.eval.rows = 8


def _paper(c: ConfigDict) -> None:
    c.pipeline.rows_per_block = 4  # as many chips as a host has, so that 1 row a chip is possible
    c.mesh.data, c.mesh.fsdp = -1, 16  # states cut over 16 chips, copies of that beyond
    c.eval.every, c.eval.rows = 1000, c.batch
    c.checkpoint.every = 1000
