"""Learning layered context-free languages (Physics of Language Models, Part 1).

python -m physlm_jax.train --config=configs/cfg.py:cfg3b,laptop --workdir=runs/cfg3b

The argument is "name,scale" with optional ",key=value" settings:
  name   a published grammar, or the sub-grammar under one of its symbols: cfg3b, cfg3b/14
  scale  laptop  4 layers x 128, rows of 64 tokens that start at a BOS; minutes on 2 cores.
                 cfg3b/14, 600 steps: about 3 minutes; generation accuracy >= .9 expected
         gpu     6 layers x 512, bfloat16; ten minutes on one large accelerator.
                 cfg3b: accuracy >= .99 aimed at (12 x 768 measured elsewhere: .98 / .995)
         paper   12 layers x 768, 100k steps of 96 x 512 tokens, linear decay, no warm-up
                 (section 6): cfg3b .998 / .999, cfg3f .976 / .977 (table 13.1, rotary)
  position=rotary|learned    the paper's GPT_rot and GPT
"""

from ml_collections import ConfigDict

from physlm_jax.errors import InputError, unknown
from physlm_jax.training.config import base, set_data, split_argument

SCALES = ("laptop", "gpu", "paper")


def get_config(arg: str = "cfg3b/14,laptop") -> ConfigDict:
    """Returns the configuration of `name,scale[,position=...]`."""
    name, scale, settings = split_argument(arg)
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES, "configs/cfg.py")
    grammar, _, under = name.partition("/")
    if under and not under.isdigit():
        raise InputError(f"configs/cfg.py: '{name}' should be grammar or grammar/symbol number")
    c = base()
    set_data(c, "cfg", grammar=grammar, under=int(under or 0))
    c.name = name
    {"laptop": _laptop, "gpu": _gpu, "paper": _paper}[scale](c)
    for setting in settings:
        key, _, value = setting.partition("=")
        if key != "position":
            raise unknown("setting", key, ["position"], "configs/cfg.py")
        c.model.position = value
        c.name += f" {value}"
    return c


def _laptop(c: ConfigDict) -> None:
    c.steps, c.batch = 600, 64
    c.pipeline.length, c.pipeline.align_bos, c.pipeline.rows_per_block = 64, "all", 64
    c.model.layers, c.model.width, c.model.heads = 4, 128, 4
    c.optimizer.learning_rate, c.optimizer.warmup, c.optimizer.clip = 3e-3, 30, 1.0
    c.eval.every, c.eval.rows = 100, 128
    c.checkpoint.every = 200


def _gpu(c: ConfigDict) -> None:
    c.steps, c.batch = 6000, 96
    c.pipeline.length = 512
    c.model.layers, c.model.width, c.model.heads, c.model.dtype = 6, 512, 8, "bfloat16"
    c.optimizer.learning_rate, c.optimizer.warmup, c.optimizer.clip = 1e-3, 100, 1.0
    c.eval.every = 500
    c.checkpoint.every = 1000


def _paper(c: ConfigDict) -> None:
    c.steps, c.batch, c.topology = 100_000, 96, "v5e:4x4"
    c.pipeline.rows_per_block = 6  # divides the share of each of up to 16 hosts
    c.model.unroll = 1  # the same numbers as 0; compiles for a TPU in one minute instead of six
    c.eval.every = 2000
    c.checkpoint.every, c.checkpoint.keep_every = 2000, 20_000


def sweep() -> list[dict[str, object]]:
    """Returns the overrides of the paper's position-embedding contrast."""
    return [{"model.position": position} for position in ("rotary", "learned")]
