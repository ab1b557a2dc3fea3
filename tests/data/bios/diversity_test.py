"""bioD: sets of different strings, values from them, paragraphs by a slow twin, the whole range."""

import itertools
import math

import bios_twin as twin
import numpy as np
import pytest
from chi_square import chi_square
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import open_world
from physlm_jax.data.biod import ROLES, Diversity
from physlm_jax.data.bios import Population, pools
from physlm_jax.errors import InputError
from physlm_jax.pipeline import PackingConfig, examples_per_block, pack_rows

PEOPLE = Population(40, 3, "mini")


def opened(**options):
    return open_world({"world": "biod", "pools": "mini", **options})


def string(world, number, attribute):
    """A string of an attribute's set: a permutation of the first symbols, the rest hashed."""
    head = max(m for m in range(1, world.length + 1) if m == 1 or world.alphabet**m < 2**62)
    key = twin.mix(twin.stream_key(world.people.seed, "diversity") ^ twin.mix(attribute))
    place = twin.permuted(number, world.alphabet**head, key)
    first = [place // world.alphabet**i % world.alphabet for i in reversed(range(head))]
    draws = twin.Draws(twin.mix((key + twin.mix(number)) & twin.MASK))
    return first + [draws.below(world.alphabet) for _ in range(world.length - head)]


def value(world, person, attribute):
    """The numbers of the chunks."""
    key = twin.mix(person.key ^ twin.stream_key(world.people.seed, "chunks"))
    draws = twin.Draws(twin.mix((key + attribute) & twin.MASK))
    return [draws.below(world.diversity) for _ in range(world.chunks)]


def paragraph(world, number, turn, seed):
    """One presentation of a person, as (text, role)."""
    person = twin.person(world.people.pools, world.people.seed, number)
    key = twin.mix(person.key ^ twin.stream_key(seed, "wording"))
    draws = twin.Draws(twin.mix((key + turn) & twin.MASK))
    said = [(" " + person.name, "name"), ("'s", "other")]
    for k, attribute in enumerate(draws.shuffled(range(world.attributes))):
        said.append((" Their" * (k > 0) + f" ID {attribute + 1} is", "other"))
        for chunk, place in enumerate(value(world, person, attribute)):
            said.append((",", "value") if chunk else ("", "value"))
            text = "".join(f" x{symbol}" for symbol in string(world, place, attribute))
            said.append((text, "value" if chunk else "first chunk"))
        said.append((".", "other"))
    return said


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_paragraphs_are_those_of_the_slow_twin_token_by_token(data):
    alphabet = data.draw(st.sampled_from([2, 20, 999, 40_000]))
    length = data.draw(st.sampled_from([1, 2, 5, 16, 50]))
    world = Diversity(
        Population(9, data.draw(st.integers(0, 2**63)), "mini", 7),
        attributes=data.draw(st.integers(1, 8)),
        chunks=data.draw(st.integers(1, 5)),
        diversity=data.draw(st.integers(1, min(10_000, alphabet**length))),
        length=length,
        alphabet=alphabet,
    )
    seed, start = data.draw(st.integers(0, 2**63)), data.draw(st.integers(0, 2**62))
    found, speller = world.examples(seed, start, 4), world.vocabulary
    assert found.tokens.dtype == np.int32 and found.role.dtype == np.uint8
    for i, (number, turn) in enumerate(world.presented(seed, start, 4).tolist()):
        assert (turn, number) == twin.shown_at(start + i, 9, seed, "passes")
        said = paragraph(world, 7 + number, turn, seed)
        ids = [speller.encode(text) for text, _ in said]
        roles = [[ROLES.index(role)] * len(x) for x, (_, role) in zip(ids, said, strict=True)]
        one = found.slice(i, i + 1)
        assert one.tokens.tolist() == [speller.eos, *np.concatenate(ids), speller.eos]
        assert one.role.tolist() == [0, *itertools.chain(*roles), 0]
        text = f"<eos>{twin.text(said)}<eos>"
        assert speller.decode(one.tokens) == text
        np.testing.assert_array_equal(speller.encode(text), one.tokens)
        assert len(one.tokens) == world.mean_length


def test_a_literal_paragraph():
    """Nobody's knowledge may ever change."""
    world = opened(people=50, attributes=3, chunks=2, diversity=12, length=2, alphabet=20)
    assert world.vocabulary.decode(world.paragraphs(np.array([[0, 0]]))[0]) == LITERAL


LITERAL = (
    "<eos> Thomas Javier Odell's ID 1 is x6 x9, x6 x12. Their ID 3 is x17 x9, x11 x15."
    " Their ID 2 is x13 x7, x5 x17.<eos>"
)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40_000), st.integers(1, 50), st.integers(1, 10_000), st.integers(0, 2**63))
def test_strings_of_a_set_differ(alphabet, length, diversity, seed):
    diversity = min(diversity, alphabet**length)
    world = Diversity(Population(2, seed, "mini"), 2, 1, diversity, length, alphabet)
    one, other = (world.strings(attribute) for attribute in range(2))
    assert one.shape == (diversity, length) and one.min() >= 0 and one.max() < alphabet
    assert len(np.unique(one, axis=0)) == diversity
    if diversity > 50:
        assert (one != other).any()
    if diversity == alphabet**length:
        assert len(np.unique(np.concatenate([one, other]), axis=0)) == diversity


@pytest.mark.parametrize(("alphabet", "length"), [(3, 2), (20, 3), (20, 30), (40_000, 6)])
def test_strings_are_uniform(alphabet, length):
    """Symbols at every place, and which strings are in a set."""
    found = np.concatenate(
        [
            Diversity(Population(2, seed, "mini"), 40, 1, 4, length, alphabet).strings(attribute)
            for seed in range(60)
            for attribute in range(40)
        ]
    )
    cells = min(alphabet, 8)
    for place in {0, 1, length // 2, length - 1}:
        symbol = found[:, place] * cells // alphabet
        edges = -(-np.arange(cells + 1) * alphabet // cells)
        expected = len(found) * np.diff(edges) / alphabet
        assert abs(chi_square(np.bincount(symbol, minlength=cells), expected)) < 4
    if alphabet == 3:
        counts = np.bincount(found @ [3, 1], minlength=9)
        assert np.abs(counts - len(found) * np.full(9, 1 / 9)).max() < 4 * np.sqrt(len(found) / 9)


def test_values_are_uniform_and_do_not_know_of_each_other():
    world = Diversity(Population(20_000, 1, "mini"), 3, 2, 10, 1, 20)
    found = world.values(np.arange(20_000))
    assert found.shape == (20_000, 3, 2)
    flat = found.reshape(20_000, 6)
    for one, other in itertools.combinations(range(6), 2):
        counts = np.bincount(10 * flat[:, one] + flat[:, other], minlength=100)
        assert abs(chi_square(counts, np.full(100, 200.0))) < 4
    months = world.people.fields(np.arange(20_000))[:, 3]
    counts = np.bincount(10 * months + flat[:, 0], minlength=120)
    assert abs(chi_square(counts, np.full(120, 20_000 / 120))) < 4


def test_values_are_what_paragraphs_say():
    world = Diversity(PEOPLE, 4, 3, 50, 2, 30)
    values, sets = world.values(np.arange(40)), [world.strings(a) for a in range(4)]
    for i, (number, _) in enumerate(world.presented(8, 0, 60).tolist()):
        text = world.vocabulary.decode(world.examples(8, i, 1)[0])
        assert text.startswith(f"<eos> {PEOPLE[number].name}'s ID ")
        for attribute in range(4):
            chunks = [sets[attribute][place] for place in values[number, attribute]]
            said = ",".join("".join(f" x{symbol}" for symbol in chunk) for chunk in chunks)
            assert f" ID {attribute + 1} is{said}." in text


def test_every_pass_shows_everybody_once_in_another_order():
    world = Diversity(PEOPLE, 4)
    for turn in range(3):
        shown = world.presented(2, 40 * turn, 40)
        assert sorted(shown[:, 0].tolist()) == list(range(40)) and (shown[:, 1] == turn).all()
    every = world.paragraphs(np.array([[0, turn] for turn in range(3000)])).tokens.reshape(3000, -1)
    numbers = np.flatnonzero(every[0] == world.vocabulary.encode(" ID")[0]) + 1
    orders = np.unique(every[:, numbers], axis=0, return_counts=True)[1]
    assert len(orders) == 24 and abs(chi_square(orders, np.full(24, 125.0))) < 4


def test_calls_may_be_cut_anywhere():
    world = Diversity(PEOPLE, 3, 2, 10, 20, 20)
    whole = world.examples(1, 17, 50)
    for start, stop in ((0, 50), (0, 1), (7, 31), (49, 50), (20, 20)):
        part, piece = world.examples(1, 17 + start, stop - start), whole.slice(start, stop)
        np.testing.assert_array_equal(part.tokens, piece.tokens)
        np.testing.assert_array_equal(part.offsets, piece.offsets)
        np.testing.assert_array_equal(part.role, piece.role)


def test_windows_are_full():
    """All paragraphs are of one length, so that windows need no margin."""
    world, packing = Diversity(PEOPLE, 3, 2, 10, 2, 20), PackingConfig(128, "exact", "none", 4)
    count = examples_per_block(world, packing)
    assert count == 4 * 128 // (int(world.mean_length) - 1)
    rows = pack_rows(world, packing, 0, range(4))
    assert (rows["tokens"] == world.vocabulary.eos).sum() >= count
    assert rows["weights"].mean() > 1 - world.mean_length / 512


@pytest.mark.parametrize(
    "kcdlt", [*itertools.product((1, 50), (1, 50), (10, 10_000), (1, 50), (20, 40_000))]
)
def test_the_whole_range_of_the_papers(kcdlt):
    attributes, chunks, diversity, length, alphabet = kcdlt
    if diversity > alphabet**length:
        with pytest.raises(
            InputError, match=r"^bioD: there are no 10000 different strings of 1 of 20"
        ):
            Diversity(PEOPLE, *kcdlt)
        return
    world = Diversity(PEOPLE, *kcdlt)
    found = world.examples(0, 0, 2)
    assert found.lengths.tolist() == [world.mean_length] * 2
    values = attributes * (chunks * (length + 1) - 1)
    assert (found.role >= 2).sum() == 2 * values and (found.role == 1).sum() == 6
    assert (found.role == 3).sum() == 2 * attributes * length
    assert found.tokens.max() < len(world.vocabulary)
    assert world.values(np.arange(40)).max() < diversity


def test_the_vocabulary_has_one_id_for_every_word():
    world = opened(people=9, attributes=7, alphabet=30)
    names = {w for part in ("first", "middle", "last") for w in pools("mini").values_of(part)}
    assert len(world.vocabulary) == 8 + 7 + 30 + len(names)
    for text in (" x29", " 7", " Their", " ID", "'s", "<eos>", "."):
        assert len(world.vocabulary.encode(text)) == 1
    for text in (" x30", " 8", " x", "x1", " thing", "<mask>", " x1x2"):
        with pytest.raises(InputError, match=r"^the text at character [14] .* is outside the voc"):
            world.vocabulary.encode(" ID" + text)


def test_names_of_a_users_own(own):
    world = open_world({"world": "biod", "people": 30, "pools": own, "attributes": 2})
    for ids in world.examples(0, 0, 30):
        np.testing.assert_array_equal(world.vocabulary.encode(world.vocabulary.decode(ids)), ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"attribute": 3},
            r"^unknown option 'attribute' in config.data of world 'biod'; did you mea",
        ),
        ({"people": 0}, r"people must be 1\.\.160000"),
        ({"pools": "midi"}, r"^unknown pools 'midi'; did you mean 'mini'"),
        *[
            ({name: bad}, rf"^bioD: {name} must be a whole number >= {least}, got {bad}$")
            for name, least in (("attributes", 1), ("chunks", 1), ("diversity", 1), ("length", 1))
            for bad in (0, -3, 2**31, 1.5)
        ],
        ({"alphabet": 1}, r"^bioD: alphabet must be a whole number >= 2, got 1$"),
        ({"diversity": 21}, r"no 21 different strings of 1 of 20 symbols, only 20$"),
        (
            {"diversity": 401, "length": 2},
            r"no 401 different strings of 2 of 20 symbols, only 400$",
        ),
        ({"people": "x"}, r"^config.data of world 'biod': "),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(InputError, match=message) as error:
        opened(**options)
    assert "\n" not in str(error.value)


def test_all_strings_may_be_in_a_set():
    world = opened(people=5, diversity=400, length=2)
    assert math.log(world.alphabet**world.length / world.diversity) == 0
    assert len(np.unique(world.strings(0), axis=0)) == 400
