"""Tasks that wait for one another, in one process and in several."""

import functools
import os
import signal
import subprocess
import sys
import time

import pytest

from physlm_jax.errors import InputError, Interrupted
from physlm_jax.studies.tasks import Task, perform, shares_of_cores


def note(folder, name, needs=()):
    """Leaves a file, and says who was there before and which process this is."""
    there = [(folder / need).exists() for need in needs]
    (folder / name).touch()
    return all(there), os.getpid()


def fail():
    raise InputError("wrong")


def end():
    os._exit(1)


def tasks_in(folder, *listed):
    return [Task(n, functools.partial(note, folder, n, after), after) for n, after in listed]


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_comes_after_those_it_waits_for(tmp_path, jobs):
    todo = tasks_in(tmp_path, ("a", ()), ("b", ("a",)), ("c", ()), ("d", ("b", "c")), ("e", ("d",)))
    found = dict(perform(todo, jobs))
    assert sorted(found) == list("abcde")
    assert all(waited for waited, _ in found.values())
    assert (os.getpid() in {process for _, process in found.values()}) == (jobs == 1)


def test_an_error_is_the_task_s_own_and_nothing_more_is_started(tmp_path):
    todo = [Task("bad", fail), *tasks_in(tmp_path, ("after", ("bad",)), ("late", ("after",)))]
    with pytest.raises(InputError, match=r"^wrong$"):
        list(perform(todo, 2))
    assert not list(tmp_path.iterdir())


def test_a_process_that_ends_is_told_of():
    with pytest.raises(Interrupted, match=r"the same command goes on"):
        list(perform([Task("end", end)], 2))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinities here")
def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5, 6})
    assert shares_of_cores(1) == [[0, 1, 2, 5, 6]]
    assert shares_of_cores(2) == [[0, 1], [2, 5, 6]]
    assert shares_of_cores(7) == [[0], [1], [2], [5], [6], [0], [1]]


STOPPED = """
import signal, time
from physlm_jax.studies.tasks import Task, perform

def work():
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    print("ready", flush=True)
    while not asked:
        time.sleep(.01)
    return "saved"

if __name__ == "__main__":
    print([result for _, result in perform([Task("a", work), Task("b", work)], 2)])
"""


def test_sigterm_reaches_every_task(tmp_path):
    (tmp_path / "stopped.py").write_text(STOPPED)
    command = [sys.executable, str(tmp_path / "stopped.py")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "ready\n"]
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert said == "['saved', 'saved']\n" and process.returncode == 0
