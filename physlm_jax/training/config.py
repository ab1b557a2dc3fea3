"""The configuration of a run: every key with its unit and default, and how it is read.

Files in `configs/` start from `base()` and change what their study needs. A run is named
`configs/<study>.py:<arguments>`; everything derived (vocabulary size, longest row) is computed from
the configuration here, never repeated in it.
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from physlm_jax.data import World
from physlm_jax.errors import InputError, unknown
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.pipeline import PackingConfig

# What a resumed run may change: where and how it runs, not what it computes.
FREE = ("mesh", "checkpoint", "pipeline.threads", "pipeline.workers", "topology")


def base() -> ConfigDict:
    """Returns the settings shared by all studies: a GPT-2-small on the papers' windows."""
    c = ConfigDict()
    c.name = ""  # what the run is called in reports
    c.seed = 0  # of the parameters
    c.data_seed = 0  # of the training stream; the held-out set is another stream of it
    c.steps = 1000  # updates
    c.batch = 96  # rows per update, all devices together
    c.accumulation = 1  # micro-batches per update; divides batch
    c.loss_chunks = 0  # pieces of a row whose logits exist at once; 0: as few as memory asks for
    c.population = 1  # models trained side by side in one program, see training.population
    c.members = ""  # what differs between them, "key=value,value;key=..."; "": the seeds
    c.topology = ""  # of the accelerators that a config of scale paper is checked for, "v5e:4x4"

    c.data = ConfigDict()  # `world`, and the options of that world
    c.data.world = ""

    c.pipeline = ConfigDict()
    c.pipeline.length = 512  # T: tokens per row
    c.pipeline.mode = "concatenate"  # or "exact", "best_fit", "single": see pipeline.packing
    c.pipeline.align_bos = "none"  # or "half", "all": rows that start at a BOS
    c.pipeline.masked = 0.0  # share of words hidden and predicted (with model.causal False)
    c.pipeline.rows_per_block = 16  # rows made in one go; divides each host's rows
    c.pipeline.threads = 2  # that make batches ahead, in each worker if there are any
    c.pipeline.workers = 0  # processes that make batches; worth it for worlds in plain Python

    c.model = ConfigDict()  # see models.transformer.TransformerConfig
    c.model.layers = 12
    c.model.width = 768
    c.model.heads = 12
    c.model.kv_heads = 0  # 0: as many as heads
    c.model.head_dim = 0  # 0: width / heads
    c.model.position = "rotary"
    c.model.rotary_fraction = 1.0
    c.model.rotary_base = 10000.0
    c.model.norm = "layernorm"
    c.model.norm_epsilon = 1e-5
    c.model.mlp = "gelu"
    c.model.mlp_ratio = 4.0
    c.model.experts = 32  # of mlp "experts", each of mlp_ratio * width hidden units
    c.model.experts_per_token = 1
    c.model.capacity_factor = 2.0  # an expert takes this / experts of a row's tokens in training
    c.model.eval_capacity_factor = 8.0  # and elsewhere
    c.model.balance = 0.01  # times the load-balancing loss of each layer
    c.model.bias = True
    c.model.tied = True
    c.model.causal = True
    c.model.window = 0  # tokens that a token attends to; 0: all before it
    c.model.parallel = False
    c.model.init_std = 0.02
    c.model.embedding_std = 0.0  # of tokens and learned positions; 0: init_std
    c.model.dtype = "float32"  # of activations
    c.model.unroll = 0  # layers per scan iteration; 0: all
    c.model.remat = "none"
    c.model.attention = "auto"

    c.base = ConfigDict()  # another run, whose parameters this one starts from
    c.base.run = ""  # its folder; "": fresh parameters
    c.base.step = 0  # of its checkpoints; 0: the newest
    c.base.member = -1  # of a population; -1: it is none
    c.lora = ""  # what to train beside a frozen base, see models.lora.rules; "": everything

    c.optimizer = ConfigDict()
    c.optimizer.kind = "adamw"  # or "muon", for the layers' matrices
    c.optimizer.learning_rate = 3e-4  # peak
    c.optimizer.warmup = 0  # steps
    c.optimizer.schedule = "linear"  # "constant", "linear", "cosine"
    c.optimizer.final_fraction = 0.0  # of the peak, where the decay ends
    c.optimizer.beta1 = 0.9
    c.optimizer.beta2 = 0.98
    c.optimizer.epsilon = 1e-8
    c.optimizer.weight_decay = 0.1
    c.optimizer.clip = 0.0  # global gradient norm; 0: none

    c.eval = ConfigDict()
    c.eval.every = 0  # steps; 0: only at the end
    c.eval.rows = 192  # of the fixed held-out set

    c.checkpoint = ConfigDict()
    c.checkpoint.every = 0  # steps; 0: only at the end
    c.checkpoint.keep_last = 2
    c.checkpoint.keep_every = 0  # also keep steps divisible by this; 0: none

    c.mesh = ConfigDict()  # devices along each axis; -1: all that is left
    c.mesh.population = 1
    c.mesh.data = -1
    c.mesh.fsdp = 1
    c.mesh.expert = 1
    c.mesh.tensor = 1
    return c.lock()


def set_data(config: ConfigDict, world: str, **options: Any) -> None:
    """Names the world of a configuration and its options."""
    with config.unlocked():
        config.data = ConfigDict({"world": world, **options})


def split_argument(argument: str) -> tuple[str, str, list[str]]:
    """Returns the parts of a configuration's argument `what,scale[,key=value]...`.

    The scale is "" where none is named.
    """
    what, _, rest = argument.partition(",")
    scale, *settings = rest.split(",")
    return what, scale, settings


def read_settings(
    written: Sequence[str], defaults: Mapping[str, str], where: str
) -> dict[str, str]:
    """Returns the settings "key=value" of a configuration's argument, over their defaults.

    Raises:
        InputError: a key without a default; `where` says in which file.
    """
    chosen = dict(defaults)
    for setting in written:
        key, _, value = setting.partition("=")
        if key not in defaults:
            raise unknown("setting", key, defaults, where)
        chosen[key] = value
    return chosen


def find(path: str) -> Path:
    """Returns the config file, looked for here and then beside the package.

    Raises:
        InputError: there is none.
    """
    for root in (Path(), Path(__file__).parents[2]):
        if (root / path).is_file():
            return root / path
    raise InputError(f"no config file '{path}' (looked here and in {Path(__file__).parents[2]})")


def load(spec: str) -> ConfigDict:
    """Returns the configuration `path.py:arguments`, e.g. "configs/cfg.py:cfg3f,paper"."""
    module, argument = load_module(spec), spec.partition(":")[2]
    return module.get_config(argument) if argument else module.get_config()


def load_module(spec: str) -> ModuleType:
    """Returns the configuration file of a spec `path.py:arguments` as a module."""
    path = spec.partition(":")[0]
    found = importlib.util.spec_from_file_location("physlm_config", find(path))
    if found is None or found.loader is None:
        raise InputError(f"config file '{path}' is not a Python file")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def model_config(config: ConfigDict, world: World) -> TransformerConfig:
    """Returns the network's configuration, sized for the world and the rows."""
    return TransformerConfig(
        vocab_size=len(world.vocabulary), max_length=config.pipeline.length, **config.model
    )


def packing_config(config: ConfigDict) -> PackingConfig:
    """Returns how rows are made."""
    p = config.pipeline
    return PackingConfig(
        length=p.length,
        mode=p.mode,
        align_bos=p.align_bos,
        rows_per_block=p.rows_per_block,
        masked=p.masked,
    )


def validate(config: ConfigDict) -> None:
    """Checks what no other constructor checks.

    Raises:
        InputError: a number out of range.
    """
    limits = {
        "steps": (config.steps, 1),
        "batch": (config.batch, 1),
        "accumulation": (config.accumulation, 1),
        "loss_chunks": (config.loss_chunks, 0),
        "eval.every": (config.eval.every, 0),
        "eval.rows": (config.eval.rows, 1),
        "checkpoint.every": (config.checkpoint.every, 0),
        "checkpoint.keep_last": (config.checkpoint.keep_last, 1),
        "checkpoint.keep_every": (config.checkpoint.keep_every, 0),
        "pipeline.threads": (config.pipeline.threads, 0),
        "pipeline.workers": (config.pipeline.workers, 0),
        "base.step": (config.base.step, 0),
        "base.member": (config.base.member, -1),
    }
    for key, (value, least) in limits.items():
        if value < least:
            raise InputError(f"config.{key} must be at least {least}, got {value}")
    for key in ("seed", "data_seed"):
        if not -(2**63) <= config[key] < 2**63:
            raise InputError(f"config.{key} must fit into 64 bits, got {config[key]}")
    if config.pipeline.masked and config.model.causal:
        raise InputError(
            "config.pipeline.masked needs config.model.causal=False: a causal model predicts the "
            "next token"
        )
    if not config.pipeline.masked and not config.model.causal:
        raise InputError(
            "config.model.causal=False needs config.pipeline.masked, the share of words that are "
            "hidden: else the model sees the next token, which it predicts"
        )
    if config.batch % config.accumulation:
        raise InputError(
            f"config.accumulation {config.accumulation} does not divide config.batch {config.batch}"
        )
    if config.loss_chunks and config.pipeline.length % config.loss_chunks:
        raise InputError(
            f"config.loss_chunks {config.loss_chunks} does not divide config.pipeline.length "
            f"{config.pipeline.length}"
        )


def as_dict(config: ConfigDict) -> dict[str, Any]:
    """Returns the configuration as plain JSON values."""
    return json.loads(config.to_json())


def difference(theirs: dict[str, Any], ours: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """Returns the first key, with both values, in which two configurations compute differently.

    A key that one of them does not have yet has its default.
    """
    default = flat(as_dict(base()))
    a, b = default | flat(theirs), default | flat(ours)
    for key in sorted({*a, *b}):
        if not key.startswith(FREE) and a.get(key) != b.get(key):
            return key, a.get(key), b.get(key)
    return None


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a nested dict as one of dotted keys."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        found |= flat(value, path + ".") if isinstance(value, dict) else {path: value}
    return found
