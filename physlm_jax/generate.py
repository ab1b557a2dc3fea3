"""Prints samples of a trained run, with the exact parser's verdicts where its world has a parser.

python -m physlm_jax.generate --workdir=runs/cfg3b --count=16
python -m physlm_jax.generate --workdir=runs/cfg3b --judge --prompt="1 2 3" --temperature=0.2

One sample per line, without BOS and EOS. With --judge each is followed by a tab and its verdict:
valid, wrong at token k (no string of the language begins with the first k tokens), incomplete, or
unfinished (no EOS before the row was full); the last line counts the valid ones.
"""

from absl import app, flags

from physlm_jax import cli
from physlm_jax.errors import InputError

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
STEP = flags.DEFINE_integer("step", None, "Checkpoint to read; default: the newest.")
MEMBER = flags.DEFINE_integer("member", None, "Of a population: which run, from 0.")
PROMPT = flags.DEFINE_string("prompt", "", "What follows BOS, as the vocabulary writes it.")
COUNT = flags.DEFINE_integer("count", 16, "Number of samples.")
TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "Divides the logits; 0: the likeliest token.")
TOP_K = flags.DEFINE_integer("top_k", 0, "Draw from the k likeliest tokens; 0: from all.")
SEED = flags.DEFINE_integer("seed", 0, "Of the samples.")
JUDGE = flags.DEFINE_bool("judge", False, "Add the exact verdict on each sample.")


def main(argv: list[str]) -> int:
    """Samples as the flags say and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument: {argv[1]}")
    if COUNT.value < 1:
        raise InputError(f"--count={COUNT.value}: expected at least 1")
    from physlm_jax.data.ragged import Ragged
    from physlm_jax.decoding.interface import transformer_sampler
    from physlm_jax.probes import generation, held_out
    from physlm_jax.training.checkpoint import load_run

    run = load_run(WORKDIR.value, STEP.value, MEMBER.value)
    vocabulary = run.world.vocabulary
    judged = held_out.as_cfg(run.world) if JUDGE.value else None
    prompt = [vocabulary.bos, *vocabulary.encode(PROMPT.value).tolist()]
    sampler = transformer_sampler(
        run.model,
        run.params,
        stop=vocabulary.eos,
        temperature=TEMPERATURE.value,
        top_k=TOP_K.value,
    )
    samples = sampler(Ragged.from_sequences([prompt] * COUNT.value), SEED.value)
    ends = samples.lengths - samples.finished
    strings = Ragged.from_sequences(
        [row[1:end].tolist() for row, end in zip(samples.tokens, ends, strict=True)]
    )
    lines = [vocabulary.decode(string) for string in strings]
    if judged is not None:
        verdicts = generation.describe(judged, strings, samples.finished)
        valid = verdicts.count("valid")
        lines = [f"{line}\t{verdict}" for line, verdict in zip(lines, verdicts, strict=True)]
        share = f"{100 * valid / COUNT.value:.1f} %"
        lines.append(f"{valid} of {COUNT.value} valid ({share}) at step {run.step}")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    cli.run(main)
