"""The sources: what they teach, what they hold out, and that nothing leaks."""

import numpy as np
import pytest

from physlm_jax.data import open_world, reversal
from physlm_jax.data.reversal.biographies import TASKS, biographies
from physlm_jax.data.reversal.symbolic import symbolic
from physlm_jax.errors import InputError


def texts(source, occasion=0):
    index = np.arange(source.size)
    rows = source.samples(index, np.uint64(1000 * occasion) + index.astype(np.uint64))
    return [source.vocabulary.decode(x) for x in rows], rows


def asked(source, name):
    q = source.questions()[name]
    pairs = zip(q.prompts, q.answers, strict=True)
    return [(source.vocabulary.decode(p[1:]), source.vocabulary.decode(a)) for p, a in pairs]


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_symbolic_facts(length):
    source = symbolic(pairs=21, codes=30, length=length, seed=4)
    said, rows = texts(source)
    assert source.size == 21 + 11 and len({*said}) == source.size
    forward = {tuple(t.split(" has a feature ")) for t in said if " has " in t}
    backward = {tuple(t.split(" is a feature of ")) for t in said if " of " in t}
    assert len(forward) == 21 and {(a, b) for b, a in backward} < forward
    assert len({a for a, _ in forward}) == len({b for _, b in forward}) == 21
    held = {(p.removesuffix(" is a feature of"), a) for p, a in asked(source, "held-out backward")}
    assert len(held) == 10 and not held & backward
    assert {(a, b) for b, a in held | backward} == forward
    assert {(p.removesuffix(" has a feature"), a) for p, a in asked(source, "forward")} == forward
    assert len(asked(source, "seen backward")) == 11
    spans = [np.flatnonzero(np.diff([0, *(e > 0), 0])).tolist() for e in _per_row(rows)]
    assert all(len(s) == 4 and s[1] - s[0] == s[3] - s[2] == length for s in spans)


def _per_row(rows):
    return [rows.entity[a:b] for a, b in zip(rows.offsets, rows.offsets[1:], strict=False)]


def test_no_form_of_training_shows_a_held_out_fact_in_the_tests_direction():
    for kind in ("token", "entity", "segment"):
        options = {"pairs": 20, "codes": 10}
        mix = open_world({"world": "reversal", "kind": kind, "k": 3, "options": options})
        held = asked(mix, "held-out backward")
        shown = [mix.vocabulary.decode(x) for x in mix.examples(0, 0, 12 * mix.source.size)]
        for prompt, answer in held:
            assert not any(f"{prompt} {answer}" in text for text in shown)


def test_seeds_draw_other_facts():
    assert texts(symbolic(seed=0))[0] != texts(symbolic(seed=1))[0]
    assert texts(symbolic(seed=1))[0] == texts(symbolic(seed=1))[0]


def test_biographies_begin_with_the_name_and_tell_everything_once():
    source = biographies(people=30, seed=2)
    said, rows = texts(source)
    assert len({" ".join(p["name"]) for p in map(source.person, range(30))}) == 30
    for i in range(2 * 30):
        person = source.person(i % 30)
        assert said[i].startswith(" ".join(person["name"]) + " ")
        for part in ("name", "date", "city", "university", "major", "employer"):
            assert said[i].count(" ".join(person[part])) == 1
        entity = _per_row(rows)[i]
        words = np.array(said[i].split())
        entities = [" ".join(words[entity == n]) for n in dict.fromkeys(entity[entity > 0])]
        values = ("date", "city", "university", "major", "employer")
        assert entities[0] == " ".join(person["name"])
        assert sorted(entities[1:]) == sorted(" ".join(person[v]) for v in values)
    assert rows.mirrored.tolist() == [True] * 60 + [False] * 45
    assert {len(said[i].split(".")) for i in range(60)} == {5}


def test_biographies_are_worded_anew_and_questions_are_not():
    source = biographies(people=10)
    first, second = texts(source, 1)[0], texts(source, 2)[0]
    same = [a == b for a, b in zip(first, second, strict=True)]
    assert sum(same[:20]) < 4 and all(same[20:])
    many = {t for o in range(600) for t in texts(biographies(people=2, tasks=""), o)[0][:1]}
    assert len(many) > 500  # of 4! orders times 3 ** 4 wordings


def test_questions_of_training_are_of_the_other_half():
    source = biographies(people=20, tasks=",".join(TASKS))
    said = texts(source)[0]
    names = [" ".join(p["name"]) for p in map(source.person, range(20))]
    for task in TASKS:
        assert len(asked(source, task)) == 10
    for prompt, answer in asked(source, "all_to_full"):
        assert answer in names[10:] and f"{prompt} {answer}" not in said
    in_training = [t for t in said[40:] if t.endswith(tuple(f"? {n}" for n in names))]
    assert {t.rpartition("? ")[2] for t in in_training} == {*names[:10]}
    assert len(said) == 40 + 10 * len(TASKS)
    last = dict(asked(source, "all_to_last"))
    assert {*last.values()} == {n.split()[-1] for n in names[10:]}


def test_people_who_share_a_date_are_all_right():
    source = biographies(people=3000, tasks="bdate_to_full")
    q = source.questions()["bdate_to_full"]
    dates = [" ".join(p["date"]) for p in map(source.person, range(3000))]
    for i, accepted in enumerate(q.accepted):
        assert len(accepted) == dates.count(dates[1500 + i])
        assert tuple(q.answers[i].tolist()) in accepted
    assert max(map(len, q.accepted)) > 1


def test_the_vocabulary_does_not_depend_on_the_seed():
    assert biographies(seed=0).vocabulary == biographies(seed=1).vocabulary
    assert symbolic(seed=0).vocabulary == symbolic(seed=1).vocabulary


def test_mean_lengths():
    for source in (symbolic(), biographies(people=50)):
        mean = np.mean([len(texts(source, o)[1].tokens) for o in (2, 9)]) / source.size
        assert source.mean_length == pytest.approx(mean, rel=0.02)
    mix = open_world({"world": "reversal", "kind": "segment", "k": 3})
    rows = mix.examples(0, 0, 4000)
    assert mix.mean_length == pytest.approx(rows.lengths.mean(), rel=0.05)


def test_kinds_share_one_vocabulary_so_that_their_models_have_one_shape():
    sizes = {
        len(open_world({"world": "reversal", "kind": kind}).vocabulary) for kind in reversal.KINDS
    }
    assert len(sizes) == 1


def test_a_task_that_is_not_known():
    with pytest.raises(InputError, match=r"did you mean 'all_to_full'"):
        biographies(tasks="all_to_ful")
