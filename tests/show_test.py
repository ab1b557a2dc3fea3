"""What a configuration's data looks like: what is shown is what training reads."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from physlm_jax.data import open_world
from physlm_jax.data.hashing import stream_key
from physlm_jax.pipeline import pack_rows
from physlm_jax.training.config import load, packing_config

sys.path.append(str(Path(__file__).parent))
from entries import ROOT, run

MINI = "configs/igsm.py:mini,laptop"


def shown(*arguments: str) -> list[str]:
    done = run("physlm_jax.show", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_examples_are_one_line_each_with_their_numbers():
    config = load("configs/cfg.py:cfg3b,laptop")
    world = open_world(config.data)
    lines = shown("--config=configs/cfg.py:cfg3b,laptop", "--start=7", "--count=2")
    expected = [
        f"{7 + n} ({len(x)} tokens): {world.vocabulary.decode(x)}"
        for n, x in enumerate(world.examples(config.data_seed, 7, 2))
    ]
    assert lines == expected


def test_rows_are_a_line_for_each_segment_and_name_what_bears_loss():
    config = load(MINI)
    world, packing = open_world(config.data), packing_config(config)
    found = pack_rows(world, packing, stream_key(config.data_seed, "held-out"), range(3, 4))
    lines = shown(f"--config={MINI}", "--start=3", "--count=1", "--rows", "--held-out", "--ids")
    expected = []
    for number in dict.fromkeys(found["segment_ids"][0].tolist()):
        own = found["segment_ids"][0] == number
        tokens, loss = found["tokens"][0][own], np.count_nonzero(found["weights"][0][own])
        words = " ".join(map(str, tokens))
        about = f"3.{number} ({len(tokens)} tokens"
        expected.append(f"{about}, loss of {loss}): {words}" if number else f"{about}): padding")
    assert lines == expected and 0 < found["weights"].sum() < found["weights"].size


@pytest.mark.parametrize("rows", [False, True])
def test_a_file_holds_what_training_is_given(tmp_path, rows):
    """Across the borders of the pieces in which it is made."""
    config = load(MINI)
    world, count = open_world(config.data), 1030
    path = tmp_path / "new" / "data.jsonl"
    said = shown(
        f"--config={MINI}", f"--count={count}", f"--out={path}", f"--{'' if rows else 'no'}rows"
    )
    assert said == [f"wrote 1,030 {'rows' if rows else 'examples'} to {path}"]
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["index"] for r in records] == list(range(count))
    if rows:
        whole = pack_rows(world, packing_config(config), config.data_seed, range(count))
        for name, array in whole.items():
            np.testing.assert_array_equal(np.array([r[name] for r in records], array.dtype), array)
        return
    found = world.examples(config.data_seed, 0, count)
    assert [r["tokens"] for r in records] == [x.tolist() for x in found]
    weights = np.concatenate([r["weights"] for r in records]).astype(np.float32)
    np.testing.assert_array_equal(weights, found.weights)
    assert records[5]["text"] == world.vocabulary.decode(found[5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MINI, "--count=0"), "--count=0: expected at least 1"),
        ((MINI, "--start=-1"), "--start=-1: expected at least 0"),
        ((MINI, f"--start={2**70}"), "expected a range in 0..2**64"),
        ((MINI, f"--start={2**60}", "--rows"), "is out of range"),
        ((MINI, "--out=/proc/none/x"), "cannot write /proc/none/x"),
        ((MINI, "--config.data.spec=mini-gpo"), "did you mean 'mini-gpu'"),
        (("configs/knowledge.py:single,laptop,tasks=extraction,mixed=.5",), "--rows"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    config, *rest = arguments
    done = run("physlm_jax.show", f"--config={config}", *rest)
    assert done.returncode == 2 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout


def test_a_reader_may_leave():
    """As `| head -1` does."""
    command = [sys.executable, "-m", "physlm_jax.show", "--config=configs/lora.py", "--count=20000"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().startswith("0 (")
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(60) == 128 + signal.SIGPIPE
    process.stderr.close()
