"""Problems as another process makes them: prints a digest of examples as JSON."""

import hashlib
import json
import sys

from physlm_jax.data import igsm


def digests(start: int, count: int) -> list[str]:
    """A digest of the tokens, the prompt and the solution with mistakes of every example."""
    world = igsm.world(op_max=9, retry_rate=0.3, retry_mask="name")
    examples = world.examples(31, start, count)
    found = []
    for n, problem in enumerate(igsm.sample(world.spec, 31, start, count)):
        parts = examples.slice(n, n + 1)
        text = problem.prompt("qp") + igsm.retry(problem, 0.3, seed=2)
        whole = parts.tokens.tobytes() + parts.weights.tobytes() + text.encode()
        found.append(hashlib.sha256(whole).hexdigest())
    return found


if __name__ == "__main__":
    print(json.dumps(digests(int(sys.argv[1]), int(sys.argv[2]))))
