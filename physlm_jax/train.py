"""Trains one run, or goes on where it stopped.

python -m physlm_jax.train --config=configs/cfg.py:cfg3b,laptop --workdir=runs/cfg3b
python -m physlm_jax.train --config=configs/cfg.py:cfg3f,paper --workdir=... --config.seed=1
python -m physlm_jax.train --config=configs/lora.py:adapt,laptop --workdir=... --dry-run

Several processes, on one machine or on a cluster, are started by `launch/` (docs/launching.md).
"""

from pathlib import Path

from absl import flags

from physlm_jax import cli

CONFIG = cli.define_config()
WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run; the same command in the same folder resumes it.",
    required=True,
)
DRY_RUN = flags.DEFINE_bool(
    "dry-run", False, "Only check the configuration and print what would be trained."
)
flags.DEFINE_alias("dry_run", "dry-run")
flags.mark_flag_as_required("config")
cli.define_job_flags()


def main(argv: list[str]) -> int:
    """Runs the training loop on the flags; several processes run it together."""
    del argv
    from physlm_jax.training.loop import train
    from physlm_jax.training.plan import make_plan

    if DRY_RUN.value:
        print(make_plan(cli.read_config(CONFIG)).summary())
        return 0
    finished = train(cli.read_config(CONFIG), Path(WORKDIR.value))
    return flags.FLAGS.stop_code if finished is None else 0


if __name__ == "__main__":
    cli.run(main)
