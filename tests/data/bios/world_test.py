"""The worlds of a config: who is asked, celebrities, junk, shares of rows, and bad settings."""

from collections import Counter

import numpy as np
import pytest

from physlm_jax.data import open_world
from physlm_jax.data.bios.questions import GROUPS, QUESTIONS
from physlm_jax.data.bios.world import ASKED, TRAINED
from physlm_jax.errors import InputError
from physlm_jax.pipeline import PackingConfig, pack_rows

PACKING = PackingConfig(128, "exact", rows_per_block=4)


def opened(**options):
    return open_world({"world": "bios", "pools": "mini", "vocabulary": "atomic", **options})


def names(population):
    return {population[n].name for n in range(len(population))}


def said(world, rows):
    """The texts of rows."""
    return [world.vocabulary.decode(row) for row in rows["tokens"]]


def test_defaults():
    world = open_world({"world": "bios"})
    assert world.stream is world.biographies and world.mixture is None
    assert world.biographies.fresh and world.questions() == {}
    assert world.examples(0, 0, 3).tokens.tolist() == (
        world.biographies.examples(0, 0, 3).tokens.tolist()
    )
    assert 60 < world.mean_length < 80  # the papers' biographies have 73 of GPT-2's tokens
    assert world == open_world({"world": "bios"}) and hash(world) == hash(
        open_world({"world": "bios"})
    )


def test_people_are_halved_and_never_meet_in_questions():
    world = opened(people=41, tasks=",".join(GROUPS), question_share=1, seed=3)
    trained, held_out = world.tasks.people, world.held_out
    assert (len(trained), len(held_out)) == (20, 21)
    both = names(world.biographies.groups[0])
    assert names(trained) | names(held_out) == both and not names(trained) & names(held_out)
    found = world.examples(0, 0, 4 * world.tasks.size)
    texts = [world.vocabulary.decode(ids) for ids in found]
    assert not [t for t in texts for name in names(held_out) if f" {name}" in t]
    for task, asked in world.questions().items():
        others = trained if not task.endswith(TRAINED) else held_out
        texts = [world.vocabulary.decode(ids) for ids in (*asked.prompts, *asked.answers)]
        assert not [t for t in texts for name in names(others) if f" {name}" in t]


def test_everybody_has_a_biography_in_training():
    """Also the people whom tests ask about: their questions alone are held out."""
    world = opened(people=30, tasks="extraction", question_share=0.5, variant="multi2", seed=1)
    biographies, questions = world.mixture.parts
    assert set(biographies.presented(0, 0, 60)[:, 1].tolist()) == set(range(30))
    assert len(questions.people) == 15


def test_what_is_asked():
    world = opened(people=40, tasks="month %6,birth_city", hints=0.5, asked=7)
    found = world.questions()
    assert list(found) == ["month %6", "birth_city"] + [
        f"{t}{TRAINED}" for t in ("month %6", "birth_city")
    ]
    assert [len(asked) for asked in found.values()] == [20, 20, 7, 7]
    prompt = world.vocabulary.decode(found["month %6"].prompts[0])
    assert prompt.startswith("<eos> What is") and prompt.endswith("?<direct>")
    assert found["month %6"].ends
    city = world.vocabulary.decode(found["birth_city"].answers[3])
    assert city == f" {world.held_out[3].birth_city}."


def test_so_many_are_asked_at_most():
    world = open_world({"world": "bios", "people": 5000, "tasks": "major"})
    assert {len(asked) for asked in world.questions().values()} == {ASKED}


def test_celebrities_are_asked_in_training_and_the_others_in_tests():
    world = opened(
        people=30, celebrities=20, variant="single", tasks="extraction", question_share=0.8
    )
    stars, others = world.biographies.groups
    assert (len(stars), len(others), world.biographies.variants) == (
        20,
        30,
        ("multi5+permute", "single"),
    )
    assert not names(stars) & names(others)
    assert world.tasks.people == stars and world.held_out == others
    shown = world.biographies.presented(0, 0, world.biographies.size)
    assert world.biographies.size == 130 and Counter(shown[:, 0].tolist()) == {0: 100, 1: 30}
    assert len({tuple(row) for row in shown.tolist()}) == 130
    some = opened(people=30, celebrities=20, variant="single", tasks="extraction", asked=5)
    assert len(some.tasks.people) == 5 and some.held_out == others


def test_celebrities_are_five_sixths_of_the_entries():
    world = opened(people=50, celebrities=50, variant="single+permute1+fullname")
    shown = world.biographies.presented(3, 0, 10 * world.biographies.size)
    assert (shown[:, 0] == 0).mean() == 5 / 6


@pytest.mark.parametrize(("share", "period", "asking"), [(0.8, 5, 4), (0.5, 2, 1), (0.125, 8, 1)])
def test_shares_of_questions(share, period, asking):
    world = opened(people=40, tasks="extraction", question_share=share, variant="single")
    rows = pack_rows(world, PACKING, 0, range(40))
    of_questions = np.array(["?" in text or "Answer:" in text for text in said(world, rows)])
    assert (of_questions.reshape(-1, period).sum(1) == asking).all()
    assert world.mixture.shares == (period - asking, asking)
    with pytest.raises(InputError, match=r"a mixture has rows, not examples"):
        world.examples(0, 0, 1)


def test_junk_is_other_people_in_rows_of_their_own():
    world = opened(people=20, variant="single", junk_people=300, marked=True)
    useful, junk = world.mixture.parts
    assert world.mixture.shares == (1, 7) and junk.fresh and not junk.marked
    assert not names(useful.groups[0]) & names(junk.groups[0])
    rows = pack_rows(world, PACKING, 0, range(80))
    marked = np.array(["<domain>" in text for text in said(world, rows)])
    assert (marked.reshape(10, 8).sum(1) == 1).all()
    for text, of_use in zip(said(world, rows), marked, strict=True):
        found = {name for name in names(useful.groups[0]) if f" {name}" in text}
        assert bool(found) == of_use
        first = text.partition("<eos>")[2]  # from the first biography that begins in the row
        assert (first.count("<domain>") > 0) == of_use and "<pad>" not in text[:100]


def test_junk_share():
    assert opened(people=20, junk_people=9, junk_share=0.5).mixture.shares == (1, 1)
    assert opened(people=20, junk_people=9, tasks="major").mixture.shares == (1, 7)
    world = opened(people=20, celebrities=5, variant="single", junk_people=9)
    assert world.mixture.parts[1].groups[0].start == 25


BAD = [
    (
        {"poeple": 5},
        r"^unknown option 'poeple' in config.data of world 'bios'; did you mean 'people'",
    ),
    (
        {"people": 0},
        r"^bios: people must be 1\.\.160000, as many as pools 'mini' have full names, got 0",
    ),
    ({"people": 160_001}, r"as many as pools 'mini' have full names, got 160001$"),
    ({"people": 160_000, "celebrities": 1, "variant": "single"}, r"got 160000 from 1 on$"),
    ({"people": 160_000, "junk_people": 1}, r"got 1 from 160000 on$"),
    ({"people": "many"}, r"^config.data of world 'bios': "),
    ({"celebrities": -1}, r"^bios: celebrities and junk_people must be at least 0, got -1 and 0"),
    ({"junk_people": -1}, r"celebrities and junk_people must be at least 0, got 0 and -1"),
    (
        {"pools": "tiny"},
        r"^unknown pools 'tiny'; did you mean 'mini'\? \(known: PATH.json, full, mini\)",
    ),
    ({"pools": "none.json"}, r"^none.json: not readable as text"),
    ({"variant": "multi5+permut"}, r"'permut' in bios; did you mean"),
    ({"variant": "mutli5"}, r"^unknown variant 'mutli5' in bios; did you mean 'multi5'"),
    ({"celebrities": 5}, r"^bios: multi-infinity has no entries to mix with another group's$"),
    (
        {"celebrities": 5, "variant": "single", "celebrity_variant": "bioS"},
        r"multi-infinity has no",
    ),
    (
        {"vocabulary": "wrd"},
        r"^bios: vocabulary 'wrd' is neither one of word, atomic, word-plain, at",
    ),
    ({"vocabulary": "."}, r"holds no byte-pair vocabulary"),
    ({"vocabulary": "word-plain", "tasks": "major"}, r"'word-plain' has no words for questions$"),
    (
        {"vocabulary": "atomic-plain", "variant": "bioR-single"},
        r"has no words to rewrite with \(bioR",
    ),
    ({"tasks": "extracton"}, r"^unknown task 'extracton' in bios; did you mean 'extraction'"),
    ({"tasks": "extraction,"}, r"^unknown task '' in bios"),
    ({"question_share": 0.5}, r"^bios: question_share, asked and hints need tasks$"),
    ({"asked": 5}, r"^bios: question_share, asked and hints need tasks$"),
    ({"hints": 0.5}, r"^bios: question_share, asked and hints need tasks$"),
    ({"tasks": "major", "asked": 501}, r"^bios: asked must be 1\.\.500 people .* got 501$"),
    ({"tasks": "major", "asked": -1}, r"asked must be 1\.\.500 people"),
    (
        {"tasks": "major", "celebrities": 5, "variant": "single", "asked": 6},
        r"asked must be 1\.\.5 people",
    ),
    (
        {"tasks": "major", "people": 1},
        r"^bios: questions need two people, one to train on and one to",
    ),
    (
        {"tasks": "month rank", "people": 3},
        r"^bios: tasks on two people need two people to ask about",
    ),
    (
        {"tasks": "day rank", "people": 1, "celebrities": 9, "variant": "single"},
        r"^bios: tasks on two people need two people to ask about",
    ),
    ({"tasks": "major", "hints": 2.0}, r"^bios: hints must be a share in \[0, 1\], got 2"),
    ({"tasks": "major", "prompt_weight": -1.0}, r"prompt_weight must be at least 0, got -1"),
    (
        {"tasks": "major", "question_share": -0.5},
        r"^config.data.question_share must be in \(0, 1\)",
    ),
    ({"tasks": "major", "question_share": 1.5}, r"^config.data.question_share must be in \(0, 1\)"),
    (
        {"tasks": "major", "question_share": 0.123456},
        r"a fraction of at most 1000 rows, got 0.1234",
    ),
    ({"tasks": "major", "question_share": float("nan")}, r"question_share must be in \(0, 1\)"),
    ({"tasks": "major", "split": "question"}, r"^bios: split must be 'person', got 'question': w"),
    ({"junk_people": 5, "junk_share": 0.0}, r"^config.data.junk_share must be in \(0, 1\)"),
    ({"junk_people": 5, "junk_share": 1.0}, r"^config.data.junk_share must be in \(0, 1\)"),
    ({"junk_people": 5, "tasks": "major", "question_share": 1}, r"question_share 1 leaves no room"),
    (
        {"junk_people": 5, "tasks": "major", "question_share": 0.5},
        r"junk beside questions is not on",
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_settings(options, message):
    with pytest.raises(InputError, match=message) as error:
        opened(**options)
    assert "\n" not in str(error.value) and len(str(error.value)) < 900


def test_tasks_have_prompts_and_answers_of_their_own():
    world = opened(people=40, tasks=",".join(QUESTIONS))
    assert len(world.questions()) == 72
    assert all(len(q.prompts) == len(q.answers) == 20 for q in world.questions().values())
