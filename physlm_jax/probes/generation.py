"""Does a model write a language? Accuracy, entropy and diversity of what it generates.

Everything is judged by the exact oracles: a continuation counts as correct if the parser accepts
prompt and continuation; the truth of the entropy is a dynamic programme. Models enter as a
`Sampler`, so n-gram models and transformers share all of it; `measure` is the probe of a run.
Source: arXiv 2305.13673, section 3 (accuracy, diversity, KL) and Results 11-13 (robust accuracy).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from physlm_jax.data import cfg
from physlm_jax.data.ragged import Ragged
from physlm_jax.decoding.interface import Sampler, transformer_predictor, transformer_sampler
from physlm_jax.decoding.rows import Samples
from physlm_jax.errors import InputError
from physlm_jax.probes.divergence import kl
from physlm_jax.probes.fitting import option
from physlm_jax.probes.held_out import Mean, as_cfg, check_count, fresh
from physlm_jax.probes.measurement import Cell, Measurement, joined

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run


class Verdicts(NamedTuple):
    """valid: bool[n]. first_error: int64[n], place (from 1) of the first hopeless token, n + 1 if
    the string is merely incomplete, 0 if valid.
    """

    valid: np.ndarray
    first_error: np.ndarray


@dataclass(frozen=True)
class Generations:
    """Samples and their verdicts.

    Attributes:
        samples: as the model made them, BOS and stop token included.
        strings: what was judged: clean prefixes with the continuations, without BOS and EOS.
        correct: bool[n], finished and in the language.
    """

    samples: Samples
    strings: Ragged
    correct: np.ndarray

    @property
    def accuracy(self) -> Mean:
        """Share of correct ones."""
        return Mean.of(self.correct.astype(float))


class Diversity(NamedTuple):
    """samples: M. distinct: different strings. pairs: pairs of equal strings, out of M (M-1) / 2.

    support: M (M - 1) / (2 pairs), the number of equally likely strings that would collide as
    often; None without a pair, where the support is at least of order M**2.
    """

    samples: int
    distinct: int
    pairs: int
    support: float | None


def judge(world: cfg.CfgWorld | cfg.Grammar, strings: Ragged) -> Verdicts:
    """Returns the exact verdict on each string of tokens without BOS and EOS."""
    grammar, emission = _language(world)
    valid = cfg.is_valid(grammar, strings, emission)
    first_error = np.zeros(len(strings), np.int64)
    wrong = np.flatnonzero(~valid)
    rejected = [strings[int(i)].tolist() for i in wrong]
    first_error[wrong] = cfg.first_error(grammar, rejected, emission)
    return Verdicts(valid, first_error)


def describe(world: cfg.CfgWorld, strings: Ragged, finished: np.ndarray) -> list[str]:
    """Returns a verdict in words for each string: what `physlm_jax.generate` prints."""
    found = []
    verdicts = judge(world, strings)
    for length, end, place in zip(strings.lengths, finished, verdicts.first_error, strict=True):
        if 0 < place <= length:
            found.append(f"wrong at token {place}")
        elif not end:
            found.append("unfinished")
        else:
            found.append("incomplete" if place else "valid")
    return found


def accuracy(
    sampler: Sampler,
    world: cfg.CfgWorld,
    *,
    cut: int,
    count: int,
    seed: int = 0,
    corruption: float = 0.0,
) -> Generations:
    """Lets the model continue BOS x_1 .. x_cut of fresh strings, and judges what comes out.

    Args:
        cut: tokens of the prompt besides BOS; 0 lets the model write whole strings.
        count: number of prompts.
        seed: of the strings, the corruption and the samples.
        corruption: chance of each prompt token to be replaced by a uniform terminal; the model sees
            the corrupted prompt, the clean one is judged (Source: "corrupted cut50", rate .15).

    Raises:
        InputError: a cut longer than the shortest string, a rate outside 0..1, or corruption in an
            implicit language.
    """
    check_count(count)
    _check(world, cut, corruption)
    clean = _prefixes(fresh(world, seed, count), cut)
    seen = clean
    if corruption:
        seen = cfg.corrupt_prefix(world.grammar, clean, corruption, seed)
    bos = np.full((count, 1), world.vocabulary.bos, np.int32)
    prompts = Ragged.from_sequences(list(np.hstack([bos, seen])))
    samples = sampler(prompts, seed)
    strings = _joined(clean, samples.continuations)
    valid = cfg.is_valid(world.grammar, strings, world.emission)
    return Generations(samples, strings, samples.finished & valid)


def examples(generations: Generations, world: cfg.CfgWorld, count: int) -> list[dict[str, Any]]:
    """Returns the first samples for a reader: string, finished, correct, first_error (0: none)."""
    count = min(count, len(generations.strings))
    shown = generations.strings.slice(0, count)
    verdicts = judge(world, shown)
    return [
        {
            "string": world.vocabulary.decode(shown[i]),
            "finished": bool(generations.samples.finished[i]),
            "correct": bool(generations.correct[i]),
            "first_error": int(verdicts.first_error[i]),
        }
        for i in range(count)
    ]


def entropy(samples: Samples) -> Mean:
    """Returns -E log2 p_F(x), bits per string with its end, of samples drawn at temperature 1.

    After a prompt longer than BOS it is the conditional entropy of the continuation. Samples cut
    off by the window count with what they have.
    """
    return Mean.of(-samples.log_prob.astype(float) / math.log(2))


def true_entropy(world: cfg.CfgWorld, *, count: int, seed: int = 0) -> Mean:
    """Returns -E log2 p_G(x), bits per string, over fresh strings by the exact probabilities."""
    strings = fresh(world, seed, count)
    return Mean.of(-cfg.log_prob(world.grammar, strings, world.emission) / math.log(2))


def diversity(strings: Ragged) -> Diversity:
    """Returns how often M strings coincide: the birthday test of the size of the support."""
    counts = np.unique([s.tobytes() for s in strings], return_counts=True)[1]
    total, pairs = len(strings), int((counts * (counts - 1) // 2).sum())
    support = total * (total - 1) / (2 * pairs) if pairs else None
    return Diversity(total, len(counts), pairs, support)


def _language(world: cfg.CfgWorld | cfg.Grammar) -> tuple[cfg.Grammar, np.ndarray | None]:
    return (world, None) if isinstance(world, cfg.Grammar) else (world.grammar, world.emission)


def _check(world: cfg.CfgWorld, cut: int, corruption: float) -> None:
    figures = cfg.statistics(world.grammar)
    if not 0 <= cut <= figures.min_length:
        raise InputError(
            f"cut {cut}: strings of '{world.grammar.name}' have {figures.min_length} to "
            f"{figures.max_length} tokens; expected 0 to {figures.min_length}"
        )
    if not 0 <= corruption <= 1:
        raise InputError(f"corruption {corruption}: expected a rate in 0..1")
    if corruption and world.alphabet:
        raise InputError("corrupted prompts are defined for plain terminals, not for an alphabet")


def _prefixes(strings: Ragged, cut: int) -> np.ndarray:
    """int32[n, cut]: the first tokens of each string."""
    return strings.tokens[strings.offsets[:-1, None] + np.arange(cut)]


def _joined(prefixes: np.ndarray, continuations: Ragged) -> Ragged:
    """Each prefix (a row) with its continuation."""
    lengths = continuations.lengths + prefixes.shape[1]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.empty(offsets[-1], np.int32)
    first = np.zeros(len(tokens), bool)
    first[(offsets[:-1, None] + np.arange(prefixes.shape[1])).reshape(-1)] = True
    tokens[first] = prefixes.reshape(-1)
    tokens[~first] = continuations.tokens
    return Ragged(tokens, offsets)


@dataclass(frozen=True)
class Settings:
    """What `python -m physlm_jax.probe --probe=generation` measures.

    Defaults are a laptop's; the paper has cuts 0 and 50 and more than 20000 samples each.
    """

    cuts: tuple[int, ...] = option((0,), "tokens of a fresh string given after BOS", "cut")
    samples: int = option(1000, "per cut")
    temperature: float = option(1.0, "divides the logits")
    corruption: float = option(0.0, "chance of each prompt token to be replaced, in cuts above 0")
    kl_strings: int = option(100, "strings of the KL divergence; 0: none", least=0)
    in_stream: bool = option(False, "KL of strings after other strings instead of alone")
    shown: int = option(10, "samples kept with their first error; 0: none", least=0)
    seed: int = option(0, "of strings and samples")


def measure(run: Run, settings: Settings) -> Measurement:
    """Returns accuracy per cut, KL and, for whole strings at temperature 1, entropy and diversity.

    Raises:
        InputError: the run is of another world, or a setting does not fit its language.
    """
    world = as_cfg(run.world)
    means: dict[str, Mean] = {}
    data: dict[str, Any] = {"settings": dataclasses.asdict(settings)}
    for cut in settings.cuts:
        made = _made(run, world, settings, cut)
        means[f"accuracy cut{cut}"] = made.accuracy
        means[f"finished cut{cut}"] = Mean.of(made.samples.finished.astype(float))
        data[f"shown cut{cut}"] = examples(made, world, settings.shown)
        if cut == 0 and settings.temperature == 1:
            means["entropy"] = entropy(made.samples)
            means["true entropy"] = true_entropy(world, count=settings.samples, seed=settings.seed)
            data["diversity"] = diversity(made.strings)._asdict()
    if settings.kl_strings:
        means["kl"] = kl(
            transformer_predictor(run.model, run.params),
            world,
            count=settings.kl_strings,
            seed=settings.seed,
            max_length=run.model.max_length,
            in_stream=settings.in_stream,
        )
    data |= {name: mean._asdict() for name, mean in means.items()}
    header = ("figure", "value", "standard error")
    return Measurement(_name(settings), header, _table(means), data)


def _name(settings: Settings) -> str:
    """The settings that a reader would compare."""
    parts = ["generation", f"cut{joined(settings.cuts)}", f"t{settings.temperature:g}"]
    parts += [f"corrupted{settings.corruption:g}"] if settings.corruption else []
    return "-".join([*parts, "stream"] if settings.in_stream else parts)


def _made(run: Run, world: cfg.CfgWorld, settings: Settings, cut: int) -> Generations:
    stop, temperature = world.vocabulary.eos, settings.temperature
    return accuracy(
        transformer_sampler(run.model, run.params, stop=stop, temperature=temperature),
        world,
        cut=cut,
        count=settings.samples,
        seed=settings.seed,
        corruption=settings.corruption if cut else 0.0,
    )


def _table(means: dict[str, Mean]) -> tuple[tuple[Cell, ...], ...]:
    units = {"entropy": " (bits)", "true entropy": " (bits)", "kl": " (nats per token)"}
    return tuple(
        (
            name + units.get(name, ""),
            f"{mean.value:.4g}",
            None if mean.error is None else f"{mean.error:.2g}",
        )
        for name, mean in means.items()
    )
