"""Writes a trained run as a folder that other libraries open.

python -m physlm_jax.export --workdir=runs/a --out=exported
python -m physlm_jax.export --workdir=runs/adapted --out=adapter --format=peft

  huggingface   the model for transformers' AutoModelForCausalLM; an adapter is merged into it
  peft          the adapter alone, for PEFT on top of its base, exported as above

See docs/bridge.md for what can be written. Token ids are the run's; no tokenizer is written.
"""

import dataclasses

from absl import app, flags

from physlm_jax import cli
from physlm_jax.errors import InputError

FORMATS = ("huggingface", "peft")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder to write; made if it is not there.", required=True)
STEP = flags.DEFINE_integer("step", None, "Checkpoint to read; default: the newest.")
MEMBER = flags.DEFINE_integer("member", None, "Of a population: which run, from 0.")
FORMAT = flags.DEFINE_enum("format", FORMATS[0], FORMATS, "What to write.")


def main(argv: list[str]) -> int:
    """Exports as the flags say and prints one line."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument: {argv[1]}")
    from physlm_jax.models import huggingface, lora
    from physlm_jax.training.checkpoint import load_run

    run = load_run(WORKDIR.value, STEP.value, MEMBER.value)
    base, adapter = lora.detach(run.params)
    if FORMAT.value == "peft":
        text = run.config.get("lora")
        if not text:
            raise InputError(f"{WORKDIR.value} trained no adapter: use --format=huggingface")
        if any(rule.full for rule in lora.parse(text)):
            raise InputError(
                f"{WORKDIR.value} trained parameters in full beside its adapter, which this format "
                "cannot hold: use --format=huggingface"
            )
        lora.save_peft(OUT.value, run.model, adapter)
        what = f"an adapter of {lora.size(adapter):,} numbers"
    else:
        params = lora.merge(base, adapter, untie=True)
        model = dataclasses.replace(run.model, tied="output" not in params)
        vocabulary = run.world.vocabulary
        family = huggingface.save(OUT.value, model, params, bos=vocabulary.bos, eos=vocabulary.eos)
        what = f"a {family}"
    print(f"wrote {OUT.value}: {what}, step {run.step} of {WORKDIR.value}")
    return 0


if __name__ == "__main__":
    cli.run(main)
