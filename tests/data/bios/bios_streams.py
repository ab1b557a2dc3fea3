"""Examples as another process makes them: prints a digest of each as JSON."""

import hashlib
import json
import sys

from physlm_jax.data import open_world


def digests(start: int, count: int) -> list[str]:
    """A digest of the tokens of several worlds at each place."""
    common = {"people": 50, "seed": 4, "pools": "mini"}
    worlds = [
        {"world": "bios", **common},
        {"world": "bios", **common, "variant": "bioR-multi2", "vocabulary": "atomic"},
        {"world": "bios", **common, "tasks": "comparison", "question_share": 1, "hints": 0.5},
        {"world": "biod", **common, "attributes": 3, "chunks": 2, "length": 20},
    ]
    made = [open_world(options).examples(31, start, count) for options in worlds]
    return [
        hashlib.sha256(b"".join(x[i].tobytes() for x in made)).hexdigest() for i in range(count)
    ]


if __name__ == "__main__":
    print(json.dumps(digests(int(sys.argv[1]), int(sys.argv[2]))))
