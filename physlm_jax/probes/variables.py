"""V-probing: what does a model know of each quantity of a problem, before it writes it down?

Six functions (see `variable_tasks`) are read off the frozen model by a small update of its
embedding and a linear head. Beside each stand the same probe on an untrained model and the share of
the commoner answer; right answers on positives and negatives are counted apart, and `nece` by the
distance of a quantity from what is asked. Source: arXiv 2407.20311, section 4 (Results 4, 5, 8).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from physlm_jax.data.hashing import stream_key
from physlm_jax.data.igsm import IgsmWorld, sample
from physlm_jax.models import transformer
from physlm_jax.models.transformer import Params
from physlm_jax.probes.fitting import option
from physlm_jax.probes.measurement import Cell, Measurement, joined
from physlm_jax.probes.reasoning import as_igsm, longest_of, problems_of
from physlm_jax.probes.variable_fit import ADAPTER, FitConfig, Probe, cut, fit, predict
from physlm_jax.probes.variable_tasks import TASKS, Asked, ask

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run


@dataclass(frozen=True)
class Settings:
    """Flags of the entry point; the defaults are a laptop's."""

    tasks: tuple[str, ...] = option(TASKS, "functions to probe: " + ", ".join(TASKS))
    layers: tuple[int, ...] = option(
        (-1,), "blocks after which it is read, -1 the last; all", "layer", everything=True
    )
    cells: tuple[str, ...] = option(("law",), "problems to test on: see the probe reasoning")
    count: int = option(512, "problems to test on, of each cell")
    steps: int = option(300, "updates")
    batch: int = option(32, "problems per update")
    fresh: int = option(100, "batches of problems; they are used in turn")
    most: int = option(10, "questions about each problem")
    adapter: str = option(ADAPTER, "what is adapted: rules of models.lora")
    learning_rate: float = option(2e-3, "of AdamW(.9, .98), falling to 0")
    weight_decay: float = option(0.01, "of AdamW")
    untrained: bool = option(True, "also probe an untrained model")
    seed: int = option(0, "of problems, questions and starts")

    @property
    def fitting(self) -> FitConfig:
        """How a probe is fitted."""
        names = [f.name for f in dataclasses.fields(FitConfig)]
        return FitConfig(**{name: getattr(self, name) for name in names})


def training_batches(
    world: IgsmWorld, task: str, settings: Settings, longest: int
) -> list[list[Asked]]:
    """Returns batches of training problems with questions."""
    seed, size = stream_key(settings.seed, "variable training", task), settings.batch
    problems = sample(world.spec, seed, 0, settings.fresh * size)
    fitting = [p for p in problems if world.size(p) <= longest]
    asked = [ask(world, p, task, settings.most, settings.seed) for p in fitting]
    return [asked[lo : lo + size] for lo in range(0, len(asked) - size + 1, size)]


def fitted(run: Run, task: str, settings: Settings) -> tuple[Probe, Params]:
    """Returns a probe of one task fitted on a run's model, and the parameters it reads."""
    batches = training_batches(as_igsm(run.world), task, settings, longest_of(run))
    model, params = cut(run.model, run.params)
    return fit(settings.fitting, model, params, task, batches), params


def scores(asked: Sequence[Asked], found: np.ndarray) -> dict[str, Any]:
    """Returns shares of right answers: in all, by class, by distance, for A not needed."""
    truth = np.concatenate([a.truth for a in asked])
    necessary = np.concatenate([a.necessary for a in asked])
    distance = np.concatenate([a.distance for a in asked])
    right = found == truth
    return {
        "n": len(truth),
        "right": _share(right),
        "majority": float(np.bincount(truth).max() / len(truth)),
        "positives": _share(right[truth > 0]),
        "negatives": _share(right[truth == 0]),
        "unnecessary": _share(right[~necessary]),
        "by_distance": {
            str(t): {"n": int((distance == t).sum()), "right": _share(right[distance == t])}
            for t in range(int(distance.max(initial=0)) + 1)
        },
    }


def _share(right: np.ndarray) -> float | None:
    return float(right.mean()) if len(right) else None


def measure(run: Run, settings: Settings) -> Measurement:
    """Returns how often probes are right, of a run's model and of an untrained one.

    Raises:
        InputError: a world without problems, no such task, layer or cell.
    """
    world, room = as_igsm(run.world), longest_of(run)
    key = jax.random.key(stream_key(settings.seed, "control") >> 33)
    models = {"trained": run.params}
    if settings.untrained:
        models["untrained"] = transformer.init(run.model, key)
    rows: list[tuple[Cell, ...]] = []
    data: dict[str, Any] = {}
    for task in settings.tasks or TASKS:
        tests = {
            cell: [
                ask(world, p, task, settings.most, settings.seed)
                for p in problems_of(world, cell, settings.seed, settings.count, room)
            ]
            for cell in settings.cells
        }
        batches = training_batches(world, task, settings, room)
        for layer in settings.layers or range(1, run.model.layers + 1):
            found: dict[str, dict[str, Any]] = {cell: {} for cell in tests}
            for name, params in models.items():
                model, kept = cut(run.model, params, layer)
                probe = fit(settings.fitting, model, kept, task, batches)
                for cell, asked in tests.items():
                    found[cell][name] = scores(asked, predict(probe, kept, asked))
            for cell, both in found.items():
                data[f"{task}/{layer}/{cell}"] = both
                rows.append(_row(task, layer, cell, both))
    header = ("task", "layer", "cell", "n", "right", "untrained", "majority", "true", "false")
    name = (
        "variables-" + (joined(settings.layers) or "all")
        if settings.layers != (-1,)
        else "variables"
    )
    return Measurement(name, header, tuple(rows), {"tasks": data})


def _row(task: str, layer: int, cell: str, both: dict[str, dict[str, Any]]) -> tuple[Cell, ...]:
    own, other = both["trained"], both.get("untrained", {})
    shares = (own["right"], other.get("right"), own["majority"], own["positives"], own["negatives"])
    return (task, layer, cell, own["n"], *shares)
