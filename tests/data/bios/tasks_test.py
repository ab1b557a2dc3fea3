"""Questions: every answer from the record, who is asked, hints, exact exposures, bad settings."""

from collections import Counter

import bios_twin as twin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data.bios import Population, Tasks
from physlm_jax.data.bios.asking import HINTED, NO_HINT, PLAIN
from physlm_jax.data.bios.questions import GROUPS, QUESTIONS
from physlm_jax.data.bios.tasks import as_tasks
from physlm_jax.data.bios.world import as_questions
from physlm_jax.errors import InputError

EVERY = tuple(QUESTIONS)
CONTROL = {NO_HINT: "", PLAIN: "<direct>", HINTED: "<hint>"}
MINI = Population(40, 3, "mini", start=100)


@pytest.mark.parametrize("task", EVERY)
@pytest.mark.parametrize("lists", ["full", "mini", "own", "hundred"])
def test_everybody_is_asked_and_answered_as_by_the_slow_twin(lists, task, request):
    lists = request.getfixturevalue(lists) if lists in ("own", "hundred") else lists
    tasks = Tasks(Population(12, 3, lists), (task,))
    for hint in (NO_HINT, PLAIN, HINTED)[: 3 if QUESTIONS[task].hint else 1]:
        prompts, answers = tasks.pairs(task, hint)
        assert len(prompts) == len(answers) == 12
        seconds = second_people(tasks, prompts) if QUESTIONS[task].is_pair else range(12)
        for number, second in enumerate(seconds):
            one, other = (twin.person(lists, 3, n) for n in (number, second))
            prompt, said = twin.question(task, one, other, CONTROL[hint])
            assert tasks.vocabulary.decode(prompts[number]) == "<eos>" + prompt
            assert tasks.vocabulary.decode(answers[number]) == said


def second_people(tasks, prompts):
    """Whom each prompt compares with: somebody else, whose name comes last in it."""
    number = {f" {tasks.people[n].name}": n for n in range(tasks.people.n)}
    texts = [tasks.vocabulary.decode(prompt) for prompt in prompts]
    found = [number[max(number, key=text.rfind)] for text in texts]
    assert all(one != other for one, other in enumerate(found))
    return found


def test_the_papers_examples(hundred):
    """October mod 6 is 4; Communications and Music differ by -71; of equal ones No."""
    people = Population(48, 0, hundred)
    tasks = Tasks(people, as_tasks("classification,comparison"))
    numbers = {task: i for i, task in enumerate(tasks.tasks)}
    month = next(n for n in range(48) if people[n].birth_date.startswith("October"))
    found = tasks.written(np.array([[numbers["month %6"], month, month, NO_HINT]]))
    assert tasks.vocabulary.decode(found[0]).endswith("'s birth month mod 6? 4.<eos>")

    pair = {28: "Communications", 99: "Music"}
    some = Population(48, seed_with(hundred, pair), hundred)
    tasks = Tasks(some, tasks.tasks)
    one, other = (next(n for n in range(48) if some[n].major == pair[k]) for k in (28, 99))
    assert [some[n].luckiness for n in (one, other)] == [28, 99]
    said = {
        task: tasks.vocabulary.decode(tasks.written(np.array([[numbers[task], *who, HINTED]]))[0])
        for task, who in (("major subtract", (one, other)), ("major rank", (other, one)))
    }
    end = "'s major?<hint> Communications; Music. -71.<eos>"
    assert said["major subtract"].endswith(end)
    assert said["major rank"].endswith("?<hint> Music; Communications. Yes.<eos>")
    for task in ("major rank", "month rank", "day rank"):
        same = tasks.written(np.array([[numbers[task], one, one, NO_HINT]]))
        assert tasks.vocabulary.decode(same[0]).endswith(" No.<eos>")


def seed_with(lists, majors):
    """A seed whose 48 people have all these majors."""
    for seed in range(1000):
        people = Population(48, seed, lists)
        if set(majors) <= set(people.fields(np.arange(48))[:, 8].tolist()):
            return seed
    raise AssertionError("no such seed")


def test_differences_reach_as_far_as_the_majors(hundred):
    people = Population(48, 0, hundred)
    tasks = Tasks(people, ("major subtract",))
    luck = [people[n].luckiness for n in range(48)]
    most, least = int(np.argmax(luck)), int(np.argmin(luck))
    assert luck[most] - luck[least] > 99
    for one, other in ((most, least), (least, most)):
        (ids,) = tasks.written(np.array([[0, one, other, NO_HINT]]))
        assert tasks.vocabulary.decode(ids).endswith(f"? {luck[one] - luck[other]}.<eos>")


@pytest.mark.parametrize("hints", [0.0, 0.25, 1.0])
def test_every_pass_asks_everybody_everything_once(hints):
    tasks = Tasks(MINI, EVERY, "atomic", hints)
    assert tasks.size == 40 * 36
    for turn in range(2):
        rows = tasks.asked(5, turn * tasks.size, tasks.size)
        assert Counter(map(tuple, rows[:, :2].tolist())) == {
            (task, person): 1 for task in range(36) for person in range(100, 140)
        }
        assert rows[:, 2].min() == 100 and rows[:, 2].max() == 139
        assert (rows[:, 1] != rows[:, 2]).all()


def test_every_place_is_that_of_the_slow_twin():
    tasks = Tasks(MINI, as_tasks("comparison,extraction"), "atomic", 0.5)
    for index, row in zip(range(470, 520), tasks.asked(4, 470, 50).tolist(), strict=True):
        turn, member = twin.shown_at(index, 480, 4, "questions")
        task, person = divmod(member, 40)
        key = twin.mix(twin.stream_key(4, "questions") ^ twin.mix(turn))
        draws = twin.Draws(twin.mix((key + member) & twin.MASK))
        second = (person + 1 + draws.below(39)) % 40
        hint = NO_HINT
        if QUESTIONS[tasks.tasks[task]].hint:
            hint = HINTED if draws.uniform() < 0.5 else PLAIN
        assert row == [task, 100 + person, 100 + second, hint]


def test_second_people_are_uniform_and_drawn_anew():
    tasks = Tasks(Population(8, 3, "mini"), ("month rank",), "atomic")
    rows = tasks.asked(0, 0, 8 * 2800)
    gaps = (rows[:, 2] - rows[:, 1]) % 8
    counts = np.bincount(gaps, minlength=8)
    assert counts[0] == 0 and (np.abs(counts[1:] - 3200) < 4 * np.sqrt(3200)).all()
    one, two = (tasks.pairs("month rank", seed=seed)[0].tokens for seed in (0, 1))
    assert len(one) == len(two) and (one != two).any()


@pytest.mark.parametrize("hints", [0.0, 0.25, 0.5, 1.0])
def test_shares_of_hints(hints):
    tasks = Tasks(MINI, EVERY, "atomic", hints)
    rows = tasks.asked(0, 0, 20 * tasks.size)
    can = np.array([bool(QUESTIONS[task].hint) for task in EVERY])[rows[:, 0]]
    assert (rows[~can, 3] == NO_HINT).all()
    kinds = {0.0: {NO_HINT}, 1.0: {HINTED}}.get(hints, {PLAIN, HINTED})
    assert set(rows[can, 3].tolist()) == kinds
    share = (rows[can, 3] == HINTED).mean()
    assert share == pytest.approx(hints, abs=4 * np.sqrt(hints * (1 - hints) / can.sum()) + 1e-9)


def test_control_tokens_stand_where_there_is_a_choice():
    for hints in (0.0, 0.5):
        tasks = Tasks(MINI, ("month %6", "major", "month rank"), "word", hints)
        for ids, row in zip(tasks.examples(0, 0, 60), tasks.asked(0, 0, 60), strict=True):
            text = tasks.vocabulary.decode(ids)
            control = text.count("<hint>") + text.count("<direct>")
            assert control == (hints > 0 and row[0] != 1)
            if control:
                assert "?<hint> " in text or "?<direct> " in text
                assert text.count(".") - text.count("St.") == 1 + ("<hint>" in text)


@pytest.mark.parametrize("hint", [PLAIN, HINTED])
def test_what_is_asked_is_what_was_trained_on(hint):
    tasks = Tasks(MINI, as_tasks("classification,extraction"), "atomic", 0.5)
    trained = {x.tobytes() for x in tasks.examples(0, 0, 30 * tasks.size)}
    eos = tasks.vocabulary.eos
    for task in tasks.tasks:
        given = hint if QUESTIONS[task].hint else NO_HINT
        prompts, answers = tasks.pairs(task, given)
        for prompt, said in zip(prompts, answers, strict=True):
            assert prompt[0] == eos and eos not in prompt[1:] and eos not in said
            whole = np.concatenate([prompt, said, [eos]]).astype(np.int32)
            assert whole.tobytes() in trained


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([0.0, 0.5]),
    st.integers(0, 2**63 - 200),
    st.lists(st.integers(0, 25), min_size=1, max_size=4),
)
def test_calls_may_be_cut_anywhere(hints, start, counts):
    tasks = Tasks(MINI, EVERY, "atomic", hints, 0.25)
    whole, at = tasks.examples(2, start, sum(counts)), 0
    for count in counts:
        piece, part = whole.slice(at, at + count), tasks.examples(2, start + at, count)
        np.testing.assert_array_equal(part.tokens, piece.tokens)
        np.testing.assert_array_equal(part.offsets, piece.offsets)
        np.testing.assert_array_equal(part.weights, piece.weights)
        at += count


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_weights_of_prompts(weight):
    tasks = Tasks(MINI, ("month rank", "birth_city"), "word", 0.5, weight)
    found = tasks.examples(0, 0, 40)
    if weight == 1:
        assert not found.labels
        return
    assert found.weights.dtype == np.float32
    for i, row in enumerate(tasks.asked(0, 0, 40)):
        one = found.slice(i, i + 1)
        heavy = tasks.vocabulary.decode(one.tokens[one.weights == 1])
        light = tasks.vocabulary.decode(one.tokens[one.weights == np.float32(weight)])
        who = [twin.person("mini", 3, n) for n in row[1:3].tolist()]
        prompt, said = twin.question(tasks.tasks[row[0]], *who, CONTROL[row[3]])
        assert (light, heavy) == ("<eos>" + prompt, said + "<eos>")


def test_several_people_may_fit_what_is_asked(own):
    """Then each one's name is right."""
    tasks = Tasks(Population(60, 3, own), ("three_to_full", "all_to_full", "major"))
    questions = as_questions(*tasks.pairs("three_to_full"))
    sizes = [len(accepted) for accepted in questions.accepted]
    assert max(sizes) > 1 and min(sizes) >= 1
    for prompt, said, accepted in zip(
        questions.prompts, questions.answers, questions.accepted, strict=True
    ):
        assert tuple(said.tolist()) in accepted
        same = [
            tuple(other.tolist())
            for p, other in zip(questions.prompts, questions.answers, strict=True)
            if np.array_equal(p, prompt)
        ]
        assert accepted == frozenset(same)
    assert all(len(x) == 1 for x in as_questions(*tasks.pairs("major")).accepted)


def test_groups_and_names_of_tasks():
    assert as_tasks("extraction") == tuple(GROUPS["extraction"])
    assert as_tasks("month %2,classification") == ("month %2", *list(GROUPS["classification"])[1:])
    assert as_tasks(",".join(GROUPS)) == EVERY
    for text in ("", "extraction,", "extractions"):
        with pytest.raises(InputError, match=r"^unknown task '.*' in bios"):
            as_tasks(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hints": -0.1}, r"^bios: hints must be a share in \[0, 1\], got -0.1"),
        ({"hints": 1.5}, r"hints must be a share"),
        ({"hints": float("nan")}, r"hints must be a share"),
        ({"prompt_weight": -1.0}, r"^bios: prompt_weight must be at least 0, got -1"),
        ({"prompt_weight": float("nan")}, r"prompt_weight must be at least 0"),
        ({"kind": "atomic-plain"}, r"vocabulary 'atomic-plain' has no words for questions"),
        ({"kind": "atomics"}, r"vocabulary 'atomics' is neither one of"),
        ({"people": Population(1)}, r"tasks on two people need two people to ask about"),
    ],
)
def test_tasks_that_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        Tasks(**{"people": Population(5), "tasks": ("month rank",), **settings})
    assert Tasks(Population(1), ("major",)).examples(0, 0, 2).lengths.min() > 5
