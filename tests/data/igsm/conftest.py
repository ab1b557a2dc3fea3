"""Makes the slow twins importable; problems that several files look at."""

import json
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


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, str]:
    """The stand-in in all three forms of files: pairs of files, one file, one with lists."""
    import igsm_gpt2 as gpt2

    root, ids = tmp_path_factory.mktemp("gpt2"), gpt2.vocabulary()
    two, one, lists = (root / name for name in ("two", "one", "lists"))
    for folder in (two, one, lists):
        folder.mkdir()
    (two / "vocab.json").write_text(json.dumps(ids))
    (two / "merges.txt").write_text("\n".join(["#version: 0.2", *gpt2.MERGES, ""]))
    whole = {"model": {"type": "BPE", "vocab": ids, "merges": gpt2.MERGES}}
    (one / "tokenizer.json").write_text(json.dumps(whole))
    whole["model"]["merges"] = [merge.split(" ") for merge in gpt2.MERGES]
    (lists / "tokenizer.json").write_text(json.dumps(whole))
    return {"two": str(two), "one": str(one / "tokenizer.json"), "lists": str(lists)}
