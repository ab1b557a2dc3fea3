"""Every kind of fault once (`launch/local.sh faults` draws a hundred); mistakes would be seen."""

import json
import logging
import os
import shutil
from pathlib import Path

import damage
import pytest
from injection import KINDS, draw, inject
from reading import check_reading
from trial import SAVES, Bench, same_bits

from physlm_jax.training import checkpoint

# kind -> how often it has been drawn before: decides the moment, and the layout that goes on
ALONE = {kind: 0 for kind in KINDS if " two" not in kind} | {"kill": 1}
TOGETHER = {
    "one of two killed": 2,  # goes on on four devices
    "one of two stopped": 1,  # goes on as one process
    "damage read by two": 0,
    "one of two lost": 0,
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A bench whose compiled programs stay from one run of the tests to the next."""
    compiled = Path(os.environ["JAX_COMPILATION_CACHE_DIR"]).with_name("faults")
    logging.getLogger("physlm_jax").setLevel(logging.ERROR)
    return Bench(tmp_path_factory.mktemp("faults"), compiled)


def drawn(kind, turn):
    """The fault of a kind that is drawn for the (turn + 1)-th time."""
    fault = draw(list(KINDS).index(kind) + turn * len(KINDS))
    assert (fault.kind, fault.round) == (kind, turn)
    return fault


def all_survive(bench, chosen):
    outcomes = [inject(drawn(kind, turn), bench) for kind, turn in chosen.items()]
    failed = [f"{o.fault}: {o.note}" for o in outcomes if not o.survived]
    assert not failed, "\n".join(failed)
    assert sum(o.steps_lost for o in outcomes) == 0
    assert all(o.bitwise is not False for o in outcomes)


def test_a_process_alone_survives_every_kind(bench):
    assert {*ALONE, *TOGETHER} == {*KINDS}
    all_survive(bench, ALONE)


def test_two_processes_survive_every_kind(bench):
    all_survive(bench, TOGETHER)


def test_with_the_checks_off_the_engine_sees_another_configuration(bench, tmp_path, monkeypatch):
    reference, workdir = bench.reference("one"), tmp_path / "run"
    shutil.copytree(reference, workdir)
    assert check_reading(reference, workdir, SAVES[-1]) == (False, "")
    meta = workdir / "checkpoints" / str(SAVES[-1]) / "meta" / "metadata"
    text = meta.read_text()
    assert '"data_seed": 0' in text
    meta.write_text(text.replace('"data_seed": 0', '"data_seed": 1'))
    assert check_reading(reference, workdir, SAVES[-1]) == (True, "")
    recorded = json.loads(text)["digest"]
    monkeypatch.setattr(checkpoint, "_digest", lambda _: recorded)
    assert "other than written: ['config']" in check_reading(reference, workdir, SAVES[-1])[1]


def test_with_the_checks_off_the_engine_sees_flipped_bits(bench, tmp_path, monkeypatch):
    """Orbax itself does not: some bits in the middle of its data files are nobody's business."""
    reference, workdir = bench.reference("one"), tmp_path / "run"
    shutil.copytree(reference, workdir)
    monkeypatch.setattr(checkpoint, "_differences", lambda *_: "")
    silent = 0
    for path in damage.files(workdir / "checkpoints" / str(SAVES[-1])):
        raw = path.read_bytes()
        if path.parent.name == "d":
            for place in (len(raw) // 2, 3 * len(raw) // 4):
                path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
                silent += bool(check_reading(reference, workdir, SAVES[-1])[1])
            path.write_bytes(raw)
    assert silent


def test_one_other_digit_is_not_the_same(bench, tmp_path):
    reference = bench.reference("one")
    workdir = tmp_path / "run"
    shutil.copytree(reference, workdir)
    assert same_bits(workdir, reference)
    rows = (workdir / "metrics.jsonl").read_text()
    (workdir / "metrics.jsonl").write_text(
        rows[:-5] + ("1" if rows[-5] != "1" else "2") + rows[-4:]
    )
    assert not same_bits(workdir, reference)
