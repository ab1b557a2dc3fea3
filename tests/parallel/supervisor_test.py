"""The supervisor of local processes, on small scripts: what is passed on, and how it all ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from physlm_jax.errors import InputError
from physlm_jax.parallel.supervisor import Plan, lines, newest_checkpoint, parse, settings, verdict

PROCESSES = 3
SUPERVISE = """
import sys
from physlm_jax.parallel.supervisor import Plan, supervise
sys.exit(supervise(Plan(int(sys.argv[1]), 1, (sys.executable, "-u", "-c", *sys.argv[2:]))))
"""
WHO = "import os, sys, time; i = int(os.environ['PHYSLM_PROCESS'])\n"
# every process tells its id in a file, and a test can see that none is left
TELL = WHO + "open(f'{sys.argv[1]}/{i}', 'w').write(str(os.getpid()))\n"


def begin(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SUPERVISE, str(PROCESSES), script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(script: str, *arguments: str) -> tuple[int, str, str]:
    process = begin(script, *arguments)
    out, errors = process.communicate(timeout=60)
    return process.returncode, out, errors


def started(folder: Path) -> list[int]:
    """Waits until all have told their ids, and returns them."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        told = [p.read_text() for p in folder.glob("*")]
        if len(told) == PROCESSES and all(told):
            return [int(text) for text in told]
        time.sleep(0.01)
    raise AssertionError("they did not start")


def gone(ids: list[int]) -> bool:
    """True once none of these processes runs."""
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{i}").exists() for i in ids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(Path(f"/proc/{i}").exists() for i in ids)


def test_all_end_well():
    code, out, errors = ended(WHO + "print('hello', i); print('[Gloo] Rank 1'); print('W1124 x')")
    assert code == 0
    assert out == "hello 0\n[Gloo] Rank 1\nW1124 x\n"  # process 0 has the terminal to itself
    assert sorted(errors.splitlines()) == ["[1] hello 1", "[2] hello 2"]


def test_the_variables_of_each_process():
    code, out, errors = ended(WHO + "print(*(os.environ['PHYSLM_' + n] for n in sys.argv[1:]))",
                              "COORDINATOR", "PROCESSES", "PROCESS")  # fmt: skip
    rows = [line.split()[-3:] for line in [*out.splitlines(), *sorted(errors.splitlines())]]
    assert code == 0 and len({row[0] for row in rows}) == 1
    assert [row[1:] for row in rows] == [["3", "0"], ["3", "1"], ["3", "2"]]


def test_one_killed_is_one_line_and_its_own_exit_code(tmp_path):
    process = begin(TELL + "time.sleep(60)", str(tmp_path))
    ids = started(tmp_path)
    began = time.monotonic()
    os.kill(int((tmp_path / "1").read_text()), signal.SIGKILL)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 75 and time.monotonic() - began < 5 and gone(ids)
    assert errors == (
        "error: process 1 of 3 was killed (signal 9, SIGKILL); stopped the others; run the same "
        "command again to go on from the last checkpoint\n"
    )


def test_the_same_error_of_all_is_said_once():
    code, _, errors = ended(WHO + "print('error: wrong flag', file=sys.stderr); sys.exit(2)")
    assert code == 2
    assert errors == "error: wrong flag\n"


def test_an_error_of_one_is_shown_and_stops_the_rest(tmp_path):
    code, _, errors = ended(TELL + "i == 1 and sys.exit('Traceback of 1'); time.sleep(60)",
                            str(tmp_path))  # fmt: skip
    assert code == 1 and gone(started(tmp_path))
    assert errors.splitlines() == [
        "Traceback of 1",
        "error: process 1 of 3 failed (exit code 1); stopped the others",
    ]


def test_sigterm_reaches_all(tmp_path):
    listen = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    process = begin(listen.replace("import", "import sys,", 1) + TELL + "time.sleep(60)",
                    str(tmp_path))  # fmt: skip
    ids = started(tmp_path)
    process.terminate()
    assert process.communicate(timeout=20) == ("", "") and process.returncode == 0 and gone(ids)


def test_a_second_interrupt_kills(tmp_path):
    deaf = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    process = begin(deaf + TELL + "time.sleep(60)", str(tmp_path))
    ids = started(tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=20)[1]
    assert process.returncode == 75 and gone(ids)
    assert "the same command goes on from the last checkpoint" in errors


def test_none_outlives_the_supervisor(tmp_path):
    process = begin(TELL + "time.sleep(60)", str(tmp_path))
    ids = started(tmp_path)
    process.kill()
    process.communicate()
    assert gone(ids)


def test_the_verdict_names_the_checkpoint(tmp_path):
    command = ("python", "-m", "physlm_jax.train", f"--workdir={tmp_path}")
    assert newest_checkpoint(command) == "the start: none was saved"
    for name in ("20", "100", "damaged-120", "tmp.140"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert newest_checkpoint(command) == "step 100's checkpoint"
    assert newest_checkpoint((*command[:3], "--workdir", str(tmp_path))) == "step 100's checkpoint"
    assert newest_checkpoint(("python", "-m", "physlm_jax.reproduce")) == "the last checkpoint"
    code, line = verdict([-9, -6], 1, command)
    assert code == 75 and line == (
        "process 1 of 2 was killed (signal 6, SIGABRT) by the runtime, as it does when another one "
        "is silent; stopped the others; run the same command again to go on from step 100's "
        "checkpoint"
    )
    assert verdict([0, 0], None, command) == (0, "")
    assert verdict([75, 75], 0, command) == (75, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--proceses=2", "train"], "did you mean '--processes'"),
        (["--processes=0", "train"], "--processes should be a number of at least 1"),
        (["--processes", "2", "train"], "got 'true'"),
        (["--processes=2"], "which module?"),
    ],
)
def test_a_mistake_is_one_line(arguments, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        parse(arguments)


def test_the_dry_run_is_what_would_be_started(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/a b")
    plan = parse(["--processes=2", "--devices=3", "--python=py", "train", "--workdir=/x y"])
    assert plan == Plan(2, 3, ("py", "-m", "physlm_jax.train", "--workdir=/x y"))
    assert settings(plan, 5, 1, os.environ)["XLA_FLAGS"] == (
        "--xla_dump_to=/a b --xla_force_host_platform_device_count=3"
    )
    assert lines(plan, 5)[1] == (
        "JAX_PLATFORMS=cpu XLA_FLAGS='--xla_dump_to=/a b "
        "--xla_force_host_platform_device_count=3' PHYSLM_COORDINATOR=127.0.0.1:5 "
        "PHYSLM_PROCESSES=2 PHYSLM_PROCESS=1 py -m physlm_jax.train '--workdir=/x y'"
    )
