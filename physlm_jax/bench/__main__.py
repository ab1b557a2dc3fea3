"""Measures speed on this machine and prints a table.

python -m physlm_jax.bench data|igsm|bios|oracle|decode|train|population
python -m physlm_jax.bench train --peer=nanodo            beside a peer that is on PYTHONPATH
python -m physlm_jax.bench train --shape=gpt2-small --batch=32
"""

import json
from collections.abc import Callable
from pathlib import Path

from absl import flags

from physlm_jax import cli
from physlm_jax.bench.rows import Row, table
from physlm_jax.errors import InputError, unknown

SECONDS = flags.DEFINE_float(
    "seconds", 20.0, "About how long data, igsm, bios, oracle and decode measure.", lower_bound=0.0
)
ROUNDS = flags.DEFINE_integer("rounds", 8, "Rounds of updates of train and population.", 1)
PEER = flags.DEFINE_string(
    "peer",
    "",
    "train: another trainer to run in turns with ours: nanodo, nanogpt, nanogpt-compiled.",
)
SHAPES = ["laptop", "laptop-experts", "gpt2-small"]
SHAPE = flags.DEFINE_enum("shape", "laptop", SHAPES, "train: the model's size.")
BATCH = flags.DEFINE_integer("batch", 0, "train: rows per update; 0: the shape's own.", 0)
OUT = flags.DEFINE_string("out", "", "A JSON file to write the rows to as well.")
KINDS = ("data", "igsm", "bios", "oracle", "decode", "train", "population")


def main(argv: list[str]) -> int:
    """Runs one benchmark."""
    from physlm_jax.bench import (
        biographies,
        data,
        decoding,
        oracles,
        populations,
        problems,
        training,
    )
    from physlm_jax.files import write_text

    if len(argv) != 2:
        raise InputError(f"bench needs one of: {', '.join(KINDS)}")
    kind = argv[1]
    if kind not in KINDS:
        raise unknown("benchmark", kind, KINDS)
    other = "slow twin"
    if kind == "train":
        model, batch = training.SHAPES[SHAPE.value]
        rows = training.run(PEER.value, ROUNDS.value, model, BATCH.value or batch)
        other = PEER.value or "peer"
    elif kind == "population":
        rows, other = populations.run(rounds=ROUNDS.value), "one by one"
    else:
        runs: dict[str, Callable[[float], dict[str, Row]]] = {
            "data": data.run,
            "igsm": problems.run,
            "bios": biographies.run,
            "oracle": oracles.run,
            "decode": decoding.run,
        }
        rows = runs[kind](SECONDS.value)
        other = "authors'" if kind == "igsm" else other
    print(table(rows, other))
    if OUT.value:
        write_text(Path(OUT.value), json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    cli.run(main, words=True)
