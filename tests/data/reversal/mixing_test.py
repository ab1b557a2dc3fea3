"""The mixed stream: every sample once a pass, its two forms in turn and far apart."""

import collections
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import open_world, reversal
from physlm_jax.data.reversal import Questions, ReverseMix
from physlm_jax.data.reversal.source import Listed, special
from physlm_jax.errors import InputError
from physlm_jax.pipeline import PackingConfig, pack_rows

few = settings(max_examples=25, deadline=None)


def listed(count: int, length: int = 4) -> Listed:
    """Samples that name themselves: `s<i> x1 x2 x3`; x1 x2 are an entity, s0 is never reversed."""
    words = [f"s{i}" for i in range(count)] + [f"x{j}" for j in range(1, length)]
    texts = [
        ([f"s{i}", *(f"x{j}" for j in range(1, length))], [(1, 3)], i > 0) for i in range(count)
    ]
    return Listed.of(special(words), texts, {})


def shown(mix: ReverseMix, count: int, seed: int = 0, start: int = 0):
    """(sample, reversed?) of each exposure, read off its tokens."""
    found = []
    for ids in mix.examples(seed, start, count):
        words = mix.vocabulary.decode(ids).split()
        assert words[0] == "<bos>" and words[-1] == "<eos>"
        name = next(w for w in words if w.startswith("s"))
        found.append((int(name[1:]), words[1] != name))
    return found


@few
@given(st.integers(1, 30), st.integers(0, 99), st.sampled_from(["token", "word", "entity"]))
def test_each_pass_shows_every_sample_once_and_the_forms_alternate(count, seed, kind):
    mix = ReverseMix(listed(count), kind)
    found = shown(mix, 4 * count, seed)
    forms = collections.defaultdict(list)
    for turn in range(4):
        part = found[turn * count : (turn + 1) * count]
        assert sorted(i for i, _ in part) == list(range(count))
        for i, turned in part:
            forms[i].append(turned)
    assert forms[0] == [False] * 4
    assert all(f in ([True, False] * 2, [False, True] * 2) for i, f in forms.items() if i)


@few
@given(st.integers(2, 40), st.integers(0, 99))
def test_a_sample_comes_back_after_half_of_the_others(count, seed):
    found = [i for i, _ in shown(ReverseMix(listed(count), "word"), 5 * count, seed)]
    last: dict[int, int] = {}
    for place, i in enumerate(found):
        assert place - last.get(i, -count) >= count // 2
        last[i] = place


def test_orders_and_forms_differ_between_passes_and_seeds():
    mix = ReverseMix(listed(40), "word")
    found = [i for i, _ in shown(mix, 80)]
    assert found[:40] != found[40:] and shown(mix, 40, seed=1) != shown(mix, 40)
    assert {turned for _, turned in shown(mix, 40)} == {True, False}


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_reversed_exposures_is_exact_for_every_sample(ratio):
    found = shown(ReverseMix(listed(20), "word", ratio=ratio), 8 * 20)
    counts = collections.Counter(i for i, turned in found if turned)
    assert all(counts[i] == 8 * ratio for i in range(1, 20))


def test_segments_are_those_of_the_pure_function_drawn_anew_in_each_pass():
    mix = ReverseMix(listed(5, 9), "segment", k=3, ratio=1.0)
    rev = int(mix.vocabulary.encode("[REV]")[0])
    index, epoch, _ = mix.exposures(7, 0, 40)
    seen = collections.defaultdict(set)
    for i, e, ids in zip(index, epoch, mix.examples(7, 0, 40), strict=True):
        plain = mix.source.rows[int(i)]
        expected = reversal.segments(plain, 3, 7, rev, int(e), int(i)) if i else plain
        assert ids[1:-1].tolist() == expected.tolist()
        seen[int(i)].add(ids.tobytes())
    assert all(len(seen[i]) > 4 for i in range(1, 5))


def test_options_reach_the_text():
    mix = ReverseMix(listed(3), "entity", ratio=1.0, direction_token=True)
    texts = [mix.vocabulary.decode(x) for x in mix.examples(0, 0, 3)]
    assert "<bos> [REVERSED] x3 x1 x2 s1 <eos>" in texts and "<bos> s0 x1 x2 x3 <eos>" in texts
    led = ReverseMix(listed(3), "segment", k=2, ratio=1.0, leading_rev=True)
    texts = [led.vocabulary.decode(x) for x in led.examples(0, 0, 3)]
    assert sum(t.startswith("<bos> [REV] ") for t in texts) == 2


@few
@given(
    st.sampled_from(["none", "token", "entity", "segment"]), st.integers(0, 300), st.integers(1, 50)
)
def test_an_example_depends_on_its_number_alone(kind, start, count):
    mix = ReverseMix(listed(11), kind, k=2, ratio=0.5 * (kind != "none"))
    many = mix.examples(3, 0, start + count)
    assert [x.tolist() for x in mix.examples(3, start, count)] == [x.tolist() for x in many][start:]


def test_windows_hold_no_sample_twice_and_reverse_nothing_across_borders():
    mix = ReverseMix(listed(64), "token")
    rows = pack_rows(mix, PackingConfig(40, rows_per_block=4), 0, range(12))
    first = mix.vocabulary.encode("s0")[0]
    for row in rows["tokens"]:
        names = row[(row >= first) & (row < first + 64)]
        assert len({*names.tolist()}) == len(names)
        text = mix.vocabulary.decode(row)
        for piece in text.split("<bos>")[1:-1]:
            assert piece.split()[-1] == "<eos>" and len(piece.split()) == 5


def test_one_example_a_row_gives_exact_exposures():
    mix = ReverseMix(listed(6), "word")
    rows = pack_rows(mix, PackingConfig(7, "single", rows_per_block=4), 0, range(3, 15))
    for row, ids in zip(range(12), mix.examples(0, 3, 12), strict=True):
        n = len(ids) - 1
        assert rows["tokens"][row, :n].tolist() == ids[:-1].tolist()
        assert rows["targets"][row, :n].tolist() == ids[1:].tolist()
        assert rows["weights"][row].tolist() == [1.0] * n + [0.0] * (7 - n)
        assert rows["segment_ids"][row].tolist() == [1] * n + [0] * (7 - n)


def test_a_world_goes_to_worker_processes():
    mix = open_world({"world": "reversal", "kind": "entity", "options": {"pairs": 4}})
    again = pickle.loads(pickle.dumps(mix))
    assert again.examples(0, 0, 6).tokens.tolist() == mix.examples(0, 0, 6).tokens.tolist()


def test_any_world_can_be_shown_reversed():
    options = {"of": {"world": "cfg", "grammar": "cfg3b", "under": 14}, "count": 10}
    mix = open_world({"world": "reversal", "task": "pool", "kind": "token", "options": options})
    inner = open_world(options["of"])
    index, _, turned = mix.exposures(0, 0, 20)
    for i, back, ids in zip(index, turned, mix.examples(0, 0, 20), strict=True):
        plain = inner.examples(0, int(i), 1).tokens[1:-1]
        assert ids[1:-1].tolist() == (plain[::-1] if back else plain).tolist()
    assert mix.vocabulary.names[-2:] == ("[REV]", "[REVERSED]") and not mix.questions()


def test_several_answers_may_be_right():
    asked = Questions.of([([5], [6]), ([7], [8])], 1, among=[([5], [9]), ([5], [6])])
    assert asked.prompts[0].tolist() == [1, 5] and len(asked) == 2
    assert asked.accepted == (frozenset({(6,), (9,)}), frozenset({(8,)}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "entitty"}, r"did you mean 'entity'"),
        ({"kind": "segment", "k": 0}, r"at least 1, got 0"),
        ({"kind": "word", "ratio": 1.5}, r"not 0..1"),
        ({"task": "symbolc"}, r"did you mean 'symbolic'"),
        ({"options": {"pair": 3}}, r"did you mean 'pairs'"),
        ({"options": {"pairs": 400, "codes": 5}}, r"400 <= codes \*\* length = 5 \*\* 2"),
        ({"options": {"pairs": 1}}, r"pairs >= 2"),
        ({"task": "biographies", "options": {"tasks": "bdate_to_ful"}}, r"'bdate_to_full'"),
        ({"task": "biographies", "options": {"people": 10**9}}, r"people <= "),
        ({"task": "facts"}, r"folder"),
        ({"task": "pool", "options": {"of": {"world": "cgf"}}}, r"did you mean 'cfg'"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(InputError, match=message):
        open_world({"world": "reversal", **options})


def test_nothing_reversed_is_said_so():
    with pytest.raises(InputError, match=r"its ratio is 0"):
        ReverseMix(listed(3), "none", ratio=0.5)
