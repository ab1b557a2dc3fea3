"""Trains on data that go wrong at one batch: a NaN among the weights, or a world that raises.

    python tests/faults/sick.py '{"fault": "nan", "batch": 7, "seed": 0}' --config=... --workdir=...

The rows of the training stream `seed` alone are touched, those of the held-out set are not.
"""

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from physlm_jax import cli, train

BATCH = 4  # as in trial.py


def spoil(fault: Mapping[str, Any]) -> None:
    """Puts the fault between the packing and the stream."""
    stream = importlib.import_module(
        "physlm_jax.pipeline.stream"
    )  # the package has a function of that name
    healthy = stream.pack_rows

    def pack_rows(world: Any, packing: Any, seed: int, rows: range) -> Any:
        found = healthy(world, packing, seed, rows)
        if seed != fault["seed"] or fault["batch"] * BATCH not in rows:
            return found
        if fault["fault"] == "raise":
            raise RuntimeError(f"the world fails at batch {fault['batch']}")
        weights = found["weights"].copy()
        weights[0, 0] = np.nan
        return {**found, "weights": weights}

    stream.pack_rows = pack_rows


if __name__ == "__main__":
    spoil(json.loads(sys.argv.pop(1)))
    cli.run(train.main)
