"""Batch t is one thing: for any hosts, threads, workers, and wherever the run was resumed."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import PAD, Toy

from physlm_jax.data.hashing import stream_key
from physlm_jax.errors import InputError
from physlm_jax.pipeline import PackingConfig, held_out, host_rows, pack_rows, prefetch, stream

PACKING = PackingConfig(12, rows_per_block=2)
WORLD = Toy()


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**28), st.sampled_from([8, 24]), st.sampled_from(["concatenate", "best_fit"])
)
def test_hosts_share_one_batch(t, batch, mode):
    packing = PackingConfig(12, mode, rows_per_block=2)
    alone = stream(WORLD, packing, 7, batch)[t]
    same(alone, pack_rows(WORLD, packing, 7, range(t * batch, (t + 1) * batch)))
    for hosts in (2, 4):
        shares = [stream(WORLD, packing, 7, batch, hosts=hosts, host=h)[t] for h in range(hosts)]
        assert all(len(share["tokens"]) == batch // hosts for share in shares)
        same({k: np.concatenate([share[k] for share in shares]) for k in alone}, alone)


def test_host_rows_are_contiguous_shares():
    assert [host_rows(3, 8, h, 4) for h in range(4)] == [
        range(24, 26),
        range(26, 28),
        range(28, 30),
        range(30, 32),
    ]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**30), st.integers(0, 5))
def test_a_resumed_stream_goes_on_where_it_stopped(start, later):
    whole = stream(WORLD, PACKING, 1, 4)
    same(stream(WORLD, PACKING, 1, 4, start=start)[later], whole[start + later])
    same(whole[start:][later], whole[start + later])


@pytest.mark.parametrize(("threads", "buffer"), [(0, 0), (1, 1), (3, 2), (4, 9)])
def test_threads_change_nothing_and_end(threads, buffer):
    before = set(threading.enumerate())
    items = iter(prefetch(stream(WORLD, PACKING, 1, 4, start=5), threads, buffer))
    for t in range(5, 25):
        same(next(items), pack_rows(WORLD, PACKING, 1, range(4 * t, 4 * t + 4)))
    items.close()
    for _ in range(100):
        if not set(threading.enumerate()) - before:
            return
        time.sleep(0.05)
    raise AssertionError("threads outlive their iterator")


def test_worker_processes_change_nothing():
    """Here absl's flags are unparsed, as in a notebook; Grain's workers must start all the same."""
    items = iter(prefetch(stream(WORLD, PACKING, 1, 4, start=3), threads=1, buffer=1, workers=2))
    try:
        for t in range(3, 9):
            same(next(items), pack_rows(WORLD, PACKING, 1, range(4 * t, 4 * t + 4)))
    finally:
        items.close()


def test_an_error_in_a_thread_reaches_the_reader():
    class Broken(Toy):
        def examples(self, seed, start, count):
            raise InputError("the world is broken")

    items = iter(prefetch(stream(Broken(), PACKING, 1, 4)))
    with pytest.raises(InputError, match="the world is broken"):
        next(items)
    items.close()


def test_the_stream_is_as_long_as_its_indices_and_ends_there():
    dataset = stream(WORLD, PACKING, 1, 4)
    assert len(dataset) == 2**31
    last = stream(WORLD, PACKING, 1, 4, start=2**31 - 1)
    assert len(list(prefetch(last))) == 1


@pytest.mark.parametrize("rows", [1, 7, 8, 13])
def test_held_out_has_exactly_its_rows(rows):
    batches = held_out(WORLD, PACKING, 3, rows, 4)
    joined = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
    assert all(len(b["tokens"]) == 4 for b in batches) and len(batches) == -(-rows // 4)
    expected = pack_rows(WORLD, PACKING, stream_key(3, "held-out"), range(rows))
    same({k: a[:rows] for k, a in joined.items()}, expected)
    padding = {k: a[rows:] for k, a in joined.items()}
    assert not padding["weights"].any() and not padding["segment_ids"].any()
    assert (padding["tokens"] == PAD).all() and (padding["targets"] == PAD).all()
    for batch, first, second in zip(
        batches,
        held_out(WORLD, PACKING, 3, rows, 4, hosts=2, host=0),
        held_out(WORLD, PACKING, 3, rows, 4, hosts=2, host=1),
        strict=True,
    ):
        same({k: np.concatenate([first[k], second[k]]) for k in batch}, batch)


def test_held_out_is_not_the_training_stream():
    trained = pack_rows(WORLD, PACKING, 3, range(64))["tokens"]
    tested = np.concatenate([b["tokens"] for b in held_out(WORLD, PACKING, 3, 64, 4)])
    assert not {tuple(r) for r in trained} & {tuple(r) for r in tested}


@pytest.mark.parametrize(
    ("packing", "options", "message"),
    [
        (PackingConfig(8, rows_per_block=16), {"batch": 24}, "nearest that does: 12"),
        (PackingConfig(8, rows_per_block=5), {"batch": 96, "hosts": 4}, "nearest that does: 4"),
        (PackingConfig(8, align_bos="half"), {"batch": 18}, "nearest that does: 18"),
        (PackingConfig(8, align_bos="half"), {"batch": 9}, "align_bos 'half' needs an even share"),
        (PACKING, {"batch": 10, "hosts": 4}, "nearest batch: 8"),
        (PACKING, {"batch": 0}, "batch must be an integer >= 1, got 0"),
        (PACKING, {"batch": 4, "hosts": 0}, "hosts must be an integer >= 1, got 0"),
        (PACKING, {"batch": 4, "hosts": 2, "host": 2}, "host must be in 0..1"),
        (PACKING, {"batch": 4, "start": -1}, "start must be in 0..2147483647, got -1"),
    ],
)
def test_a_bad_value_gives_one_line(packing, options, message):
    with pytest.raises(InputError) as caught:
        stream(WORLD, packing, 0, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_bad_held_out_and_prefetch_values_give_one_line():
    with pytest.raises(InputError, match="held-out rows must be an integer >= 1, got 0"):
        held_out(WORLD, PACKING, 0, 0, 4)
    with pytest.raises(InputError, match="nearest batch: 8"):
        held_out(WORLD, PACKING, 0, 4, 9, hosts=2)
    with pytest.raises(InputError, match="workers must be an integer >= 0, got -1"):
        prefetch(stream(WORLD, PACKING, 0, 4), workers=-1)
