"""Reverse training against the reversal curse (arXiv 2403.13799).

python -m physlm_jax.train --config=configs/reversal.py:symbolic,laptop,kind=entity --workdir=...
python -m physlm_jax.probe --workdir=... --probe=recall

The argument is "task,scale" with optional ",key=value" settings:
  task   symbolic     pairs of code words; held-out backward facts are asked (section 4.1)
         biographies  names asked from dates and other attributes (section 4.2)
  scale  laptop  2 layers x 128; a minute or two on 2 cores
         gpu     symbolic: 2000 pairs, 4 layers x 256; biographies: 2000 people, 6 layers x 256
         paper   symbolic: 10,000 pairs, 8 layers x 512 (sizes not given in the paper: a guess);
                 biographies: 100,000 of the full world need its generator, here 20,000 people of
                 the small one through GPT-2 small with rotary positions, rows of 512, 80k steps
  kind   none (standard training), token, word, entity, segment;  k: longest segment
  length words of an entity (symbolic)
  budget compute: as many updates whatever the kind (default); data: half as many for kind none,
         so that all see each sample forward equally often
"""

from ml_collections import ConfigDict

from physlm_jax.errors import InputError, unknown
from physlm_jax.training.config import base, set_data

TASKS = ("symbolic", "biographies")
SCALES = ("laptop", "gpu", "paper")
SETTINGS = {"kind": "none", "k": "0", "length": "2", "budget": "compute"}


def get_config(arg: str = "symbolic,laptop,kind=entity") -> ConfigDict:
    """Returns the configuration of `task,scale[,kind=...][,k=...][,length=...][,budget=...]`."""
    task, scale, *settings = [*arg.split(","), ""][: arg.count(",") + 1]
    if task not in TASKS:
        raise unknown("task", task, TASKS, "configs/reversal.py")
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES, "configs/reversal.py")
    chosen = dict(SETTINGS)
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in SETTINGS:
            raise unknown("setting", key, SETTINGS, "configs/reversal.py")
        chosen[key] = value
    for key in ("k", "length"):
        if not chosen[key].isdigit():
            raise InputError(f"configs/reversal.py: {key} must be a number, got '{chosen[key]}'")
    c = base()
    c.name = " ".join([task, *settings])
    {"symbolic": _symbolic, "biographies": _biographies}[task](c, scale, chosen)
    if chosen["budget"] not in ("compute", "data"):
        raise unknown("budget", chosen["budget"], ("compute", "data"), "configs/reversal.py")
    if chosen["budget"] == "data" and chosen["kind"] == "none":
        c.steps //= 2
    return c


def _symbolic(c: ConfigDict, scale: str, chosen: dict[str, str]) -> None:
    length = int(chosen["length"])
    pairs, codes = {"laptop": (400, 50), "gpu": (2000, 100), "paper": (10_000, 200)}[scale]
    _mix(c, "symbolic", chosen, {"pairs": pairs, "codes": codes, "length": length})
    longest = 2 * length + 4 + 2
    c.pipeline.length = longest + (longest // 2 + 1 if chosen["kind"] == "segment" else 0)
    _train(c)
    if scale == "laptop":
        c.steps, c.batch = 1000, 128
        c.model.layers, c.model.width, c.model.heads = 2, 128, 4
        c.optimizer.learning_rate = 2e-3


def _biographies(c: ConfigDict, scale: str, chosen: dict[str, str]) -> None:
    _mix(c, "biographies", chosen, {"people": 200})
    c.pipeline.length = 56
    _train(c)
    if scale == "laptop":
        c.steps, c.batch = 2000, 64
        c.model.layers, c.model.width, c.model.heads = 2, 128, 4
        c.optimizer.learning_rate = 2e-3


def _mix(c: ConfigDict, task: str, chosen: dict[str, str], options: dict[str, int]) -> None:
    k = int(chosen["k"]) or (2 * options.get("length", 3))
    set_data(
        c, "reversal", task=task, kind=chosen["kind"], k=k, seed=0, options=ConfigDict(options)
    )


def _train(c: ConfigDict) -> None:
    c.pipeline.mode, c.pipeline.rows_per_block = "single", 64
    c.optimizer.warmup, c.optimizer.clip, c.optimizer.final_fraction = 100, 1.0, 0.1
    c.eval.rows = 128
