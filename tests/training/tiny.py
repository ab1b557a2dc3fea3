"""A run small enough for tests: a sub-grammar of 512 strings and a network of 2 x 16."""

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
