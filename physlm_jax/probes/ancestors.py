"""The ancestor probe: do a model's hidden states hold the parse tree, and where?

A linear probe of the frozen model's states (see `linear`) is trained to tell every token's
ancestors and the borders of subtrees. Read through the whole string it asks what the states hold
together; read through the diagonal mask, from E_i alone, it asks what is stored at position i.
The paper finds the tree stored at the ends of subtrees: there diagonal probes are right, and only
there. `random_control` gives what to compare with: an untrained model is far above chance, too.

Each of M masks and K layers has its own probe; all are fitted together on the same strings.
Source: arXiv 2305.13673, section 4, Results 4 and 5.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from ml_collections import ConfigDict

from physlm_jax.data import cfg
from physlm_jax.data.hashing import stream_key
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.probes import fitting, linear, scores
from physlm_jax.probes.fitting import Chunk, FitConfig, option
from physlm_jax.probes.measurement import Measurement, joined
from physlm_jax.probes.scores import AncestorResult
from physlm_jax.probes.targets import Strings, Target, draw, targets


@dataclass(frozen=True)
class ProbeConfig(FitConfig):
    """How probes are fitted, what they are asked and how they are tested.

    The targets share the heads' position vectors: one probe with a softmax per target and level.
    """

    targets: tuple[str, ...] = option(("symbols",), "symbols, boundaries, ends", "target")
    strings: int = option(500, "test strings, drawn apart from those fitted on")
    trees: int = option(
        3, "test strings whose trees are kept with the probe's verdicts; 0: none", least=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strings < 1 or self.trees < 0 or not self.targets:
            raise InputError("probe: needs a target, strings >= 1 and trees >= 0")


Settings = ProbeConfig


class Run(Protocol):
    """What is read of a run (`training.checkpoint.load_run`)."""

    config: ConfigDict
    model: TransformerConfig
    params: transformer.Params
    world: Any


def random_control(config: TransformerConfig, key: jax.Array) -> transformer.Params:
    """Returns the parameters of an untrained model of the same shape (the paper's GPT_rand)."""
    return transformer.init(config, key)


def probe_ancestors(
    world: cfg.CfgWorld, model: TransformerConfig, params: transformer.Params, config: ProbeConfig
) -> tuple[AncestorResult, ...]:
    """Fits and tests one probe per layer and mask; the model is not changed.

    Args:
        world: the language; its strings are drawn clean, through its alphabet if it has one.
        model, params: a decoder or an encoder. Strings longer than max_length - 1 are cut.
        config: everything else. Equal arguments give equal results on the same devices.

    Returns:
        Results in the order layers within masks: config.masks[0] with every layer first.

    Raises:
        InputError: a layer, mask or target that does not exist.
    """
    wanted = targets(world.grammar, config.targets)
    if not wanted:
        raise InputError(f"grammar '{world.grammar.name}' has no level between root and tokens")
    sizes = tuple(target.classes for target in wanted)
    blocks = config.blocks(model.layers)
    probes = fitting.fit(config, sizes, _chunks(world, model, params, config, wanted))
    strings = _draw(world, model, config, wanted, "test", 0, config.strings)
    predicted = _predict(config, sizes, probes, model, params, strings)
    return tuple(
        AncestorResult(
            blocks[k],
            mask,
            scores.score(wanted, strings, predicted[m, k]),
            scores.trees(world, wanted, strings, predicted[m, k], config.trees),
        )
        for m, mask in enumerate(config.masks)
        for k in range(len(blocks))
    )


def _positions(world: cfg.CfgWorld, model: TransformerConfig) -> int:
    """T: the longest string that there can be in the model's window behind BOS."""
    return min(model.max_length - 1, cfg.statistics(world.grammar).max_length)


def _draw(
    world: cfg.CfgWorld,
    model: TransformerConfig,
    config: ProbeConfig,
    wanted: tuple[Target, ...],
    purpose: str,
    start: int,
    count: int,
) -> Strings:
    seed = stream_key(config.seed, "probe-strings", purpose)
    return draw(world, wanted, seed, start, count, _positions(world, model))


def _states(
    config: ProbeConfig, model: TransformerConfig, params: transformer.Params, tokens: np.ndarray
) -> jax.Array:
    """float32[K, N, T, D] for int32[N, 1 + T], N a multiple of the batch."""
    batches = tokens.reshape(-1, config.batch, tokens.shape[1])
    blocks = config.blocks(model.layers)
    return fitting.hidden_states(model, params, batches, blocks, config.final_norm)


def _chunks(
    world: cfg.CfgWorld,
    model: TransformerConfig,
    params: transformer.Params,
    config: ProbeConfig,
    wanted: tuple[Target, ...],
) -> Iterator[Chunk]:
    probed = len(config.blocks(model.layers))
    count = config.batch * fitting.batches_per_chunk(
        config, probed, _positions(world, model), model.width
    )
    for start in itertools.count(0, count):
        strings = _draw(world, model, config, wanted, "fit", start, count)
        states = _states(config, model, params, strings.tokens)
        yield Chunk(states, strings.lengths, strings.classes)


def _predict(
    config: ProbeConfig,
    sizes: tuple[int, ...],
    probes: tuple[linear.Params, ...],
    model: TransformerConfig,
    params: transformer.Params,
    strings: Strings,
) -> np.ndarray:
    """int32[M, K, N, T, G]: classes, batch by batch; the last is filled up with the last string."""
    found = []
    for start in range(0, len(strings.lengths), config.batch):
        rows = np.arange(start, start + config.batch).clip(max=len(strings.lengths) - 1)
        states = _states(config, model, params, strings.tokens[rows])
        lengths = strings.lengths[rows]
        found.append(np.asarray(fitting.predict(config.deltas, sizes, probes, states, lengths)))
    return np.concatenate(found, axis=2)[:, :, : len(strings.lengths)]


def measure(run: Run, settings: ProbeConfig) -> Measurement:
    """Probes a run: the contract of `measurement`.

    Raises:
        InputError: the run's world is not a layered language, or as `probe_ancestors`.
    """
    if not isinstance(run.world, cfg.CfgWorld):
        world = run.config.data.world
        raise InputError(f"probe ancestors needs a run on the world 'cfg', not '{world}'")
    results = probe_ancestors(run.world, run.model, run.params, settings)
    rows = tuple(
        (
            result.layer,
            result.mask,
            score.target.kind,
            score.target.level or "b#",
            *(score.regions[name].accuracy for name in ("all", "ends", "elsewhere")),
            score.regions["all"].majority,
            len(score.regions["all"].total),
        )
        for result in results
        for score in result.scores
    )
    blocks = settings.blocks(run.model.layers)
    name = f"ancestors-{joined(settings.targets)}-{joined(settings.masks)}-layer{joined(blocks)}"
    data = {
        "grammar": run.world.grammar.name,
        "sizes": list(run.world.grammar.sizes),
        "settings": dataclasses.asdict(settings),
        "results": [result.to_json() for result in results],
    }
    header = ("layer", "mask", "target", "level", "all", "at ends", "elsewhere", "majority", "n")
    return Measurement(name, header, rows, data)
