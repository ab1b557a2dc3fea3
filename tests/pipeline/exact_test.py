"""Windows of a fixed number of examples, and rows of several worlds, against plain twins."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import PAD, Toy

from physlm_jax.data.mixture import Mixture, part_seed, whole_shares
from physlm_jax.data.ragged import Ragged
from physlm_jax.data.vocabulary import Vocabulary
from physlm_jax.errors import InputError
from physlm_jax.pipeline import PackingConfig, examples_per_block, pack_block, pack_rows


@dataclass(frozen=True)
class OneBorder(Toy):
    """A toy whose examples begin and end with the same token."""

    @property
    def vocabulary(self) -> Vocabulary:
        plain = super().vocabulary
        return Vocabulary(plain.names, bos=0, eos=0, pad=PAD)

    def examples(self, seed, start, count):
        plain = super().examples(seed, start, count)
        plain.tokens[plain.offsets[1:] - 1] = 0
        return plain


def padded(world, packing, seed, block):
    """The block's tokens as one stream, and how many of them are no padding."""
    count = examples_per_block(world, packing)
    stream = []
    for x in world.examples(seed, block * count, count):
        stream += x.tolist()[1:] if stream and isinstance(world, OneBorder) else x.tolist()
    return stream, len(stream)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([Toy, OneBorder]),
    st.integers(2, 12),
    st.integers(0, 10),
    st.integers(0, 2**63),
    st.sampled_from([0, 3, 2**32 - 1]),
    st.sampled_from([(40, 4), (64, 8), (200, 1)]),
)
def test_a_block_is_its_own_examples_end_to_end_then_padding(kind, least, more, seed, b, size):
    world, packing = (
        kind(least, least + more),
        PackingConfig(size[0], "exact", rows_per_block=size[1]),
    )
    found = pack_block(world, packing, seed, b)
    stream, n = padded(world, packing, seed, b)
    room = size[0] * size[1]
    assert n <= room + 1
    whole = stream + [PAD] * (room + 1 - n)
    assert found["tokens"].reshape(-1).tolist() == whole[:-1]
    assert found["targets"].reshape(-1).tolist() == whole[1:]
    assert found["weights"].reshape(-1).tolist() == [1] * (n - 1) + [0] * (room + 1 - n)
    assert (found["positions"] == np.arange(size[0])).all() and (found["segment_ids"] == 1).all()


@dataclass(frozen=True)
class Weighed(OneBorder):
    """Each example begins with weight 0 and ends with 1; in between weights are halves."""

    def examples(self, seed, start, count):
        plain = super().examples(seed, start, count)
        weights = np.full(len(plain.tokens), 0.5, np.float32)
        weights[plain.offsets[:-1]], weights[plain.offsets[1:] - 1] = 0, 1
        return Ragged(plain.tokens, plain.offsets, {"weights": weights})


def test_a_border_in_common_weighs_what_the_end_before_it_does():
    """Else a world that gives its prompts no weight would not teach where answers end."""
    found = pack_block(Weighed(3, 9), PackingConfig(40, "exact", rows_per_block=4), 0, 0)
    targets, weights = found["targets"].reshape(-1), found["weights"].reshape(-1)
    assert (weights[targets == 0] == 1).all() and (targets == 0).sum() > 10
    assert set(weights[targets != 0].tolist()) == {0.0, 0.5}  # 0: padding


def test_examples_of_one_length_leave_no_padding():
    packing = PackingConfig(20, "exact", rows_per_block=3)
    assert examples_per_block(OneBorder(6, 6), packing) == 12  # of 5 tokens and a border in common
    assert pack_block(OneBorder(6, 6), packing, 0, 0)["weights"].all()


def test_little_room_is_lost_and_none_is_missing():
    world, packing = Toy(50, 98), PackingConfig(512, "exact", rows_per_block=16)
    blocks = [pack_block(world, packing, 0, b) for b in range(50)]
    filled = np.mean([b["weights"].mean() for b in blocks])
    assert 0.87 < filled < 0.99  # six deviations of 14 tokens sqrt(110)


def test_a_block_too_small_for_an_example_is_refused():
    with pytest.raises(InputError, match=r"does not hold one example of some 30"):
        examples_per_block(Toy(20, 40), PackingConfig(32, "exact", rows_per_block=1))


@pytest.mark.parametrize("shares", [(1, 4), (7, 1), (2, 1, 3)])
def test_rows_of_a_mixture_are_rows_of_its_parts_in_order(shares):
    parts = tuple(Toy(3, 5 + k, size=900) for k in range(len(shares)))
    world, packing = Mixture(parts, shares), PackingConfig(16, "exact", rows_per_block=2)
    rows = range(11, 97)
    found = pack_rows(world, packing, 5, rows)
    kinds, _ = world.places(5, range(rows.stop))
    seen: Counter[int] = Counter()
    for g, kind in enumerate(kinds.tolist()):
        rank, seen[kind] = seen[kind], seen[kind] + 1
        if g in rows:
            own = pack_rows(parts[kind], packing, part_seed(5, kind), range(rank, rank + 1))
            for name, array in own.items():
                np.testing.assert_array_equal(found[name][g - rows.start], array[0])
    period = sum(shares)
    for p in range(len(kinds) // period):  # each period holds each share
        counts = Counter(kinds[p * period : (p + 1) * period].tolist())
        assert [counts[k] for k in range(len(shares))] == list(shares)


def test_places_differ_from_period_to_period_and_do_not_depend_on_what_is_asked():
    world = Mixture((Toy(), Toy()), (1, 4))
    kinds, ranks = world.places(1, range(1000))
    assert len({tuple(row) for row in kinds.reshape(-1, 5)}) == 5
    for rows in (range(7, 8), range(333, 777)):
        some = world.places(1, rows)
        np.testing.assert_array_equal(
            some, (kinds[rows.start : rows.stop], ranks[rows.start : rows.stop])
        )


def test_shares_and_vocabularies_must_fit():
    assert whole_shares(0.8, "qa_share") == (1, 4) and whole_shares(0.875, "x") == (1, 7)
    for share in (0, 1, -0.5, 0.123456):
        with pytest.raises(InputError, match=r"qa_share must be in \(0, 1\)"):
            whole_shares(share, "qa_share")
    with pytest.raises(InputError, match="one vocabulary"):
        Mixture((Toy(), Toy(size=500)), (1, 1))
    with pytest.raises(InputError, match="shares >= 1"):
        Mixture((Toy(), Toy()), (1, 0))
