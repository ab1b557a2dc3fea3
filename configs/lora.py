"""Low-rank adapters (LoRA, arXiv 2106.09685) on languages whose truth is known.

python -m physlm_jax.train --config=configs/lora.py:base,laptop --workdir=runs/base
python -m physlm_jax.train --config=configs/lora.py:adapt,laptop,which=qv,rank=4 \\
    --config.base.run=runs/base --workdir=runs/adapted

A decoder is trained on one language (base) and adapted to a sister language of the same lower
rules (adapt). The argument is "base,scale" or "adapt,scale[,which=...][,rank=...]":
  scale  laptop  cfg3b/14, then cfg3b/15; 2 layers x 64; a minute, then seconds on 2 cores
         gpu     cfg3b/19, then cfg3b/20; 6 layers x 512, bfloat16
         paper   GPT-2 medium (24 x 1024), adapted as in table 11 (q and v, rank 4, alpha 32,
                 dropout .1, AdamW 2e-4, weight decay .01, 500 steps of warm-up, 8 rows of 512);
                 its data sets are not bundled, so the languages stand for them
  which  q, k, v, o or several of these letters; mlp; emb; all; full (everything is fine-tuned)
  rank   of every adapted matrix; alpha is 16 at every rank, as the paper leaves it
"""

from ml_collections import ConfigDict

from physlm_jax.errors import InputError, unknown
from physlm_jax.training.config import base, read_settings, set_data, split_argument

SCALES = ("laptop", "gpu", "paper")
ALPHA = 16
NAMES = {"q": "query", "k": "key", "v": "value", "o": "out"}
WHOLE = {"mlp": "mlp", "emb": "^embedding$", "all": "kernel$"}


def get_config(arg: str = "adapt,laptop,which=qv,rank=4") -> ConfigDict:
    """Returns the configuration of `base|adapt,scale[,which=...][,rank=...]`."""
    part, scale, settings = split_argument(arg)
    if part not in ("base", "adapt"):
        raise unknown("part", part, ("base", "adapt"), "configs/lora.py")
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES, "configs/lora.py")
    allowed = {} if part == "base" else {"which": "qv", "rank": "4"}
    chosen = read_settings(settings, allowed, "configs/lora.py")
    c = base()
    c.name = " ".join([part, *settings])
    {"laptop": _laptop, "gpu": _gpu, "paper": _paper}[scale](c, part == "adapt")
    if part == "adapt":
        c.base.run = f"@base,{scale}"
        c.lora = "" if chosen["which"] == "full" else _rules(**chosen)
        if c.lora and scale == "paper":
            c.lora = c.lora.replace(f"alpha={ALPHA}", "alpha=32, dropout=0.1")
        if c.lora and scale == "laptop":
            c.optimizer.learning_rate = 1e-2
    return c


def _rules(which: str, rank: str) -> str:
    """The text of the rules, see models.lora.rules."""
    if not rank.isdigit() or int(rank) < 1:
        raise InputError(f"configs/lora.py: rank must be a number of at least 1, got '{rank}'")
    if which in WHOLE:
        pattern = WHOLE[which]
    elif which and {*which} <= {*NAMES}:
        pattern = f"attention/({'|'.join(NAMES[letter] for letter in which)})/"
    else:
        raise unknown("which", which, [*NAMES, *WHOLE, "full", "qv", "qkvo"], "configs/lora.py")
    return f"{pattern}: rank={rank}, alpha={ALPHA}"


def _laptop(c: ConfigDict, adapt: bool) -> None:
    set_data(c, "cfg", grammar="cfg3b", under=15 if adapt else 14)
    c.steps, c.batch = (300 if adapt else 800), 32
    c.pipeline.length, c.pipeline.align_bos, c.pipeline.rows_per_block = 64, "all", 32
    c.model.layers, c.model.width, c.model.heads = 2, 64, 4
    c.optimizer.learning_rate, c.optimizer.warmup, c.optimizer.clip = 3e-3, 30, 1.0
    c.optimizer.weight_decay = 0.01 if adapt else 0.1
    c.eval.every, c.eval.rows = c.steps // 4, 256


def _gpu(c: ConfigDict, adapt: bool) -> None:
    set_data(c, "cfg", grammar="cfg3b", under=20 if adapt else 19)
    c.steps, c.batch = (1000 if adapt else 4000), 96
    c.pipeline.length, c.pipeline.align_bos = 256, "all"
    c.model.layers, c.model.width, c.model.heads, c.model.dtype = 6, 512, 8, "bfloat16"
    c.optimizer.learning_rate, c.optimizer.warmup, c.optimizer.clip = 1e-3, 100, 1.0
    c.optimizer.weight_decay = 0.01 if adapt else 0.1
    c.eval.every, c.eval.rows = c.steps // 4, 384


def _paper(c: ConfigDict, adapt: bool) -> None:
    set_data(c, "cfg", grammar="cfg3b", under=20 if adapt else 0)
    c.steps, c.batch = (26_289, 8) if adapt else (100_000, 96)
    c.topology = "v5e:2x4" if adapt else "v5e:4x4"
    c.pipeline.rows_per_block = 1 if adapt else 6
    c.model.layers, c.model.width, c.model.heads = 24, 1024, 16
    c.model.position, c.model.unroll, c.model.dtype = "learned", 1, "bfloat16"
    if adapt:
        c.optimizer.learning_rate, c.optimizer.warmup = 2e-4, 500
        c.optimizer.beta2, c.optimizer.epsilon, c.optimizer.weight_decay = 0.999, 1e-6, 0.01
    c.eval.every, c.checkpoint.every = 2000, 2000


def sweep() -> list[dict[str, object]]:
    """Returns the overrides of table 18: ranks of q and v."""
    return [{"lora": _rules("qv", str(rank))} for rank in (1, 2, 4, 8, 16, 32, 64)]
