"""The stream of biographies: everybody's every entry once a pass, near nobody by rule, anywhere."""

import itertools
import json
import os
import subprocess
import sys

import bios_streams
import bios_twin as twin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data.bios import Biographies, Population
from physlm_jax.pipeline import PackingConfig, examples_per_block, pack_rows

PEOPLE = Population(60, 3, "mini")
PACKING = PackingConfig(128, "exact", rows_per_block=8)


def stream(variant, people=PEOPLE, kind="atomic"):
    return Biographies((people,), (variant,), kind)


@pytest.mark.parametrize("variant", twin.VARIANTS)
def test_every_pass_shows_every_entry_once(variant):
    world, entries = stream(variant), twin.VARIANTS[variant][0]
    assert world.size == 60 * max(entries, 1) and world.fresh == (entries == 0)
    passes = world.presented(9, 0, 3 * world.size).reshape(3, world.size, 3)
    for turn, shown in enumerate(passes):
        group, person, entry = shown.T
        assert (group == 0).all()
        if entries:
            assert len(set(zip(person.tolist(), entry.tolist(), strict=True))) == world.size
            assert person.max() == 59 and entry.max() == entries - 1 and shown.min() == 0
        else:
            assert sorted(person.tolist()) == list(range(60)) and (entry == turn).all()
    orders = {tuple(map(tuple, shown[:, 1:2])) for shown in passes}
    assert len(orders) == 3


@pytest.mark.parametrize("variant", ["multi5", "bioS"])
def test_every_place_is_that_of_the_slow_twin(variant):
    world = stream(variant)
    for index, row in zip(range(500, 540), world.presented(4, 500, 40).tolist(), strict=True):
        turn, member = twin.shown_at(index, world.size, 4, "passes")
        assert row == [0, member % 60, turn if world.fresh else member // 60]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["single", "multi2+permute", "couple5", "bioS", "bioR-multi3+fullname"]),
    st.integers(0, 2**63 - 200),
    st.lists(st.integers(0, 25), min_size=1, max_size=4),
)
def test_calls_may_be_cut_anywhere(variant, start, counts):
    world = stream(variant)
    whole = world.examples(2, start, sum(counts))
    at = 0
    for count in counts:
        piece, part = whole.slice(at, at + count), world.examples(2, start + at, count)
        np.testing.assert_array_equal(part.tokens, piece.tokens)
        np.testing.assert_array_equal(part.offsets, piece.offsets)
        np.testing.assert_array_equal(part.role, piece.role)
        at += count


def test_seeds_word_and_order_anew():
    """With entries the seed of the stream changes their order alone."""
    for variant, same in (("multi2", True), ("bioS", False)):
        world = stream(variant)
        one, two = (world.examples(seed, 0, world.size) for seed in (0, 1))
        shown = [world.presented(seed, 0, world.size) for seed in (0, 1)]
        assert (shown[0] != shown[1]).any()
        texts = [{x.tobytes() for x in some} for some in (one, two)]
        assert (texts[0] == texts[1]) == same
        assert same or len(texts[0] & texts[1]) < 3


def test_places_beyond_what_is_ever_reached():
    world = stream("multi5")
    last = world.presented(0, 2**64 - 10, 10)
    assert last.min() >= 0 and last[:, 1].max() < 60
    assert world.examples(0, 2**64 - 10, 10).lengths.min() > 30
    assert len(world.examples(0, 5, 0)) == 0


def same_person(person, window):
    """Pairs of places less than `window` apart that show one person, and how many there are."""
    pairs = found = 0
    for gap in range(1, window):
        found += int((person[gap:] == person[:-gap]).sum())
        pairs += len(person) - gap
    return found, pairs


@pytest.mark.parametrize("window", [2, 7])
def test_entries_of_a_person_are_neighbours_by_chance_alone(window):
    world, found, expected = stream("multi5", Population(200, 3, "mini")), 0, 0.0
    for turn in range(150):
        person = world.presented(1, turn * world.size, world.size)[:, 1]
        same, pairs = same_person(person, window)
        found, expected = found + same, expected + pairs * 4 / (world.size - 1)
    assert abs(found - expected) < 4 * np.sqrt(expected)


def unpacked(rows, eos):
    """The examples of windows end to end, without EOS and padding."""
    stream = np.append(rows["tokens"].reshape(-1), rows["targets"][-1, -1])
    weights = np.append(1, rows["weights"].reshape(-1))
    ends = np.flatnonzero((stream == eos) & (weights > 0))
    return [stream[a + 1 : b] for a, b in itertools.pairwise(ends)]


def test_windows_hold_the_examples_in_their_order():
    """So labels by place in the stream go for windows too: names and values stay findable."""
    for kind in ("word", "atomic"):
        world = stream("multi2+fullname", kind=kind)
        count = examples_per_block(world, PACKING)
        for block in (0, 3):
            rows = pack_rows(world, PACKING, 6, range(8 * block, 8 * block + 8))
            examples = world.examples(6, block * count, count)
            found = unpacked(rows, world.vocabulary.eos)
            assert len(found) == count and len(rows["tokens"]) == 8
            for i, (inner, whole) in enumerate(zip(found, examples, strict=True)):
                np.testing.assert_array_equal(inner, whole[1:-1])
                person = PEOPLE[int(world.presented(6, block * count + i, 1)[0, 1])]
                names = inner[examples.slice(i, i + 1).role[1:-1] == 1]
                assert world.vocabulary.decode(names) == 6 * f" {person.name}"


def test_exposures_are_exact_in_windows():
    world = stream("multi2+permute")
    count = examples_per_block(world, PACKING)
    blocks = 4 * world.size // count
    rows = pack_rows(world, PACKING, 0, range(8 * blocks))
    seen: dict[bytes, int] = {}
    for block in range(blocks):
        part = {name: array[8 * block : 8 * block + 8] for name, array in rows.items()}
        for inner in unpacked(part, world.vocabulary.eos):
            seen[inner.tobytes()] = seen.get(inner.tobytes(), 0) + 1
    assert len(seen) == world.size and set(seen.values()) <= {3, 4}
    assert sum(seen.values()) == count * blocks


def test_entries_of_a_person_meet_in_windows_by_chance_alone():
    world = stream("multi5", Population(200, 3, "mini"))
    rows = pack_rows(world, PACKING, 0, range(8 * 300))["tokens"]
    found, expected = 0, 0.0
    for row in rows:
        starts = np.flatnonzero(row == world.vocabulary.eos)
        starts = starts[starts < 125]
        names = [row[i + 1 : i + 4].tobytes() for i in starts]
        pairs = list(itertools.combinations(names, 2))
        expected += len(pairs) * 4 / (world.size - 1)
        found += sum(one == other for one, other in pairs)
    assert abs(found - expected) < 4 * np.sqrt(expected)


@pytest.mark.parametrize("shares", [[8] * 6, [16, 16, 16], [48], [5, 20, 1, 22]])
def test_windows_are_the_same_for_any_number_of_hosts(shares):
    world, whole, at = stream("bioS"), pack_rows(stream("bioS"), PACKING, 3, range(40, 88)), 40
    for share in shares:
        part = pack_rows(world, PACKING, 3, range(at, at + share))
        for name, array in part.items():
            np.testing.assert_array_equal(array, whole[name][at - 40 : at - 40 + share])
        at += share


def test_processes_agree():
    runs = [
        subprocess.Popen(
            [sys.executable, bios_streams.__file__, str(start), "30"],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": str(start)},
            text=True,
        )
        for start in (70, 100)
    ]
    found = [json.loads(run.communicate(timeout=300)[0]) for run in runs]
    assert all(run.returncode == 0 for run in runs)
    assert found[0] + found[1] == bios_streams.digests(70, 60)
