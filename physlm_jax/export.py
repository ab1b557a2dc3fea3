"""Writes a trained run as a folder that other libraries open.

python -m physlm_jax.export --workdir=runs/a --out=exported
python -m physlm_jax.export --workdir=runs/adapted --out=adapter --format=peft

  huggingface   the model for transformers' AutoModelForCausalLM; an adapter is merged into it
  peft          the adapter alone, for PEFT on top of its base, exported as above

See docs/bridge.md for what can be written. Token ids are the run's; no tokenizer is written.
"""

from absl import flags

from physlm_jax import cli

FORMATS = ("huggingface", "peft")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder to write; made if it is not there.", required=True)
STEP = flags.DEFINE_integer("step", None, "Checkpoint to read; default: the newest.")
MEMBER = flags.DEFINE_integer("member", None, "Of a population: which run, from 0.")
FORMAT = flags.DEFINE_enum("format", FORMATS[0], FORMATS, "What to write.")


def main(argv: list[str]) -> int:
    """Exports as the flags say and prints one line."""
    del argv
    from physlm_jax.training.export import export

    what = export(WORKDIR.value, OUT.value, STEP.value, MEMBER.value, FORMAT.value)
    print(f"wrote {OUT.value}: {what}")
    return 0


if __name__ == "__main__":
    cli.run(main)
