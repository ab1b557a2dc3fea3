"""A run small enough for tests: a sub-grammar of 512 strings and a network of 2 x 16."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from physlm_jax.training.config import base, set_data


def tiny(**changes) -> ConfigDict:
    """Returns the configuration; changes are dotted keys with `__` for the dot."""
    c = base()
    set_data(c, "cfg", grammar="cfg3b", under=13)
    c.steps, c.batch = 6, 4
    c.pipeline.length, c.pipeline.rows_per_block = 16, 4
    c.model.layers, c.model.width, c.model.heads = 2, 16, 2
    c.optimizer.learning_rate, c.optimizer.clip = 1e-2, 1.0
    c.eval.every, c.eval.rows = 3, 6  # 6 rows in batches of 4: the last one is padded
    c.checkpoint.every = 2
    c.mesh.data = 1
    for key, value in changes.items():
        c.update_from_flattened_dict({key.replace("__", "."): value})
    return c


def on_eight_devices(script: str, *arguments: object) -> Any:
    """Runs a script with eight virtual CPU devices; returns what it prints as JSON after RESULT.

    None for one that prints no such thing.
    """
    env = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.partition("RESULT")[2]
    return json.loads(said) if said else None
