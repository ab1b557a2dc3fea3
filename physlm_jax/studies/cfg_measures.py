"""What is trained and measured for the claims of Part 1, and the exhibits beside the figures.

Each public function from `accuracy` on is a claim's measurement: (config argument -> finished runs,
one per seed; scale) -> `Measurement`. Source: arXiv 2305.13673 (v4), Results 1-5.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax

from physlm_jax.data import cfg
from physlm_jax.data.hashing import stream_key
from physlm_jax.decoding.interface import ngram_sampler, transformer_predictor, transformer_sampler
from physlm_jax.models.ngram import NGram
from physlm_jax.pipeline import pack_rows
from physlm_jax.probes import divergence, generation
from physlm_jax.probes.ancestors import ProbeConfig, probe_ancestors, random_control
from physlm_jax.probes.held_out import Mean
from physlm_jax.probes.scores import AncestorResult, TreeVerdict
from physlm_jax.studies import cfg_reported as reported
from physlm_jax.studies import statistics
from physlm_jax.studies.curves import learning_curve
from physlm_jax.studies.exhibits import (
    Bars,
    Curve,
    Exhibit,
    Figure,
    Level,
    Measurement,
    Node,
    Sample,
    Series,
    Table,
    Text,
    Tree,
)
from physlm_jax.studies.statistics import Estimate
from physlm_jax.training.checkpoint import Run
from physlm_jax.training.config import packing_config

NGRAM_ORDERS = (5, 10)
NGRAM_TOKENS = 4_000_000  # of the training stream at most; more would not fit a laptop's memory


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is measured at a scale: generated samples, strings of the KL, the probes."""

    samples: int
    strings: int
    probe: ProbeConfig


_MASKS = ("full", "diagonal")
EFFORT = {
    "laptop": Effort(2000, 500, ProbeConfig(masks=_MASKS)),
    "gpu": Effort(4000, 500, ProbeConfig(masks=_MASKS, heads=16, steps=3000, cache_mb=8192)),
    "paper": Effort(
        20_000,
        2000,
        ProbeConfig(
            masks=_MASKS,
            heads=16,
            head_dim=1024,
            steps=30_000,
            reuse=1,
            learning_rate=3e-3,
            strings=2000,
            cache_mb=8192,
        ),
    ),
}


def runs(scale: str) -> tuple[str, ...]:
    """Returns the configurations to train at a scale (arguments of configs/cfg.py)."""
    if scale == "laptop":
        return ("cfg3b/14,laptop",)
    if scale == "gpu":
        return ("cfg3b,gpu", "cfg3f,gpu")
    positions = ("rotary", "learned")
    return tuple(f"{g},paper,position={p}" for g in reported.GRAMMARS for p in positions)


def _key(run: Run) -> tuple[str, str]:
    """(grammar, position) as the tables of the paper are keyed; a sub-grammar matches none."""
    options = run.config.data
    name = f"{options.grammar}/{options.under}" if options.under else options.grammar
    return name, run.config.model.position


def _label(run: Run) -> str:
    return " ".join(_key(run))


def _longest_cut(world: cfg.CfgWorld) -> int:
    """The paper's 50 tokens; 10 in sub-grammars whose strings are shorter than that."""
    return 50 if cfg.statistics(world.grammar).min_length >= 50 else 10


def _interval(m: Mean) -> Estimate:
    if m.error is None:
        return Estimate(m.value, None, None, m.n)
    half = statistics.t_quantile(0.975, m.n - 1) * m.error
    return Estimate(m.value, m.value - half, m.value + half, m.n)


# --- Results 1 and 2: accuracy, diversity, distribution -------------------------------------------


@functools.lru_cache(maxsize=64)
def _generated(run: Run, cut: int, count: int) -> generation.Generations:
    sampler = transformer_sampler(run.model, run.params, stop=run.world.vocabulary.eos)
    return generation.accuracy(sampler, _world(run), cut=cut, count=count)


def _world(run: Run) -> cfg.CfgWorld:
    assert isinstance(run.world, cfg.CfgWorld)  # this study's configs name no other
    return run.world


def _share(made: generation.Generations) -> Estimate:
    return statistics.proportion(int(made.correct.sum()), len(made.correct))


def _ngram_accuracy(run: Run, order: int, count: int) -> Estimate:
    """Accuracy at cut 0 of an n-gram model of the run's own training tokens."""
    c, world = run.config, _world(run)
    rows = min(c.steps * c.batch, NGRAM_TOKENS // c.pipeline.length)
    packed = pack_rows(world, packing_config(c), c.data_seed, range(rows))
    model = NGram.fit(packed["tokens"], order, len(world.vocabulary))
    sampler = ngram_sampler(model, stop=world.vocabulary.eos, max_length=run.model.max_length)
    return _share(generation.accuracy(sampler, world, cut=0, count=count))


def accuracy(trained: Mapping[str, tuple[Run, ...]], scale: str) -> Measurement:
    effort = EFFORT[scale]
    figures: list[Figure] = []
    exhibits: list[Exhibit] = []
    for each in trained.values():
        first, label = each[0], _label(each[0])
        paper: Sequence[float | None] = reported.ACCURACY.get(_key(first), (None, None))
        for cut, theirs in zip((0, _longest_cut(_world(first))), paper, strict=True):
            shares = [_share(_generated(r, cut, effort.samples)) for r in each]
            figures.append(
                Figure.of(
                    f"{label}, cut {cut}",
                    statistics.over_seeds(shares, (0, 1)),
                    100,
                    seeds=len(each),
                    paper=theirs,
                    unit="%",
                )
            )
        for order in NGRAM_ORDERS:
            shares = [_ngram_accuracy(r, order, effort.samples) for r in each]
            figures.append(
                Figure.of(
                    f"{label.split()[0]}, {order}-gram, cut 0",
                    statistics.over_seeds(shares, (0, 1)),
                    100,
                    seeds=len(each),
                    unit="%",
                    role="baseline",
                )
            )
        exhibits += [_learning_curve(each), _samples(first, effort.samples)]
    return Measurement(tuple(figures), tuple(exhibits))


def _learning_curve(each: Sequence[Run]) -> Curve:
    figures = cfg.statistics(_world(each[0]).grammar)
    floor = figures.tree_entropy * math.log(2) / (figures.mean_length + 2)
    return learning_curve(
        _label(each[0]),
        each,
        (Level("entropy of the language", floor),),
        "The level is exact for whole strings of an unambiguous language; rows that are cut "
        "inside a string lie a little off it.",
    )


def _samples(run: Run, count: int) -> Text:
    made = _generated(run, 0, count)
    shown = generation.examples(made, _world(run), 12)
    return Text(
        f"{_label(run)}: strings it writes, judged by the exact parser",
        tuple(
            Sample(s["string"], s["correct"], f"wrong at token {s['first_error']}")
            if s["first_error"]
            else Sample(s["string"], s["correct"], "" if s["finished"] else "unfinished")
            for s in shown
        ),
    )


def entropy(trained: Mapping[str, tuple[Run, ...]], scale: str) -> Measurement:
    effort = EFFORT[scale]
    figures: list[Figure] = []
    rows = []
    for each in trained.values():
        label, key, world = _label(each[0]), _key(each[0]), _world(each[0])
        made = [_generated(r, 0, effort.samples) for r in each]
        found = [_interval(generation.entropy(m.samples)) for m in made]
        figures.append(
            Figure.of(
                label,
                statistics.over_seeds(found, (0, math.inf)),
                seeds=len(each),
                paper=reported.ENTROPY.get(key),
                unit="bits",
            )
        )
        truth = generation.true_entropy(world, count=effort.samples)
        figures.append(
            Figure.of(
                f"{label}, truth",
                _interval(truth),
                seeds=0,
                paper=reported.TRUE_ENTROPY.get(key[0]),
                unit="bits",
                role="truth",
            )
        )
        fresh = world.strings(stream_key(0, "diversity"), 0, effort.samples)
        for who, strings in (("model", made[0].strings), ("language", fresh)):
            d = generation.diversity(strings)
            rows.append((f"{label}: {who}", d.samples, d.distinct, d.pairs, d.support))
    columns = ("strings of", "drawn", "different", "equal pairs", "estimated number of strings")
    note = (
        "M (M - 1) / 2 pairs divided by the equal ones: how many equally likely strings would "
        "coincide as often. No pair among M says only that there are more than about M squared."
    )
    table = Table("How often do samples coincide?", columns, tuple(rows), note)
    return Measurement(tuple(figures), (table,))


def kl(trained: Mapping[str, tuple[Run, ...]], scale: str) -> Measurement:
    effort = EFFORT[scale]
    figures: list[Figure] = []
    for each in trained.values():
        for in_stream in (False, True) if _holds_two(each[0]) else (False,):
            found = [
                _interval(
                    divergence.kl(
                        transformer_predictor(r.model, r.params),
                        _world(r),
                        count=effort.strings,
                        max_length=r.model.max_length,
                        in_stream=in_stream,
                    )
                )
                for r in each
            ]
            figures.append(
                Figure.of(
                    _label(each[0]) + (", after other strings" if in_stream else ""),
                    statistics.over_seeds(found, (0, math.inf)),
                    seeds=len(each),
                    paper=None if in_stream else reported.KL.get(_key(each[0])),
                    unit="nats/token",
                )
            )
    return Measurement(tuple(figures))


def _holds_two(run: Run) -> bool:
    """True if a row of the model holds any string after another one."""
    longest = cfg.statistics(_world(run).grammar).max_length + 2
    return 2 * longest <= run.model.max_length


# --- Results 4 and 5: the parse tree in the hidden states -----------------------------------------


@functools.lru_cache(maxsize=64)
def _probed(run: Run, probe: ProbeConfig, control: bool) -> tuple[AncestorResult, ...]:
    """The results of the full and the diagonal mask, fitted together."""
    run, params = run, run.params
    if control:
        key = jax.random.key(stream_key(int(run.config.seed), "control") >> 33)
        params = random_control(run.model, key)
    return probe_ancestors(_world(run), run.model, params, probe)


def _levels(run: Run) -> list[int]:
    """The probed levels, the deepest first, as in the paper's tables."""
    return list(range(_world(run).grammar.levels - 1, 1, -1))


def _read(
    each: Sequence[Run], probe: ProbeConfig, mask: str, control: bool, level: int, region: str
) -> Estimate:
    found = []
    for run in each:
        result = _probed(run, probe, control)[_MASKS.index(mask)]
        count = result.score("symbols", level).regions[region]
        found.append(statistics.token_accuracy(count.correct, count.total))
    return statistics.over_seeds(found, (0, 1))


def probe_of(mask: str, region: str) -> Callable[[Mapping[str, tuple[Run, ...]], str], Measurement]:
    """Returns the measurement of one mask, whose headline region is "all" or "ends"."""
    tables: tuple[Any, Any] = (
        (reported.FULL, reported.FULL_RANDOM)
        if mask == "full"
        else (reported.DIAGONAL, reported.DIAGONAL_RANDOM)
    )

    def measure(trained: Mapping[str, tuple[Run, ...]], scale: str) -> Measurement:
        probe = EFFORT[scale].probe
        figures: list[Figure] = []
        exhibits: list[Exhibit] = []
        for each in trained.values():
            label, key, levels = _label(each[0]), _key(each[0]), _levels(each[0])
            ours, theirs = tables[0].get(key), tables[1].get(key[0])
            for i, level in enumerate(levels):
                rows = [
                    (f"{label}, NT{level}", False, region, "ours", ours),
                    (f"{label}, NT{level}, random weights", True, region, "control", theirs),
                ]
                if region == "ends":
                    elsewhere = f"{label}, NT{level}, elsewhere"
                    rows.append((elsewhere, False, "elsewhere", "baseline", None))
                for name, control, where, role, paper in rows:
                    found = _read(each, probe, mask, control, level, where)
                    figures.append(
                        Figure.of(
                            name,
                            found,
                            100,
                            seeds=len(each),
                            paper=paper and paper[i],
                            unit="%",
                            role=role,
                        )
                    )
            exhibits.append(_level_bars(label, mask, levels, figures))
            exhibits += _trees(each[0], probe, mask)
        return Measurement(tuple(figures), tuple(exhibits))

    return measure


def _level_bars(label: str, mask: str, levels: Sequence[int], figures: Sequence[Figure]) -> Bars:
    mine = {f.label: f for f in figures}

    def series(name: str, suffix: str, role: str) -> Iterator[Series]:
        rows = [mine.get(f"{label}, NT{level}{suffix}") for level in levels]
        if all(rows):
            found = [r for r in rows if r is not None]
            paper = tuple(r.paper for r in found)
            yield Series(
                name,
                tuple(r.value for r in found),
                low=tuple(r.low for r in found),
                high=tuple(r.high for r in found),
                paper=paper if any(p is not None for p in paper) else (),
                role=role,
            )

    where = "at the ends of subtrees" if mask == "diagonal" else "all positions"
    return Bars(
        f"{label}: accuracy by level of the {mask} probe",
        tuple(f"NT{level}" for level in levels),
        (
            *series(where, "", "ours"),
            *series("elsewhere", ", elsewhere", "baseline"),
            *series("random weights", ", random weights", "control"),
        ),
        "accuracy (%)",
        note="NT2 is just below the root, the highest number just above the tokens.",
    )


def _trees(run: Run, probe: ProbeConfig, mask: str) -> list[Tree]:
    """The first test string's tree, with what the probe reads at the end of each subtree."""
    if mask != "diagonal":
        return []
    found = _probed(run, probe, False)[_MASKS.index(mask)].trees
    return [_tree(run, verdict) for verdict in found[:1]]


def _tree(run: Run, verdict: TreeVerdict) -> Tree:
    grammar = _world(run).grammar
    root = Node(grammar.symbols[0][0], 0, 0, len(verdict.tokens), None, "the root, not probed")
    nodes = [
        Node(
            n.symbol,
            n.level - 1,
            n.start,
            n.stop,
            n.symbol == n.predicted,
            f"NT{n.level} {n.symbol}, the probe reads {n.predicted}",
        )
        for n in verdict.nodes
    ]
    return Tree(
        f"{_label(run)}: a parse tree, read off the hidden states",
        verdict.tokens,
        (root, *nodes),
        tuple(f"NT{level}" for level in range(1, grammar.levels)),
        note="Each node shows the true symbol; its colour says whether the diagonal probe names it "
        "from the state of the subtree's last token alone.",
    )
