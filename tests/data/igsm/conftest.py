"""Makes the slow twins importable; problems that several files look at."""

import sys
from pathlib import Path

import pytest

from physlm_jax.data import igsm

sys.path.insert(0, str(Path(__file__).parent))

SPECS = {
    "med": igsm.MED,
    "hard": igsm.HARD,
    "mini": igsm.MINI,
    "med op 21": igsm.Spec(op=21),
    "reask": igsm.Spec(op=20, reask=True),
}
COUNTS = {"med": 150, "hard": 80, "mini": 80, "med op 21": 30, "reask": 60}


@pytest.fixture(scope="session")
def problems() -> dict[str, list[igsm.Problem]]:
    """A few hundred problems by the name of their specification."""
    return {name: igsm.sample(spec, 20, 0, COUNTS[name]) for name, spec in SPECS.items()}


@pytest.fixture(scope="session")
def records(problems) -> dict[str, list[dict]]:
    """Their records."""
    return {name: [p.facts() for p in some] for name, some in problems.items()}
