"""Makes what several worlds' tests share importable; a stand-in for GPT-2's vocabulary as files."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, str]:
    """The stand-in in all three forms of files: pairs of files, one file, one with lists."""
    import gpt2_files as gpt2

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
