"""iGSM, grade-school maths with exact ground truth (arXiv 2407.20311 and 2408.16293).

python -m physlm_jax.train --config=configs/igsm.py:mini,laptop --workdir=runs/mini
python -m physlm_jax.probe --workdir=runs/mini --probe=reasoning

The argument is "world,scale" with optional ",key=value" settings:
  world  mini  three operations on the laptop, five on an accelerator, few names, names as tokens;
               no templates are held out, since so short solutions have few (op = 1 has two)
         med   up to 15 operations and 20 instance parameters (iGSM-med)
         hard  up to 21 and 28 (iGSM-hard)
  scale  laptop  mini alone, with two kinds of things, two names of each and at most four instance
                 parameters; loss of the solutions, hardly any of their letters; 4 layers x 64,
                 rows of whole problems; some nine minutes of one core
         gpu     mini: 8 layers x 384, 384 tokens; med: GPT2-12-6 on names as tokens; rows of whole
                 problems, loss of the solutions, a fifth of it for letters; Muon, as at laptop
         paper   med and hard: GPT2-12-12 and the tokens of section 5.2's table (GPT-2's byte pairs
                 with vocabulary=FOLDER of yours; the words of names without)
  order  pq (default) or qp: question first
  model  layers-heads of 64, e.g. 12-12, 4-21, 20-9 (the lists of section 5.1 of igsm.md)
  retry, kind, mask  mistakes taken back: their rate, which (retry, retry_weak, retry_weak_same,
         retry_miss) and what bears no loss (none, name, all)
  tune   full or a rank: start from the same run without mistakes and train everything, or an
         adapter of query and value of that rank and of the embedding of twice that rank
  time   2: twice the updates and the smaller weight decay of the papers' "double time"
  vocabulary  items, words, or the folder of GPT-2's
  names  a file of your own names (its form: physlm_jax/data/igsm/names.py)
"""

from typing import Any

from ml_collections import ConfigDict

from physlm_jax.errors import InputError, unknown
from physlm_jax.training.config import base, read_settings, set_data, split_argument

WORLDS = ("mini", "med", "hard")
SCALES = {"mini": ("laptop", "gpu"), "med": ("gpu", "paper"), "hard": ("gpu", "paper")}
DATA: dict[str, dict[str, Any]] = {  # what is computed is learned
    "gpu": {"prompt_weight": 0.0, "symbol_weight": 0.2},
    "laptop": {
        "prompt_weight": 0.0,
        "symbol_weight": 0.05,
        "ip_max": 4,
        "widths": (2,),
        "categories": 2,
        "items": 2,
    },
}
SETTINGS = {
    "order": "pq",
    "model": "",
    "retry": "0",
    "kind": "retry",
    "mask": "none",
    "tune": "",
    "time": "1",
    "vocabulary": "",
    "names": "",
}


def get_config(arg: str = "mini,laptop") -> ConfigDict:
    """Returns the configuration of `world,scale[,key=value]...`."""
    world, scale, settings = split_argument(arg)
    if world not in WORLDS:
        raise unknown("world", world, WORLDS, "configs/igsm.py")
    if scale not in SCALES[world]:
        raise unknown("scale", scale, SCALES[world], f"configs/igsm.py:{world}")
    chosen = read_settings(settings, SETTINGS, "configs/igsm.py")
    c = base()
    c.name = " ".join([world, *settings])
    {"laptop": _laptop, "gpu": _gpu, "paper": _paper}[scale](c, world)
    if chosen["time"] == "2":
        c.steps *= 2
        c.optimizer.weight_decay = 0.02 if world == "hard" else 0.03
    elif chosen["time"] != "1":
        raise InputError(f"configs/igsm.py: time must be 1 or 2, got '{chosen['time']}'")
    if chosen["model"]:
        _size(c, chosen["model"])
    if scale == "paper" and c.model.layers * c.model.width > 10_500:  # else it leaves the chip
        c.model.remat = "dots"
    _data(c, world, scale, chosen)
    if chosen["tune"]:
        c.base.run = "@" + ",".join([world, scale, *(s for s in settings if _is_of_base(s))])
        _tune(c, world, scale, chosen["tune"])
    return c


def _is_of_base(setting: str) -> bool:
    return setting.partition("=")[0] in ("order", "model", "time", "vocabulary", "names")


def _tune(c: ConfigDict, world: str, scale: str, how: str) -> None:
    """Section 7.4 of igsm.md; the papers do not tell the adapters' scale, it is Part 3.2's."""
    c.optimizer.learning_rate = 1e-3
    if how == "full":
        return
    if not how.isdigit() or int(how) < 1:
        raise InputError(f"configs/igsm.py: tune must be full or a rank, got '{how}'")
    style = "alpha=4, scale=constant, init=zero_down"
    rank = int(how)
    c.lora = f"attention/(query|value): rank={rank}, {style}; ^embedding$: rank={2 * rank}, {style}"
    if scale == "paper":
        c.optimizer.weight_decay = 0.05
        c.batch, c.steps = 256 if world == "med" else 128, 200_000


def _laptop(c: ConfigDict, world: str) -> None:
    """What finds the lookup of a number by a name within minutes, see docs/igsm.md."""
    del world
    c.model.layers, c.model.width, c.model.heads, c.model.tied = 4, 64, 2, False
    c.model.init_std, c.model.embedding_std = 0.125, 0.05
    c.pipeline.length, c.pipeline.mode, c.batch, c.steps = 192, "best_fit", 8, 9_000
    c.pipeline.rows_per_block = 8
    c.optimizer.learning_rate, c.optimizer.warmup = 3e-3, 50
    _optimizer(c, 0.05)
    _muon(c)
    c.eval.rows = 64


def _gpu(c: ConfigDict, world: str) -> None:
    """Optimizer, rate, rows and starts were chosen by short trials of mini, see docs/igsm.md."""
    c.model.dtype = "bfloat16"
    _size(c, "8-6" if world == "mini" else "12-6")
    c.pipeline.length = {"mini": 384, "med": 768, "hard": 1024}[world]
    c.batch, c.steps = {"mini": (32, 8000), "med": (128, 20_000), "hard": (96, 20_000)}[world]
    c.pipeline.mode, c.model.tied = "best_fit", False
    c.model.init_std, c.model.embedding_std = 0.05, 0.05
    c.optimizer.learning_rate, c.optimizer.warmup = 1e-3, 200
    _optimizer(c, 0.05)
    _muon(c)
    c.pipeline.rows_per_block = 32
    c.eval.rows = 512
    c.eval.every = c.checkpoint.every = c.steps // 4


def _paper(c: ConfigDict, world: str) -> None:
    """Section 5.2: AdamW (0.9, 0.98), cosine to a hundredth of the peak."""
    c.model.dtype = "bfloat16"
    _size(c, "12-12")
    c.pipeline.length = 768 if world == "med" else 1024
    c.batch, c.steps = (512, 100_000) if world == "med" else (256, 200_000)
    c.optimizer.learning_rate, c.optimizer.warmup = 2e-3, 1000
    _optimizer(c, 0.05 if world == "med" else 0.03)
    c.topology, c.model.unroll = "v5e:4x8", 1
    c.pipeline.rows_per_block = 8
    c.eval.rows = 512
    c.eval.every = c.checkpoint.every = 5000


def _optimizer(c: ConfigDict, decay: float) -> None:
    """Clipping is a guess, the papers do not say."""
    c.optimizer.weight_decay, c.optimizer.clip = decay, 1.0
    c.optimizer.schedule, c.optimizer.final_fraction = "cosine", 0.01


def _muon(c: ConfigDict) -> None:
    """Half the updates of AdamW, the papers' optimizer, for the same loss, see docs/igsm.md."""
    c.optimizer.kind, c.optimizer.beta1 = "muon", 0.95


def _size(c: ConfigDict, model: str) -> None:
    """Sets layers and heads of 64 dimensions from "layers-heads"."""
    layers, _, heads = model.partition("-")
    if not layers.isdigit() or not heads.isdigit() or not int(layers) or not int(heads):
        raise InputError(f"configs/igsm.py: model must be layers-heads, like 12-12, got '{model}'")
    c.model.layers, c.model.heads, c.model.width = int(layers), int(heads), 64 * int(heads)


def _data(c: ConfigDict, world: str, scale: str, chosen: dict[str, str]) -> None:
    try:
        rate = float(chosen["retry"])
    except ValueError:
        raise InputError(
            f"configs/igsm.py: retry must be a rate in [0, 1), got '{chosen['retry']}'"
        ) from None
    set_data(
        c,
        "igsm",
        spec=("mini" if scale == "laptop" else "mini-gpu") if world == "mini" else world,
        split="all" if world == "mini" else "train",
        order=chosen["order"],
        vocabulary=chosen["vocabulary"] or ("words" if scale == "paper" else "items"),
        retry_rate=rate,
        retry_kind=chosen["kind"],
        retry_mask=chosen["mask"],
        longest=c.pipeline.length,
        **({"names": chosen["names"]} if chosen["names"] else {}),
        **DATA.get(scale, {}),
    )


def sweep() -> list[dict[str, float]]:
    """Returns the overrides of the retry rates of arXiv 2408.16293, figure 4."""
    return [{"data.retry_rate": rate} for rate in (0.0, 0.05, 0.1, 0.2, 0.4, 0.5)]
