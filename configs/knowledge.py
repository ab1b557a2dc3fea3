"""Knowledge: stored, extracted, manipulated, counted in bits (Parts 3.1, 3.2 and 3.3).

python -m physlm_jax.train --config=configs/knowledge.py:bioS,laptop,exposures=300 --workdir=runs/a
python -m physlm_jax.probe --workdir=runs/a --probe=capacity

The argument is "variant,scale" with optional ",key=value" settings:
  variant  of the biographies: bioS, bioS-simple, bioR (Part 3.3's), single, multi5+permute, ..
           (see physlm_jax/data/bios/variants.py); or bioD, knowledge of any shape
  scale    laptop  the small pools, 1000 people, 2 layers; minutes on 2 cores
           gpu     the full pools, 10,000 to 200,000 people; minutes on one large accelerator
           paper   the papers' own sizes: bioS and bioS-simple as in Part 3.3, the others as in 3.1
  n          people
  exposures  how often each is presented in all (entries count each)
  model      layers-heads of 64 dimensions (laptop: layers-dimensions, one head)
  arch       gpt2, llama, mistral, plain (llama with an ungated MLP by silu), quarter (MLP of
             d->d->d), nomlp, experts (32 of d->d->d, one a token)
  k, c, d, l, t  of bioD: attributes, chunks of a value, different chunks of an attribute,
             symbols of a chunk, symbols in all
  junk       bios: 7 of 8 rows are of others, each seen hardly ever; repeated: of few others
  marked     1: useful biographies begin with a token of their domain
  celebrities  people with five reordered biographies each, whose questions are trained on
  tasks      questions on half of the people (or on all celebrities), of groups or names:
             extraction, partial, dual, classification, comparison, inverse; several by "/"
  mixed      share of rows with questions, trained together with biographies from scratch
  tune       full, or ranks "r-r2" of the adapters of query and value, and of the embedding (0:
             none): questions alone, from the run without tasks
  bidirectional  1: no causal mask, masked words are predicted (Part 3.1's control)
  output     1: the adapter of the embedding also changes the output map that is tied to it (the
             papers do not say); else words that biographies never have cannot be said
  hints      share of the questions with hints;  asked: people with questions in training
  lr, decay  learning rate and weight decay, where a study compares some

Sources: arXiv 2309.14316, 2309.14402 and 2404.05405; sections 2, 7 and 9 of knowledge.md.
"""

import math

from ml_collections import ConfigDict

from physlm_jax.data import open_world
from physlm_jax.data.bios import BiosWorld
from physlm_jax.errors import InputError, unknown
from physlm_jax.pipeline import examples_per_block
from physlm_jax.training.config import base, packing_config, read_settings, set_data, split_argument

SCALES = ("laptop", "gpu", "paper")
WHERE = "configs/knowledge.py"
SETTINGS = {
    "n": "",
    "k": "4",
    "c": "1",
    "d": "100",
    "l": "2",
    "t": "100",
    "exposures": "",
    "model": "",
    "arch": "gpt2",
    "junk": "",
    "marked": "0",
    "celebrities": "0",
    "tasks": "",
    "mixed": "0",
    "tune": "",
    "hints": "0",
    "asked": "0",
    "bidirectional": "0",
    "output": "0",
    "lr": "",
    "decay": "",
}
ARCHITECTURES = {
    "gpt2": {},
    "llama": {"mlp": "gated", "mlp_ratio": 8 / 3, "norm": "rmsnorm", "bias": False, "tied": False},
    "mistral": {"mlp": "gated", "mlp_ratio": 3.5, "norm": "rmsnorm", "bias": False, "tied": False},
    "plain": {"mlp": "silu", "norm": "rmsnorm", "bias": False, "tied": False},
    "quarter": {"mlp_ratio": 1.0},
    "nomlp": {"mlp": "none"},
    "experts": {"mlp": "experts", "mlp_ratio": 1.0},
}
CAPACITY = ("bioS", "bioS-simple", "bioR", "bioD")  # the data sets of Part 3.3
CHOICES = {
    "junk": ("", "bios", "repeated"),
    "marked": ("0", "1"),
    "bidirectional": ("0", "1"),
    "output": ("0", "1"),
}
SHAPE = ("k", "c", "d", "l", "t")  # of bioD alone
HOSTS = {"v5e:2x2": 1, "v5e:4x4": 4, "v5e:8x8": 16}  # of four chips each
OF_BIOS = ("junk", "marked", "celebrities", "tasks", "mixed", "tune", "hints", "asked", "output")
LARGE = 2e8  # parameters from which on a model's state is cut over chips
OF_BASE = ("n", "exposures", "model", "arch", "junk", "marked", "celebrities", "bidirectional")
# section 7.1: people -> learning rate, rows of a batch; and the weight decay at 1000 exposures
LONG = {
    10_000: (1e-3, 24, 0.02),
    20_000: (1e-3, 48, 0.02),
    50_000: (1e-3, 96, 0.02),
    100_000: (1e-3, 192, 0.02),
    200_000: (1e-3, 192, 0.02),
    500_000: (5e-4, 192, 0.01),
    1_000_000: (5e-4, 192, 0.01),
    2_000_000: (3e-4, 1536, 0.005),
    5_000_000: (3e-4, 1536, 0.002),
    10_000_000: (3e-4, 1536, 0.001),
}
SHORT = {
    50_000: (1e-3, 12, 0.01),
    100_000: (1e-3, 24, 0.01),
    200_000: (1e-3, 48, 0.01),
    500_000: (5e-4, 96, 0.01),
    1_000_000: (5e-4, 192, 0.01),
    2_000_000: (5e-4, 384, 0.01),
    5_000_000: (3e-4, 768, 0.01),
    10_000_000: (3e-4, 1024, 0.01),
    20_000_000: (3e-4, 1536, 0.002),
}


def get_config(arg: str = "bioS,laptop") -> ConfigDict:
    """Returns the configuration of `variant,scale[,key=value]...`."""
    variant, scale, settings = split_argument(arg)
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES, WHERE)
    chosen = read_settings(settings, SETTINGS, WHERE)
    _check(variant, chosen)
    c = base()
    c.name = " ".join([variant, *settings])
    capacity = variant in CAPACITY
    n = _whole(chosen, "n") or {"laptop": 1000, "gpu": 20_000, "paper": 100_000}[scale]
    rewritten = variant.startswith("bioR-")
    exposures = _whole(chosen, "exposures") or _usual(scale, capacity, rewritten, chosen)
    {"laptop": _laptop, "gpu": _gpu, "paper": _paper}[scale](c, capacity, n, exposures)
    if rewritten and scale == "paper":  # section 2.3
        _size(c, "12-20")
    _model(c, scale, chosen)
    if variant == "bioD":
        _shape(c, scale, n, chosen)
    else:
        _data(
            c, variant, scale, n, chosen, plain=scale == "laptop" and capacity and variant != "bioR"
        )
    if chosen["bidirectional"] == "1":
        _bidirectional(c, scale)
    if scale != "laptop":
        _blocks(c)
    _steps(c, exposures)
    if chosen["mixed"] != "0":  # to see what is learned when
        c.checkpoint.every = c.checkpoint.keep_every = -(-c.steps // 10)
    if chosen["tune"]:
        c.base.run = "@" + ",".join([variant, scale, *(s for s in settings if _is_of_base(s))])
        _tune(c, scale, chosen["tune"], chosen["output"] == "1")
    if chosen["lr"]:
        c.optimizer.learning_rate = _number(chosen, "lr")
    if chosen["decay"]:
        c.optimizer.weight_decay = _number(chosen, "decay")
    return c


def _check(variant: str, chosen: dict[str, str]) -> None:
    if chosen["arch"] not in ARCHITECTURES:
        raise unknown("arch", chosen["arch"], ARCHITECTURES, WHERE)
    for key, allowed in CHOICES.items():
        if chosen[key] not in allowed:
            raise InputError(f"{WHERE}: {key} must be {' or '.join(allowed)}, got '{chosen[key]}'")
    given = [key for key in SETTINGS if chosen[key] != SETTINGS[key]]
    strange = set(given) & set(OF_BIOS if variant == "bioD" else SHAPE)
    if strange:
        what = "biographies" if variant == "bioD" else "bioD"
        raise InputError(f"{WHERE}: {min(strange)} is of {what}, not of '{variant}'")
    mixed = "mixed" in given
    if ("tune" in given and mixed) or ("tasks" in given) != ("tune" in given or mixed):
        raise InputError(
            f"{WHERE}: tasks go with tune=full|R-R2 (after biographies) or mixed=SHARE "
            "(together with them), and those with tasks"
        )
    if "tasks" not in given and ("hints" in given or "asked" in given):
        raise InputError(f"{WHERE}: hints and asked are about tasks, and there are none")
    if "output" in given and chosen["tune"] in ("", "full"):
        raise InputError(f"{WHERE}: output is of adapters, it goes with tune=R-R2")
    if mixed and not 0 < _number(chosen, "mixed") < 1:
        raise InputError(f"{WHERE}: mixed must be a share in (0, 1), got '{chosen['mixed']}'")


def _whole(chosen: dict[str, str], key: str) -> int:
    value = chosen[key]
    least = 0 if key in ("celebrities", "asked") else 1
    if value and not (value.isdigit() and int(value) >= least):
        raise InputError(f"{WHERE}: {key} must be a whole number >= {least}, got '{value}'")
    return int(value or 0)


def _is_of_base(setting: str) -> bool:
    return setting.partition("=")[0] in OF_BASE


def _number(chosen: dict[str, str], key: str) -> float:
    try:
        value = float(chosen[key])
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"{WHERE}: {key} must be a number >= 0, got '{chosen[key]}'")
    return value


def _usual(scale: str, capacity: bool, rewritten: bool, chosen: dict[str, str]) -> int:
    """Exposures where none are said: of Part 3.1 its 80,000 updates, for some 150,000.

    Rewritten biographies are longer here than there; their exposures are those of as many tokens.
    """
    if capacity:
        return {"laptop": 300, "gpu": 1000, "paper": 1000}[scale]
    if scale != "paper":
        return {"laptop": 250, "gpu": 500}[scale]
    whole = 1010 if chosen["bidirectional"] == "1" else 830 if rewritten else 540
    return round(whole * (1 - _number(chosen, "mixed")))


def _laptop(c: ConfigDict, capacity: bool, n: int, exposures: int) -> None:
    """Section 9.2 of knowledge.md: rows of four biographies, small batches."""
    del n, exposures
    width = 32 if capacity else 64
    c.model.layers, c.model.width, c.model.heads = 2, width, 1
    c.pipeline.length, c.pipeline.rows_per_block, c.batch = 140, 4, 4
    c.optimizer.learning_rate, c.optimizer.warmup = 3e-3, 200
    _optimizer(c, 0.02)
    c.eval.rows = 64


def _gpu(c: ConfigDict, capacity: bool, n: int, exposures: int) -> None:
    c.model.dtype = "bfloat16"
    _size(c, "2-4" if capacity else "6-6")
    rate, batch, decay = _nearest(SHORT if exposures < 300 else LONG, n)
    c.optimizer.learning_rate, c.optimizer.warmup = rate, 1000
    c.batch = batch if capacity else 96
    _optimizer(c, decay if capacity else 0.1)
    c.eval.rows = 192


def _paper(c: ConfigDict, capacity: bool, n: int, exposures: int) -> None:
    """Section 7.1 for capacity, 2.3 and 2.4 for extraction; what is not told there is base()'s."""
    c.model.dtype = "bfloat16"
    _size(c, "12-12")
    rate, batch, decay = _nearest(SHORT if exposures < 300 else LONG, n)
    c.optimizer.learning_rate, c.optimizer.warmup = rate, 1000
    c.batch = batch
    _optimizer(c, decay)
    if not capacity:
        c.batch, c.optimizer.learning_rate, c.optimizer.weight_decay = 96, 1e-3, 0.1
        c.model.rotary_fraction = 0.25
    c.topology = "v5e:2x2" if c.batch % 16 else "v5e:4x4" if c.batch < 768 else "v5e:8x8"
    c.eval.rows = 192


def _blocks(c: ConfigDict) -> None:
    """The longest blocks, up to 96 rows, that a host's share is made of: they pad least."""
    rows = c.batch // HOSTS.get(c.topology, 1)
    c.pipeline.rows_per_block = max(size for size in range(1, 97) if rows % size == 0)


def _optimizer(c: ConfigDict, decay: float) -> None:
    """AdamW, cosine to a tenth; the papers do not tell the betas."""
    c.optimizer.weight_decay, c.optimizer.epsilon = decay, 1e-6
    c.optimizer.schedule, c.optimizer.final_fraction = "cosine", 0.1
    c.pipeline.mode = "exact"


def _nearest(table: dict[int, tuple[float, int, float]], n: int) -> tuple[float, int, float]:
    """The row of the most people up to n, or of the fewest."""
    return table[max((k for k in table if k <= n), default=min(table))]


def _size(c: ConfigDict, model: str) -> None:
    """Sets layers and heads of 64 dimensions from "layers-heads"."""
    layers, heads = _pair(model, "model must be layers-heads, like 2-4")
    c.model.layers, c.model.heads, c.model.width = layers, heads, 64 * heads


def _pair(text: str, form: str, least: int = 1) -> tuple[int, int]:
    """Two whole numbers, the first at least 1, the second at least `least`."""
    first, _, second = text.partition("-")
    if not (first.isdigit() and second.isdigit() and int(first) and int(second) >= least):
        raise InputError(f"{WHERE}: {form}, got '{text}'")
    return int(first), int(second)


def _model(c: ConfigDict, scale: str, chosen: dict[str, str]) -> None:
    if chosen["model"] and scale == "laptop":
        form = "model must be layers-dimensions at laptop, like 2-32"
        c.model.layers, c.model.width = _pair(chosen["model"], form)
    elif chosen["model"]:
        _size(c, chosen["model"])
    c.model.update(ARCHITECTURES[chosen["arch"]])
    if chosen["arch"] == "mistral":  # grouped keys: section 7.3
        heads = c.model.heads
        c.model.kv_heads = 4 if heads % 4 == 0 else 2 if heads % 2 == 0 else 1
    if scale == "paper" and chosen["arch"] == "experts":
        c.mesh.expert = 4
    if scale == "paper" and c.model.layers * 12 * c.model.width**2 > LARGE:
        c.mesh.fsdp, c.model.unroll, c.model.remat = 16, 1, "dots"


def _data(
    c: ConfigDict, variant: str, scale: str, n: int, chosen: dict[str, str], plain: bool
) -> None:
    laptop = scale == "laptop"
    small = "atomic-plain" if plain else "atomic"
    options = {
        "people": n,
        "variant": variant,
        "pools": "mini" if laptop else "full",
        "vocabulary": small if laptop else "word",
        "marked": chosen["marked"] == "1",
        "celebrities": _whole(chosen, "celebrities"),
    }
    if laptop and options["marked"]:
        c.pipeline.length = 144  # four biographies with their marks
    if chosen["junk"]:
        few = max(n // 100, 10)
        many = {"laptop": 100_000, "gpu": 10_000_000, "paper": 100_000_000}[scale]
        options["junk_people"] = many if chosen["junk"] == "bios" else few
    if chosen["tasks"]:
        share = 1.0 if chosen["tune"] else _number(chosen, "mixed")
        options |= {"tasks": chosen["tasks"].replace("/", ","), "question_share": share}
        options |= {"hints": _number(chosen, "hints"), "asked": _whole(chosen, "asked")}
        options["prompt_weight"] = 0.0 if laptop else 1.0
    set_data(c, "bios", **options)


def _shape(c: ConfigDict, scale: str, n: int, chosen: dict[str, str]) -> None:
    """Section 1.5: bioD(N, K, C, D, L, T); of section 7.1, weight decay .01 and rate 5e-4."""
    names = {"k": "attributes", "c": "chunks", "d": "diversity", "l": "length", "t": "alphabet"}
    options = {name: _whole(chosen, key) for key, name in names.items()}
    set_data(c, "biod", people=n, pools="mini" if scale == "laptop" else "full", **options)
    if scale != "laptop":
        c.optimizer.weight_decay, c.optimizer.learning_rate = 0.01, 5e-4
    if scale == "paper":
        c.batch, c.topology = 192, "v5e:4x4"
    if scale == "laptop":
        c.pipeline.length, c.pipeline.rows_per_block = 128, 32
        c.batch = 32


def _bidirectional(c: ConfigDict, scale: str) -> None:
    """Section 2.6: 15 % of the words are masked; of questions, the answers."""
    c.model.causal, c.pipeline.masked = False, 0.15
    if c.data.get("question_share", 0) == 1:
        c.pipeline.masked = 1.0
        c.data.prompt_weight = 0.0
    if scale == "paper":
        c.optimizer.learning_rate = 3e-4


def _steps(c: ConfigDict, exposures: int) -> None:
    """As many updates as show people so often on average, each entry as often as any other."""
    world = open_world(c.data)
    share, useful = 1.0, world
    if isinstance(world, BiosWorld):
        useful, people = world.biographies, sum(group.n for group in world.biographies.groups)
        if world.mixture is not None:
            share = world.mixture.shares[0] / sum(world.mixture.shares)
    else:
        people = c.data.people
    each = examples_per_block(useful, packing_config(c)) / c.pipeline.rows_per_block
    c.steps = -int(-people * exposures // (each * c.batch * share))


def _tune(c: ConfigDict, scale: str, how: str, output: bool) -> None:
    """Section 2.4: LoRA of query, value and embedding, alpha 4, or everything; no warm-up."""
    c.optimizer.warmup = 0
    c.optimizer.learning_rate, c.optimizer.weight_decay = 3e-4, 0.01
    c.steps, c.batch = {"laptop": (1500, 64), "gpu": (5000, 48), "paper": (50_000, 48)}[scale]
    if not c.model.causal:  # section 2.6
        c.optimizer.schedule, c.optimizer.final_fraction = "linear", 0.0
    if scale == "laptop":
        c.pipeline.mode, c.pipeline.rows_per_block = "single", 64
        c.pipeline.length = int(open_world(c.data).examples(0, 0, 5000).lengths.max())
        c.optimizer.learning_rate = 1e-3 if how == "full" else 3e-3
    else:
        _blocks(c)
    if how == "full":
        return
    rank, of_embedding = _pair(how, "tune must be full or ranks r-r2, like 8-128", least=0)
    style = "alpha=4, scale=constant, init=zero_down"
    c.lora = f"attention/(query|value): rank={rank}, {style}"
    if of_embedding:
        tied = ", tied=True" if output else ""
        c.lora += f"; ^embedding$: rank={of_embedding}, {style}{tied}"


def sweep() -> list[dict[str, object]]:
    """Returns the overrides of a scaling law of the laptop: people, width and exposures.

    The updates are those of so many exposures, four rows of four biographies each.
    """
    return [
        {"data.people": n, "model.width": width, "steps": -(-n * exposures // 16)}
        for n in (250, 500, 1000, 2000)
        for width in (16, 32)
        for exposures in (100, 300)
    ]
