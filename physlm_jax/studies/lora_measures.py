"""What is trained and measured for the claims of LoRA."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.data.hashing import stream_key
from physlm_jax.models import lora, transformer
from physlm_jax.models.lora import subspace as spaces
from physlm_jax.models.lora.adapter import Adapted
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.pipeline import pack_rows
from physlm_jax.studies import statistics
from physlm_jax.studies.claim import Bars, Cell, Curve, Figure, Level, Measurement, Series, Table
from physlm_jax.studies.curves import learning_curve
from physlm_jax.training import config as configs
from physlm_jax.training.checkpoint import FOLDER, Run
from physlm_jax.training.config import packing_config
from physlm_jax.training.plan import make_plan
from physlm_jax.training.records import read_rows
from physlm_jax.training.step import abstract_state, make_train_step

RANKS = (1, 2, 4, 8, 32)
BUDGET = (("q", 8), ("k", 8), ("v", 8), ("o", 8), ("qk", 4), ("qv", 4), ("qkvo", 2))
WIKISQL = {"q": 70.4, "k": 70.0, "v": 73.0, "o": 73.2, "qk": 71.4, "qv": 73.7, "qkvo": 73.7}
Trained = Mapping[str, tuple[Run, ...]]


def _adapt(scale: str, which: str, rank: int = 0) -> str:
    """An argument of configs/lora.py."""
    return f"adapt,{scale},which={which}" + (f",rank={rank}" if rank else "")


def pair(scale: str) -> tuple[str, ...]:
    """A base, fine-tuned in full and with the default adapter."""
    return f"base,{scale}", _adapt(scale, "full"), _adapt(scale, "qv", 4)


def ranks(scale: str) -> tuple[str, ...]:
    """Full fine-tuning, all matrices at rank 4, and q and v at every rank."""
    return (
        _adapt(scale, "full"),
        _adapt(scale, "all", 4),
        *(_adapt(scale, "qv", r) for r in RANKS),
    )


def budgets(scale: str) -> tuple[str, ...]:
    """As many trained numbers in one matrix, two or four."""
    return (_adapt(scale, "full"), *(_adapt(scale, *each) for each in BUDGET))


PAIRS = ((2, 8), (8, 32))  # ranks whose subspaces are compared


def compared(scale: str) -> tuple[str, ...]:
    """The adapters whose subspaces are compared."""
    return tuple(_adapt(scale, "qv", rank) for rank in sorted({r for pair in PAIRS for r in pair}))


# --- From shapes alone ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Published:
    """A row of the paper: layers, width, heads; which matrices at which rank; its count."""

    label: str
    sizes: tuple[int, int, int]
    which: str
    rank: int
    paper: float
    doubt: str = ""


GPT3 = (96, 12288, 96)
ROWS = (
    Published("GPT-3 175B, q,v rank 4", GPT3, "qv", 4, 18.8e6),
    Published("GPT-3 175B, q,v rank 1", GPT3, "qv", 1, 4.7e6),
    Published("GPT-3 175B, v rank 2", GPT3, "v", 2, 4.7e6),
    Published("GPT-3 175B, q,v rank 8", GPT3, "qv", 8, 37.7e6),
    Published("GPT-3 175B, q,k,v,o rank 4", GPT3, "qkvo", 4, 37.7e6),
    Published("RoBERTa base, q,v rank 8", (12, 768, 12), "qv", 8, 0.3e6),
    Published("RoBERTa large, q,v rank 8", (24, 1024, 16), "qv", 8, 0.8e6),
    Published("DeBERTa XXL, q,v rank 16", (48, 1536, 24), "qv", 16, 4.7e6),
    Published(
        "GPT-2 medium, q,v rank 4", (24, 1024, 16), "qv", 4, 0.35e6, "the formula gives more"
    ),
    Published("GPT-2 large, q,v rank 4", (36, 1280, 20), "qv", 4, 0.77e6),
    Published(
        "DeBERTa XXL, q,v rank 8", (48, 1536, 24), "qv", 8, 4.7e6, "as table 10 prints the rank"
    ),
)


def _model(sizes: tuple[int, int, int]) -> TransformerConfig:
    layers, width, heads = sizes
    return TransformerConfig(50257, 2048, layers, width, heads, position="learned")


@functools.cache
def _rules(which: str, rank: int) -> tuple[lora.Rule, ...]:
    module = configs.load_module("configs/lora.py")
    return lora.parse(module.get_config(_adapt("laptop", which, rank)).lora)


def _shapes(model: TransformerConfig, which: str, rank: int) -> Any:
    make = functools.partial(lora.init, model, _rules(which, rank))
    return jax.eval_shape(make, jax.random.key(0))


def parameters(trained: Trained, scale: str) -> Measurement:
    """Trained numbers of the paper's models."""
    del trained, scale
    figures = []
    for row in ROWS:
        count = lora.size(_shapes(_model(row.sizes), row.which, row.rank))
        role = "baseline" if row.doubt else "ours"
        label = row.label + (f" ({row.doubt})" if row.doubt else "")
        figures.append(
            Figure(label, count / 1e6, paper=row.paper / 1e6, unit="M", seeds=0, role=role)
        )
    whole, part = transformer.parameter_count(_model(GPT3)), figures[0].value * 1e6
    figures.append(
        Figure(
            "GPT-3 175B: all / trained, rank 4",
            whole / part,
            paper=10_000,
            seeds=0,
            unit="times",
            role="baseline",
        )
    )
    figures.append(
        Figure("GPT-3 175B: all", whole / 1e9, paper=175.2558, seeds=0, unit="B", role="truth")
    )
    return Measurement(tuple(figures))


def memory(trained: Trained, scale: str) -> Measurement:
    """The state of training, at 175B from shapes and of the small model as compiled."""
    model = _model(GPT3)
    whole = transformer.parameter_count(model)
    part = lora.size(_shapes(model, "qv", 4))
    figures = [
        Figure(
            "175B: state of full fine-tuning / LoRA",
            3 * whole / (whole + 3 * part),
            paper=3,
            seeds=0,
            unit="times",
        ),
    ]
    sizes = [_compiled(trained[argument][0]) for argument in pair(scale)[1:]]
    for name in ("arguments", "all memory"):
        full, adapted = (s[name] for s in sizes)
        figures.append(
            Figure(
                f"compiled step: {name} of full fine-tuning / LoRA",
                full / adapted,
                seeds=1,
                unit="times",
            )
        )
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (label, *(s[name] / 1e6 for name in ("arguments", "temporary", "all memory")))
        for label, s in zip(("full fine-tuning", "LoRA, q,v rank 4"), sizes, strict=True)
    )
    columns = ("training step", "arguments (MB)", "temporary (MB)", "all (MB)")
    return Measurement(tuple(figures), (Table("Memory of the compiled step", columns, rows),))


def _compiled(run: Run) -> dict[str, float]:
    """Bytes of the compiled update of a run of its own."""
    config = run.config.copy_and_resolve_references()
    config.population, config.members = 1, ""
    program = make_plan(config, jax.devices()[:1]).program
    row = jax.ShapeDtypeStruct((config.batch, config.pipeline.length), jnp.int32)
    batch = dict.fromkeys(("tokens", "targets", "segment_ids", "positions"), row)
    batch["weights"] = jax.ShapeDtypeStruct(row.shape, jnp.float32)
    batch = {
        k: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=program.rows) for k, x in batch.items()
    }
    update: Any = make_train_step(program)
    found = update.lower(abstract_state(program), batch).compile()
    sizes = found.memory_analysis()
    arguments, temporary = sizes.argument_size_in_bytes, sizes.temp_size_in_bytes
    state = arguments - sum(x.size * x.dtype.itemsize for x in batch.values())
    return {"arguments": state, "temporary": temporary, "all memory": state + temporary}


def checkpoints(trained: Trained, scale: str) -> Measurement:
    """What a task stores: at 175B from shapes, of a small run by its files."""
    model = _model(GPT3)
    whole = transformer.parameter_count(model)
    part = lora.size(_shapes(model, "qv", 4))
    bytes_ = [_stored(trained[argument][0]) for argument in pair(scale)[1:]]
    counts = [
        transformer.parameter_count(trained[pair(scale)[0]][0].model),
        lora.size(_shapes(trained[pair(scale)[0]][0].model, "qv", 4)),
    ]
    figures = (
        Figure("175B: base / adapter", whole / part, paper=10_000, seeds=0, unit="times"),
        Figure("175B: adapter, 16-bit", 2 * part / 1e6, paper=35, seeds=0, unit="MB"),
        Figure("files of a run: base / adapter", bytes_[0] / bytes_[1], unit="times"),
        Figure(
            "numbers of that run: base / adapter", counts[0] / counts[1], unit="times", role="truth"
        ),
    )
    rows = (("base", counts[0], bytes_[0] / 1e3), ("adapter", counts[1], bytes_[1] / 1e3))
    columns = ("stored", "numbers", "files (kB, all members)")
    return Measurement(figures, (Table("Parameters on disk", columns, rows),))


def _stored(run: Run) -> int:
    """Bytes of the files of a checkpoint's parameters."""
    folder = Path(run.workdir) / FOLDER / str(run.step) / "params"
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


# --- From trained runs ----------------------------------------------------------------------------


def _tokens(run: Run, rows: int) -> np.ndarray:
    seed = stream_key(run.config.data_seed, "lora study")
    return pack_rows(run.world, packing_config(run.config), seed, range(rows))["tokens"]


def latency(trained: Trained, scale: str) -> Measurement:
    """The forward pass of the base, with the adapter merged, and with the adapter beside."""
    base, _, adapted = (trained[argument] for argument in pair(scale))
    run = adapted[0]
    tokens = jnp.asarray(_tokens(run, 64))
    forward = jax.jit(lambda params: transformer.apply(run.model, params, tokens).logits)
    forms = {"base": base[0].params, "merged": _merged(run), "beside": run.params}
    compiled = {name: forward.lower(params).compile() for name, params in forms.items()}
    flops = {name: _flops(c) for name, c in compiled.items()}
    times = _interleaved({n: functools.partial(c, forms[n]) for n, c in compiled.items()})
    differences = []
    for each in adapted:
        beside = forward(each.params)
        differences.append(float(jnp.abs(forward(_merged(each)) - beside).max()))
    figures = [
        Figure("merged: FLOPs / base", flops["merged"] / flops["base"], paper=1, unit="times")
    ]
    for name in ("merged", "beside"):
        ratio = statistics.mean(times[name] / times["base"])
        figures.append(
            Figure.of(
                f"{name}: time / base", ratio, unit="times", paper=1 if name == "merged" else None
            )
        )
    figures.append(
        Figure(
            "beside: FLOPs / base", flops["beside"] / flops["base"], unit="times", role="baseline"
        )
    )
    figures.append(
        Figure(
            "merged against beside: largest difference of logits",
            max(differences),
            seeds=len(adapted),
            unit="nats",
        )
    )
    return Measurement(tuple(figures))


def _flops(compiled: Any) -> float:
    return float(compiled.cost_analysis()["flops"])


def _merged(run: Run) -> Params:
    """The parameters of an adapted run as plain arrays."""
    form: Callable[[Any], Any] = lambda leaf: (  # noqa: E731
        jax.vmap(Adapted.array)(leaf) if isinstance(leaf, Adapted) else leaf
    )
    return jax.tree.map(form, run.params, is_leaf=lambda x: isinstance(x, Adapted))


def _interleaved(calls: Mapping[str, Callable[[], Any]], rounds: int = 30) -> dict[str, np.ndarray]:
    """Processor seconds of each call in turn, one array of rounds each."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 2):
        for name, call in calls.items():
            began = time.process_time()
            jax.block_until_ready(call())
            if turn >= 2:
                found[name].append(time.process_time() - began)
    return {name: np.array(seconds) for name, seconds in found.items()}


@functools.lru_cache(maxsize=256)
def _losses(run: Run) -> tuple[float, float]:
    """Held-out loss before and after: of the base on the new language, and of the run."""
    rows = read_rows(run.workdir / "metrics.jsonl", run.member)
    held = {row["step"]: row["held_out_loss"] for row in rows if "held_out_loss" in row}
    return held[min(held)], held[max(held)]


def _shares(trained: Trained, argument: str, full: str) -> statistics.Estimate:
    """How much of full fine-tuning's gain a configuration reaches, over the seeds."""
    shares = []
    for run, whole in zip(trained[argument], trained[full], strict=True):
        (before, after), (start, best) = _losses(run), _losses(whole)
        shares.append((before - after) / (start - best))
    return statistics.mean(shares)


def rank_trend(trained: Trained, scale: str) -> Measurement:
    """Share of full fine-tuning's gain by rank of q and v."""
    full, every, *arguments = ranks(scale)
    figures, rows = [], []
    for rank, argument in zip(RANKS, arguments, strict=True):
        share = _shares(trained, argument, full)
        label = f"q,v rank {rank}"
        figures.append(Figure.of(label, share, 100, seeds=len(trained[full]), unit="%"))
        rows.append(_row(label, trained[argument]))
    line = Series(
        "adapter",
        tuple(f.value for f in figures),
        tuple(map(float, RANKS)),
        tuple(f.low for f in figures),
        tuple(f.high for f in figures),
    )
    curve = Curve(
        "How much of full fine-tuning's gain does a rank reach?",
        (line,),
        "rank of q and v",
        "share of the gain (%)",
        x_log=True,
        levels=(Level("full fine-tuning", 100.0),),
    )
    whole = _shares(trained, every, full)
    label = "all matrices rank 4"
    figures.append(Figure.of(label, whole, 100, seeds=len(trained[full]), unit="%"))
    rows += [_row(label, trained[every]), _row("full fine-tuning", trained[full])]
    curves = learning_curve("q,v rank 4", trained[arguments[RANKS.index(4)]])
    return Measurement(tuple(figures), (curve, _losses_table(rows), curves))


def which(trained: Trained, scale: str) -> Measurement:
    """Share of full fine-tuning's gain by matrices, at one number of trained numbers."""
    full, *arguments = budgets(scale)
    figures, rows = [], []
    first = ("qv", "qkvo")  # the headline
    order = sorted(range(len(BUDGET)), key=lambda i: (BUDGET[i][0] not in first, i))
    for i in order:
        letters, rank = BUDGET[i]
        label = f"{','.join(letters)} rank {rank}"
        share = _shares(trained, arguments[i], full)
        role = "ours" if len(letters) > 1 else "baseline"
        figures.append(Figure.of(label, share, 100, seeds=len(trained[full]), unit="%", role=role))
        rows.append(_row(label, trained[arguments[i]]))
    rows.append(_row("full fine-tuning", trained[full]))
    bars = Bars(
        "Which matrices, at one budget?",
        tuple(f.label for f in figures),
        (
            Series(
                "share of full fine-tuning's gain",
                tuple(f.value for f in figures),
                low=tuple(f.low for f in figures),
                high=tuple(f.high for f in figures),
            ),
            Series(
                "the paper: WikiSQL accuracy of GPT-3",
                tuple(WIKISQL[BUDGET[i][0]] for i in order),
                role="paper",
            ),
        ),
        "%",
    )
    return Measurement(tuple(figures), (bars, _losses_table(rows)))


def _row(label: str, each: Sequence[Run]) -> tuple[Cell, ...]:
    before, after = zip(*(_losses(run) for run in each), strict=True)
    rules = each[0].config.lora
    model = each[0].model
    count = (
        lora.size(
            jax.eval_shape(
                functools.partial(lora.init, model, lora.parse(rules)), jax.random.key(0)
            )
        )
        if rules
        else transformer.parameter_count(model)
    )
    return label, count, float(np.mean(before)), float(np.mean(after))


def _losses_table(rows: Sequence[tuple[Cell, ...]]) -> Table:
    columns = ("trained", "numbers", "held-out loss before", "held-out loss after")
    return Table("Loss on the new language (nats per token, mean over seeds)", columns, tuple(rows))


def _matrices(run: Run, name: str) -> list[dict[str, np.ndarray]]:
    """For each layer W and its update [in, out], down [in, R] and up [out, R], of attention."""
    leaf: Adapted = run.params["blocks"]["attention"][name]["kernel"]
    found = []
    for layer in range(run.model.layers):
        one = jax.tree.map(lambda x, layer=layer: np.asarray(x[layer], np.float64), leaf)
        width = run.model.width
        down, up = one.down.reshape(width, -1), one.up.reshape(one.up.shape[0], -1)
        found.append(
            {
                "w": one.base.reshape(width, -1),
                "down": down,
                "up": up.T,
                "update": one.scale * down @ up,
            }
        )
    return found


def subspace(trained: Trained, scale: str) -> Measurement:
    """How much the directions of two ranks' adapters are one, on both sides of the update."""
    figures: list[Figure] = []
    tables = []
    for name in ("query", "value"):
        for side, letter in (("down", "A"), ("up", "B")):
            for a, b in PAIRS:
                small, large = (trained[_adapt(scale, "qv", rank)] for rank in (a, b))
                found = _similarities(small, large, name, side)
                figures += _shared(f"{name}, {letter}: ranks {a} and {b}", found, len(small))
                mean = np.mean(found, axis=0)[: min(a, 8), : min(b, 8)]
                tables.append(_grid(f"{name}, {letter}: ranks {a} and {b}", mean))
            middle = PAIRS[0][1]
            each = trained[_adapt(scale, "qv", middle)]
            if len(each) > 1:
                found = _similarities(each[:1], each[1:2], name, side)
                label = f"{name}, {letter}: rank {middle}, two seeds, phi(1, 1)"
                shared = statistics.mean([f[0, 0] for f in found])
                figures.append(Figure.of(label, shared, seeds=2, role="baseline"))
    width = next(iter(trained.values()))[0].model.width
    for a, b in PAIRS:
        rng = np.random.default_rng(0)
        frames = [[rng.standard_normal((width, r)) for r in (a, b)] for _ in range(200)]
        chance = statistics.mean([spaces.similarity(*pair)[0, 0] for pair in frames])
        label = f"random matrices of ranks {a} and {b}, phi(1, 1)"
        figures.append(Figure.of(label, chance, seeds=0, role="control"))
    expected = "expected of random, phi(1, 1) = 1 / d"
    figures.append(Figure(expected, 1 / width, seeds=0, role="truth"))
    return Measurement(tuple(figures), tuple(tables))


def _similarities(a: Sequence[Run], b: Sequence[Run], name: str, side: str) -> list[np.ndarray]:
    """phi(i, j) of each pair of runs and each layer."""
    return [
        spaces.similarity(one[side], other[side])
        for x, y in zip(a, b, strict=True)
        for one, other in zip(_matrices(x, name), _matrices(y, name), strict=True)
    ]


def _shared(label: str, found: Sequence[np.ndarray], seeds: int) -> list[Figure]:
    """The top direction, and all of the smaller adapter's."""
    small, large = found[0].shape
    top = statistics.mean([f[0, 0] for f in found])
    whole = statistics.mean([f[-1, -1] for f in found])
    return [
        Figure.of(f"{label}, phi(1, 1)", top, seeds=seeds),
        Figure.of(f"{label}, phi({small}, {large})", whole, seeds=seeds, role="baseline"),
    ]


def _grid(label: str, mean: np.ndarray) -> Table:
    columns = ("i", *(f"j = {j + 1}" for j in range(mean.shape[1])))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (str(i + 1), *map(float, row)) for i, row in enumerate(mean)
    )
    return Table(f"{label}: phi(i, j), mean over layers and seeds", columns, rows)


def _geometric(values: Sequence[float]) -> statistics.Estimate:
    """The geometric mean: a factor has a long tail where hardly anything of W is met."""
    e = statistics.mean(np.log(values))
    assert e.low is not None and e.high is not None  # several layers and seeds
    return statistics.Estimate(math.exp(e.value), math.exp(e.low), math.exp(e.high), e.n)


def amplified(trained: Trained, scale: str) -> Measurement:
    """How much the update amplifies what the weights have in its directions."""
    figures: list[Figure] = []
    rows: list[tuple[Cell, ...]] = []
    by_rank = dict(zip(RANKS, ranks(scale)[2:], strict=True))
    for name in ("query", "value"):
        for rank in RANKS:
            each = trained[by_rank[rank]]
            found = [
                spaces.amplification(m["w"], m["update"], rank)
                for run in each
                for m in _matrices(run, name)
            ]
            figures.append(
                Figure.of(
                    f"{name}, rank {rank}: amplification",
                    _geometric([f.factor for f in found]),
                    seeds=len(each),
                    role="ours" if rank in (1, 32) else "baseline",
                )
            )
            means = np.mean(np.array(found), axis=0)
            rows.append((f"{name}, rank {rank}", *map(float, means)))
    for rank, paper in ((4, 0.02), (64, 0.33)):
        figures.append(
            Figure(
                f"random directions at d = 12288, r = {rank}",
                spaces.chance(61.95, rank, 12288, 12288),
                paper=paper,
                seeds=0,
                role="truth",
            )
        )
    columns = ("", "dW directions", "W directions", "random", "||dW||", "amplification")
    note = "||U^T W V||_F with the directions of the update, of W, of a random matrix (table 7)."
    return Measurement(tuple(figures), (Table("Table 7 in small", columns, tuple(rows), note),))
