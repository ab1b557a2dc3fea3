"""kill -9 at ten random moments, some inside a checkpoint write: the same bits in the end."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkpoint_test import bits

from physlm_jax.training.checkpoint import load_run

SCRIPT = """
import sys
from pathlib import Path
from tiny import tiny
from physlm_jax.training.loop import train
train(tiny(steps=400, checkpoint__every=5, eval__every=100), Path(sys.argv[1]))
"""


def start(workdir):
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(workdir)],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.slow
def test_ten_kills_leave_no_trace(tmp_path):
    reference = start(tmp_path / "whole")
    assert reference.wait(timeout=300) == 0, reference.stderr.read().decode()[-2000:]
    workdir = tmp_path / "killed"
    choose = random.Random(7)
    in_write = kills = 0
    while kills < 10:
        process, checkpoints = start(workdir), workdir / "checkpoints"
        stale = set(checkpoints.glob("*tmp*"))  # left by the kill before
        deadline = time.monotonic() + choose.uniform(0.5, 6)
        if kills % 2:  # as soon as a checkpoint is being written
            while process.poll() is None and not set(checkpoints.glob("*tmp*")) - stale:
                time.sleep(0.0005)
            time.sleep(choose.uniform(0, 0.03))
        else:  # while importing, compiling, stepping
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
        assert process.poll() is None, process.stderr.read().decode()[-2000:]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        in_write += bool(set(checkpoints.glob("*tmp*")) - stale)
        kills += 1
    last = start(workdir)
    assert last.wait(timeout=300) == 0, last.stderr.read().decode()[-2000:]
    assert in_write >= 2, in_write
    metrics = "metrics.jsonl"
    assert (workdir / metrics).read_bytes() == (tmp_path / "whole" / metrics).read_bytes()
    assert bits(load_run(workdir).params) == bits(load_run(tmp_path / "whole").params)
