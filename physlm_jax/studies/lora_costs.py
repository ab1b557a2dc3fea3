"""What an adapter costs: trained numbers, memory, storage, latency (sections 4.1 and 4.2)."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.data.hashing import stream_key
from physlm_jax.models import lora, transformer
from physlm_jax.models.lora.adapter import Adapted
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.pipeline import pack_rows
from physlm_jax.studies import lora_runs as runs
from physlm_jax.studies import statistics
from physlm_jax.studies.exhibits import Cell, Figure, Measurement, Table
from physlm_jax.training import config as configs
from physlm_jax.training.checkpoint import FOLDER, Run
from physlm_jax.training.config import packing_config
from physlm_jax.training.plan import make_plan
from physlm_jax.training.step import abstract_state, make_train_step


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
    return lora.parse(module.get_config(runs.adapt("laptop", which, rank)).lora)


def _shapes(model: TransformerConfig, which: str, rank: int) -> Any:
    make = functools.partial(lora.init, model, _rules(which, rank))
    return jax.eval_shape(make, jax.random.key(0))


def parameters(trained: runs.Trained, scale: str) -> Measurement:
    """runs.Trained numbers of the paper's models."""
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


def memory(trained: runs.Trained, scale: str) -> Measurement:
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
    sizes = [_compiled(trained[argument][0]) for argument in runs.pair(scale)[1:]]
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


def checkpoints(trained: runs.Trained, scale: str) -> Measurement:
    """What a task stores: at 175B from shapes, of a small run by its files."""
    model = _model(GPT3)
    whole = transformer.parameter_count(model)
    part = lora.size(_shapes(model, "qv", 4))
    bytes_ = [_stored(trained[argument][0]) for argument in runs.pair(scale)[1:]]
    counts = [
        transformer.parameter_count(trained[runs.pair(scale)[0]][0].model),
        lora.size(_shapes(trained[runs.pair(scale)[0]][0].model, "qv", 4)),
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


def _tokens(run: Run, rows: int) -> np.ndarray:
    seed = stream_key(run.config.data_seed, "lora study")
    return pack_rows(run.world, packing_config(run.config), seed, range(rows))["tokens"]


def latency(trained: runs.Trained, scale: str) -> Measurement:
    """The forward pass of the base, with the adapter merged, and with the adapter beside."""
    base, _, adapted = (trained[argument] for argument in runs.pair(scale))
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
