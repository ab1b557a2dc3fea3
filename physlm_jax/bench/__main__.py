"""Measures speed on this machine and prints a table.

python -m physlm_jax.bench data|decode|train
python -m physlm_jax.bench train --peer=nanodo     beside a peer that is on PYTHONPATH
"""

from absl import flags

from physlm_jax import cli
from physlm_jax.errors import InputError, unknown

SECONDS = flags.DEFINE_float("seconds", 20.0, "About how long data and decode measure.")
ROUNDS = flags.DEFINE_integer("rounds", 8, "Rounds of two updates that train measures.")
PEER = flags.DEFINE_string("peer", "", "train: another trainer to run in turns with ours (nanodo).")
KINDS = ("data", "decode", "train")


def main(argv: list[str]) -> int:
    """Runs one benchmark."""
    from physlm_jax.bench import data, decoding, training
    from physlm_jax.bench.rows import table

    if len(argv) != 2:
        raise InputError(f"bench needs one of: {', '.join(KINDS)}")
    kind = argv[1]
    if kind not in KINDS:
        raise unknown("benchmark", kind, KINDS)
    if kind == "train":
        print(table(training.run(PEER.value, ROUNDS.value), PEER.value or "peer"))
    else:
        run = data.run if kind == "data" else decoding.run
        print(table(run(SECONDS.value), "slow twin"))
    return 0


if __name__ == "__main__":
    cli.run(main)
