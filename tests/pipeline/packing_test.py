"""Packing against slow twins that work on plain lists, one example and one row at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import BOS, EOS, PAD, Toy

from physlm_jax.data import cfg
from physlm_jax.data.hashing import stream_key
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError
from physlm_jax.pipeline import PackingConfig, pack_block, pack_rows

few = settings(max_examples=25, deadline=None)
worlds = st.builds(
    lambda shortest, more: Toy(shortest, shortest + more),
    st.integers(2, 12),
    st.integers(0, 30),
)
addresses = st.tuples(st.integers(0, 2**63), st.sampled_from([0, 1, 77, 2**32 - 1]))
sizes = st.tuples(st.integers(1, 40), st.sampled_from([2, 4, 6]))


def examples_of(world: Toy, seed: int, block: int, count: int = 600) -> list[list[int]]:
    return [x.tolist() for x in world.examples(seed, block * 2**32, count)]


def bos_from(stream: list[int], place: int) -> int:
    """The first BOS at or after a place; in the toy world nothing else is written so."""
    return stream.index(BOS, place)


def slow_starts(
    stream: list[int], length: int, rows: int, align: str, seed: int, block: int
) -> list[int]:
    """Where each row starts, told as a story."""
    aligned, place = [], 0
    for _ in range({"none": 0, "half": rows // 2, "all": rows}[align]):
        aligned.append(bos_from(stream, place))
        place = aligned[-1] + length + 1
    first = end = bos_from(stream, place)
    for _ in range(4):  # the phase is uniform in the tokens of the next four examples
        end = bos_from(stream, end + 1)
    cut = first + ((end - first) * stream_key(seed, "packing phase", block) >> 64)
    cuts = [cut + r * length for r in range(rows - len(aligned))]
    if align == "half":
        return [start for pair in zip(aligned, cuts, strict=True) for start in pair]
    return aligned + cuts


@few
@given(worlds, addresses, sizes, st.sampled_from(["none", "half", "all"]))
def test_concatenated_rows_are_windows_of_the_examples_end_to_end(world, address, size, align):
    (seed, block), (length, rows) = address, size
    found = pack_block(world, PackingConfig(length, "concatenate", align, rows), seed, block)
    stream = [token for x in examples_of(world, seed, block) for token in x]
    starts = slow_starts(stream, length, rows, align, seed, block)
    assert found["tokens"].tolist() == [stream[s : s + length] for s in starts]
    assert found["targets"].tolist() == [stream[s + 1 : s + length + 1] for s in starts]
    assert (found["segment_ids"] == 1).all() and (found["weights"] == 1).all()
    assert (found["positions"] == np.arange(length)).all()


def slow_best_fit(examples: list[list[int]], length: int, rows: int) -> list[list[list[int]]]:
    """The examples of each row, those longer than the window already cut to T + 1 tokens."""
    packed: list[list[list[int]]] = [[]]
    for example in (x[: length + 1] for x in examples):
        if sum(len(x) - 1 for x in packed[-1]) + len(example) - 1 > length:
            packed.append([])
        if len(packed) > rows:
            return packed[:rows]
        packed[-1].append(example)
    raise AssertionError("the twin needs more examples")


@few
@given(worlds, addresses, sizes, st.sampled_from(["none", "all"]))
def test_best_fit_rows_hold_the_examples_in_order_and_whole(world, address, size, align):
    (seed, block), (length, rows) = address, size
    found = pack_block(world, PackingConfig(length, "best_fit", align, rows), seed, block)
    expected = slow_best_fit(examples_of(world, seed, block), length, rows)
    for r, examples in enumerate(expected):
        row = {name: array[r] for name, array in found.items()}
        assert row["segment_ids"].max() == len(examples)
        for segment, example in enumerate(examples, start=1):
            here = row["segment_ids"] == segment
            assert row["tokens"][here].tolist() == example[:-1]
            assert row["targets"][here].tolist() == example[1:]
            assert row["positions"][here].tolist() == list(range(len(example) - 1))
            assert np.ptp(np.flatnonzero(here)) == len(example) - 2  # side by side
        padding = row["segment_ids"] == 0
        assert (row["weights"] == ~padding).all()
        assert (np.diff(padding.astype(int)) >= 0).all()  # at the end of the row
        assert (row["tokens"][padding] == PAD).all() and (row["targets"][padding] == PAD).all()
        assert (row["positions"][padding] == 0).all()


def test_best_fit_cuts_an_example_longer_than_the_window():
    found = pack_block(Toy(30, 30), PackingConfig(8, "best_fit", rows_per_block=3), 5, 0)
    heads = [x[:9] for x in examples_of(Toy(30, 30), 5, 0, 3)]
    assert found["tokens"].tolist() == [x[:8] for x in heads]
    assert found["targets"].tolist() == [x[1:] for x in heads]
    assert found["weights"].all()


@few
@given(
    worlds,
    addresses,
    sizes,
    st.sampled_from(
        [
            ("concatenate", "none"),
            ("concatenate", "half"),
            ("concatenate", "all"),
            ("best_fit", "all"),
        ]
    ),
    st.floats(0.5, 5000),
)
def test_rows_do_not_depend_on_how_many_examples_are_asked_at_a_time(
    world, address, size, how, stated
):
    """`mean_length` decides it: too high, and many calls are needed; too low, and one does."""
    packing = PackingConfig(size[0], *how, size[1])
    misled = Toy(world.shortest, world.longest, stated)
    found, expected = (pack_block(w, packing, *address) for w in (misled, world))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("mode", ["concatenate", "best_fit"])
def test_rows_that_end_exactly_where_the_examples_at_hand_end(mode):
    """One example more at a time: among so many blocks, some stop at the very last token."""
    for block in range(300):
        packing = PackingConfig(1 + block % 12, mode, rows_per_block=1)
        slowly = pack_block(Toy(stated=5000), packing, 0, block)
        np.testing.assert_array_equal(
            slowly["targets"], pack_block(Toy(), packing, 0, block)["targets"]
        )


def test_types_and_shapes():
    for mode in ("concatenate", "best_fit"):
        for name, array in pack_block(Toy(), PackingConfig(24, mode), 1, 0).items():
            assert array.shape == (16, 24)
            assert array.dtype == (np.float32 if name == "weights" else np.int32)
            assert array.flags.c_contiguous


def test_global_row_g_is_row_g_mod_r_of_block_g_div_r():
    packing = PackingConfig(10, rows_per_block=4)
    found = pack_rows(Toy(), packing, 9, range(6, 13))
    for i, g in enumerate(range(6, 13)):
        block = pack_block(Toy(), packing, 9, g // 4)
        for name, array in found.items():
            np.testing.assert_array_equal(array[i], block[name][g % 4])


def test_blocks_and_seeds_differ():
    packing = PackingConfig(32, rows_per_block=2)
    rows = [
        tuple(pack_block(Toy(), packing, seed, block)["tokens"].reshape(-1))
        for seed in range(3)
        for block in range(3)
    ]
    assert len(set(rows)) == 9


def test_the_phase_is_near_that_of_an_endless_stream():
    """A far-away place of the stream is a BOS with chance 1 / mean length."""
    world, packing, blocks = Toy(2, 9), PackingConfig(3, rows_per_block=1), 4000
    at_bos = sum(pack_block(world, packing, 0, b)["tokens"][0, 0] == BOS for b in range(blocks))
    spread = 0.174  # variance / mean**2 of a length uniform in 2..9: 5.25 / 5.5**2
    expected = (1 + spread / 4) / world.mean_length
    assert abs(at_bos / blocks - expected) < 4 * (expected / blocks) ** 0.5


def test_cfg3b_windows_of_twelve_look_like_the_published_example():
    """specs/cfg.md 5.3: `... 3 1 2 3 4 | 0 2 1 3 1 3 1 2 3 1 2 3 | 1 2 1 3 ...`, EOS 4, BOS 0."""

    class Fixed(Toy):
        def examples(self, seed, start, count):
            strings = [
                [0, 2, 3, 3, 1, 2, 3, 4],
                [0, 2, 1, 3, 1, 3, 1, 2, 3, 1, 2, 3, 1, 2, 1, 3, 4],
            ]
            return Ragged.from_sequences([strings[i % 2] for i in range(count)])

    packing = PackingConfig(12, rows_per_block=40)  # 25 and 12 are coprime: every cut occurs
    rows = pack_block(Fixed(2, 24), packing, 0, 0)["tokens"]
    found = [" ".join(map(str, row)) for row in rows]
    after = found.index("0 2 1 3 1 3 1 2 3 1 2 3")
    assert found[after - 1].endswith("3 1 2 3 4") and found[after + 1].startswith("1 2 1 3")


def test_strings_of_cfg3b_come_out_of_the_rows_as_they_went_in():
    """Whole strings read back from the windows are in the language, by its exact oracle."""
    world = cfg.world("cfg3b")
    rows = pack_block(world, PackingConfig(512, rows_per_block=4), 1, 0)["tokens"]
    whole = " ".join(map(str, rows.reshape(-1))).split(" 4 0 ")[1:-1]  # without the cut ends
    strings = [[int(token) for token in string.split()] for string in whole]
    assert len(strings) >= 5 and cfg.is_valid(world.grammar, strings).all()
    sampled = [x[1:-1].tolist() for x in world.examples(1, 0, 16)]
    first = sampled.index(strings[0])
    assert strings == sampled[first : first + len(strings)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "packing.length must be an integer >= 1, got 0"),
        ({"length": 8.5}, "packing.length must be an integer >= 1, got 8.5"),
        ({"length": True}, "packing.length must be an integer >= 1, got True"),
        ({"rows_per_block": -3}, "packing.rows_per_block must be an integer >= 1, got -3"),
        ({"mode": "bestfit"}, "unknown packing.mode 'bestfit'; did you mean 'best_fit'?"),
        ({"align_bos": "al"}, "unknown packing.align_bos 'al'; did you mean 'all'?"),
        ({"align_bos": "half", "mode": "best_fit"}, "use 'none' or 'all'"),
        ({"align_bos": "half", "rows_per_block": 5}, "every second row of a block; use 6"),
    ],
)
def test_a_bad_value_gives_one_line(options, message):
    with pytest.raises(InputError) as caught:
        PackingConfig(**{"length": 8, **options})
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("block", [-1, 2**32])
def test_a_block_out_of_range_is_refused(block):
    with pytest.raises(InputError, match="out of range"):
        pack_block(Toy(), PackingConfig(8), 0, block)


@pytest.mark.parametrize("mode", ["concatenate", "best_fit"])
def test_a_world_of_empty_examples_is_refused_not_asked_for_ever(mode):
    class Empty(Toy):
        def examples(self, seed, start, count):
            return Ragged.from_sequences([[BOS, EOS]] + [[]] * (count - 1))

    with pytest.raises(InputError, match="of 2 tokens or more"):
        pack_block(Empty(), PackingConfig(8, mode), 0, 0)


@few
@given(worlds, addresses, sizes)
def test_single_rows_hold_one_example_each_by_its_own_number(world, address, size):
    (seed, block), (length, rows) = address, size
    found = pack_block(world, PackingConfig(length, "single", rows_per_block=rows), seed, block)
    for row, ids in enumerate(world.examples(seed, block * rows, rows)):
        n = min(len(ids) - 1, length)
        assert found["tokens"][row, :n].tolist() == ids[:n].tolist()
        assert found["targets"][row, :n].tolist() == ids[1 : n + 1].tolist()
        assert found["positions"][row, :n].tolist() == list(range(n))
        assert found["segment_ids"][row].tolist() == [1] * n + [0] * (length - n)
        assert found["weights"][row].tolist() == [1] * n + [0] * (length - n)
        assert (found["tokens"][row, n:] == PAD).all()


class Weighed(Toy):
    """Each token's weight is told by the token itself."""

    @staticmethod
    def weight(tokens: np.ndarray) -> np.ndarray:
        return (tokens % 4 / 4).astype(np.float32)

    def examples(self, seed: int, start: int, count: int) -> Ragged:
        plain = super().examples(seed, start, count)
        return Ragged(plain.tokens, plain.offsets, {"weights": self.weight(plain.tokens)})


@pytest.mark.parametrize("mode", ["concatenate", "exact", "best_fit", "single"])
@pytest.mark.parametrize("stated", [None, 500])  # asked for at once, and bit by bit
def test_a_world_weighs_the_loss_of_its_tokens_as_targets(mode, stated):
    packing = PackingConfig(16, mode, rows_per_block=8)
    found = pack_block(Weighed(3, 20, stated), packing, 2, 3)
    plain = pack_block(Toy(3, 20, stated), packing, 2, 3)
    inside = plain["weights"] == 1
    np.testing.assert_array_equal(found["weights"], Weighed.weight(found["targets"]) * inside)
    for name in ("tokens", "targets", "segment_ids", "positions"):
        np.testing.assert_array_equal(found[name], plain[name])
    assert found["weights"].dtype == np.float32
