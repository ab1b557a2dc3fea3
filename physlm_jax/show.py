"""Shows a configuration's data as training would see it, or writes it to a file.

python -m physlm_jax.show --config=configs/igsm.py:mini,laptop
python -m physlm_jax.show --config=configs/cfg.py:cfg3b,laptop --start=1000 --count=3 --ids
python -m physlm_jax.show --config=configs/igsm.py:mini,laptop --rows --count=2
python -m physlm_jax.show --config=configs/igsm.py:med,paper --count=100000 --out=med.jsonl

Examples, one a line: number, tokens, how many of them bear loss where not all do, and the text.
With --rows packed rows: a line for every segment of one. Example i is the same whatever else is
shown; another stream is --config.data_seed=1. A file has one JSON object a line: index, text,
tokens, and weights of the loss where a world has them; of rows all arrays that training is given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from physlm_jax import cli
from physlm_jax.errors import InputError

if TYPE_CHECKING:
    from physlm_jax.data import World
    from physlm_jax.data.vocabulary import Vocabulary
    from physlm_jax.pipeline import PackingConfig

Record = dict[str, Any]

CONFIG = cli.define_config()
START = flags.DEFINE_integer("start", 0, "Number of the first example or row.")
COUNT = flags.DEFINE_integer("count", 5, "How many.")
ROWS = flags.DEFINE_bool("rows", False, "Packed rows instead of examples.")
HELD_OUT = flags.DEFINE_bool("held-out", False, "Of the stream that held-out losses are measured.")
IDS = flags.DEFINE_bool("ids", False, "Print token ids instead of text.")
OUT = flags.DEFINE_string("out", None, "File to write (JSON lines) instead of printing.")
flags.mark_flag_as_required("config")

_AT_ONCE = 1024  # examples or rows made in one piece


def examples(world: World, seed: int, start: int, count: int) -> Iterator[Record]:
    """Yields examples start..start+count-1 of the stream `seed`: text, tokens, weights."""
    for first in range(start, start + count, _AT_ONCE):
        found = world.examples(seed, first, min(_AT_ONCE, start + count - first))
        weights = found.labels.get("weights")
        for n, tokens in enumerate(found):
            record = {"index": first + n, "text": world.vocabulary.decode(tokens)}
            record["tokens"] = tokens.tolist()
            if weights is not None:
                own = weights[found.offsets[n] : found.offsets[n + 1]]
                record["weights"] = _rounded(own)
            yield record


def rows(
    world: World, packing: PackingConfig, seed: int, start: int, count: int
) -> Iterator[Record]:
    """Yields packed rows start..start+count-1 of the stream `seed`: text and all arrays."""
    from physlm_jax.pipeline import pack_rows

    for first in range(start, start + count, _AT_ONCE):
        found = pack_rows(world, packing, seed, range(first, min(first + _AT_ONCE, start + count)))
        for n, tokens in enumerate(found["tokens"]):
            filled = tokens[found["segment_ids"][n] > 0]
            record = {"index": first + n, "text": world.vocabulary.decode(filled)}
            arrays = {name: array[n] for name, array in found.items()}
            record |= {k: a.tolist() for k, a in arrays.items() if k != "weights"}
            yield record | {"weights": _rounded(arrays["weights"])}


def _rounded(weights: np.ndarray) -> list[float]:
    """Weights as they are written by hand: 0.2, not the nearest float32's sixteen digits."""
    return [float(str(w)) for w in weights]


def lines(record: Record, vocabulary: Vocabulary, ids: bool) -> Iterator[str]:
    """Yields how a record is printed: one line, of a row one for every segment."""
    tokens = np.array(record["tokens"])
    segments = np.array(record.get("segment_ids", np.ones(len(tokens), int)))
    weights = np.array(record.get("weights", np.ones(len(tokens))))
    for number in dict.fromkeys(segments.tolist()):
        own = tokens[segments == number]
        loss, name = np.count_nonzero(weights[segments == number]), str(record["index"])
        if "segment_ids" in record:
            name += f".{number}"
        if not number:
            yield f"{name} ({len(own)} tokens): padding"
            continue
        about = f"{len(own)} tokens" + (f", loss of {loss}" if loss < len(own) else "")
        yield f"{name} ({about}): " + (
            " ".join(map(str, own)) if ids else vocabulary.decode(own).strip()
        )


def main(argv: list[str]) -> int:
    """Prints or writes what the flags ask for."""
    del argv
    for flag, least in ((START, 0), (COUNT, 1)):
        if flag.value < least:
            raise InputError(f"--{flag.name}={flag.value}: expected at least {least}")
    from physlm_jax.data import open_world
    from physlm_jax.data.hashing import stream_key
    from physlm_jax.files import replacing
    from physlm_jax.training.config import packing_config

    config = cli.read_config(CONFIG)
    world, seed = open_world(config.data), config.data_seed
    if HELD_OUT.value:
        seed = stream_key(seed, "held-out")
    if ROWS.value:
        found = rows(world, packing_config(config), seed, START.value, COUNT.value)
    else:
        found = examples(world, seed, START.value, COUNT.value)
    if OUT.value is None:
        for record in found:
            print(*lines(record, world.vocabulary, IDS.value), sep="\n")
        return 0
    with replacing(Path(OUT.value)) as file:
        for record in found:
            file.write((json.dumps(record) + "\n").encode())
    print(f"wrote {COUNT.value:,} {'rows' if ROWS.value else 'examples'} to {OUT.value}")
    return 0


if __name__ == "__main__":
    cli.run(main)
