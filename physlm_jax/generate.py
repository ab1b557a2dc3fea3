"""Prints what a trained run's model writes: samples, or answers to its world's own questions.

python -m physlm_jax.generate --workdir=runs/cfg3b --count=16
python -m physlm_jax.generate --workdir=runs/cfg3b --judge --prompt="1 2 3" --temperature=0.2
python -m physlm_jax.generate --workdir=runs/mini --ask=law --temperature=0.6

One sample per line, without BOS and EOS. With --judge each is followed by a tab and its verdict:
valid, wrong at token k (no string of the language begins with the first k tokens), incomplete, or
unfinished (no EOS before the row was full); the last line counts the valid ones.

With --ask each question is followed by what the model says and by the verdict. It names problems of
iGSM (law, a number of operations, reask20) or a set of questions that the probe recall lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from physlm_jax import cli
from physlm_jax.errors import InputError

if TYPE_CHECKING:
    from physlm_jax.training.checkpoint import Run

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
STEP = flags.DEFINE_integer("step", None, "Checkpoint to read; default: the newest.")
MEMBER = flags.DEFINE_integer("member", None, "Of a population: which run, from 0.")
PROMPT = flags.DEFINE_string("prompt", "", "What follows BOS, as the vocabulary writes it.")
COUNT = flags.DEFINE_integer("count", 16, "Number of samples.")
TEMPERATURE = flags.DEFINE_float(
    "temperature", None, "Divides the logits; 0: the likeliest token. Default: 1, with --ask 0."
)
TOP_K = flags.DEFINE_integer("top_k", 0, "Draw from the k likeliest tokens; 0: from all.")
SEED = flags.DEFINE_integer("seed", 0, "Of the samples.")
ASK = flags.DEFINE_string("ask", None, "Which of the world's questions to ask instead.")
JUDGE = flags.DEFINE_bool("judge", False, "Add the exact verdict on each sample.")


def main(argv: list[str]) -> int:
    """Samples as the flags say and prints."""
    del argv
    if COUNT.value < 1:
        raise InputError(f"--count={COUNT.value}: expected at least 1")
    if ASK.value is not None:
        for flag in (PROMPT, TOP_K, JUDGE):
            if flag.present:
                raise InputError(f"--{flag.name} does not go with --ask")
    from physlm_jax.training.checkpoint import load_run

    run = load_run(WORKDIR.value, STEP.value, MEMBER.value)
    print("\n".join(_sampled(run) if ASK.value is None else _asked(run, ASK.value)))
    return 0


def _asked(run: Run, name: str) -> list[str]:
    """The lines of questions, answers and verdicts."""
    from physlm_jax.probes.asking import ask

    found = ask(run, name, COUNT.value, SEED.value, TEMPERATURE.value or 0.0)
    lines = [f"? {one.question}\n> {one.said}\n  {one.verdict}\n" for one in found]
    return [*lines, _share(sum(one.right for one in found), len(found), "right", run)]


def _sampled(run: Run) -> list[str]:
    """The lines of samples."""
    from physlm_jax.data.cfg import CfgWorld
    from physlm_jax.data.ragged import Ragged
    from physlm_jax.decoding.interface import transformer_sampler
    from physlm_jax.probes import generation

    world, vocabulary = run.world, run.world.vocabulary
    if JUDGE.value and not isinstance(world, CfgWorld):
        raise InputError(
            f"--judge is for languages with a parser; the world '{run.config.data.world}' may have "
            "questions: --ask"
        )
    prompt = [vocabulary.bos, *vocabulary.encode(PROMPT.value).tolist()]
    sampler = transformer_sampler(
        run.model,
        run.params,
        stop=vocabulary.eos,
        temperature=1.0 if TEMPERATURE.value is None else TEMPERATURE.value,
        top_k=TOP_K.value,
    )
    samples = sampler(Ragged.from_sequences([prompt] * COUNT.value), SEED.value)
    ends = samples.lengths - samples.finished
    strings = Ragged.from_sequences(
        [row[1:end].tolist() for row, end in zip(samples.tokens, ends, strict=True)]
    )
    lines = [vocabulary.decode(string) for string in strings]
    if JUDGE.value and isinstance(world, CfgWorld):
        verdicts = generation.describe(world, strings, samples.finished)
        lines = [f"{line}\t{verdict}" for line, verdict in zip(lines, verdicts, strict=True)]
        lines.append(_share(verdicts.count("valid"), COUNT.value, "valid", run))
    return lines


def _share(good: int, count: int, what: str, run: Run) -> str:
    return f"{good} of {count} {what} ({100 * good / count:.1f} %) at step {run.step}"


if __name__ == "__main__":
    cli.run(main)
