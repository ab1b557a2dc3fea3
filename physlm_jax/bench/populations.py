"""Speed of populations: K small runs as one program against the same runs one after another.

Both do the same updates of the same models on the same rows in turns: the population one update of
all members, the single program K updates of one.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.bench.rows import Row, row
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.parallel.mesh import make_mesh
from physlm_jax.training.config import base
from physlm_jax.training.optimizer import numbers, recipe
from physlm_jax.training.step import Program, create_state, make_train_step

MEMBERS, ROUNDS = 16, 8
SMALL = TransformerConfig(vocab_size=64, max_length=128, layers=2, width=128, heads=4)


def run(
    members: int = MEMBERS, model: TransformerConfig = SMALL, batch: int = 16, rounds: int = ROUNDS
) -> dict[str, Row]:
    """Returns tokens per second of all members together, and of one after another.

    Args:
        members: K.  model, batch: the shape of each.  rounds: of one update of every member.
    """
    on_cpu = jax.default_backend() == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    c, mesh = base(), make_mesh({"data": -1})
    plan, values = recipe(c.optimizer, 1000), numbers(c.optimizer)
    rng = np.random.default_rng(0)
    stream = rng.integers(0, model.vocab_size, (batch, model.max_length + 1)).astype(np.int32)
    zeros = jnp.zeros((batch, model.max_length), jnp.int32)
    rows = {
        "tokens": jnp.asarray(stream[:, :-1]),
        "targets": jnp.asarray(stream[:, 1:]),
        "weights": jnp.ones((batch, model.max_length)),
        "segment_ids": zeros,
        "positions": zeros,
    }
    programs = {
        "all": Program(model, plan, mesh, members=members),
        "one": Program(model, plan, mesh),
    }
    steps = {name: make_train_step(program) for name, program in programs.items()}
    states = {
        name: create_state(program, [values] * (program.members or 1), range(program.members or 1))
        for name, program in programs.items()
    }
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):  # the first compiles
        for name, step in steps.items():
            began = clock()
            for _ in range(1 if name == "all" else members):
                states[name], metrics = step(states[name], rows)
            jax.block_until_ready((states[name], metrics))
            if turn:
                spent[name].append(clock() - began)
    tokens = members * batch * model.max_length
    together, apart = (float(np.median(spent[name])) for name in ("all", "one"))
    ratio = float(np.median(np.array(spent["one"]) / np.array(spent["all"])))
    unit = "tokens/processor second" if on_cpu else "tokens/s"
    name = f"{members} runs of {model.layers}x{model.width}"
    return {name: row(tokens / together, tokens / apart, ratio, unit)}
