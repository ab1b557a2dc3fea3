"""Manipulation: hints and results read apart, forced control tokens, models made by hand."""

import dataclasses

import numpy as np
import pytest

from physlm_jax.data.bios import world
from physlm_jax.data.bios.asking import HINTED, NO_HINT, PLAIN
from physlm_jax.data.bios.questions import QUESTIONS, chance
from physlm_jax.decoding.rows import Samples
from physlm_jax.errors import InputError
from physlm_jax.probes.knowledge import manipulation
from physlm_jax.probes.knowledge.hints import Answer, judged, predicted, read
from physlm_jax.probes.knowledge.manipulation import all_asked, controls, figures, room, together


def asking(tasks="classification,comparison,inverse", hints=0.5, n=24, kind="word", **options):
    return world(n, "bioS", "mini", kind, tasks=tasks, hints=hints, question_share=1.0, **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Communications. 8.", Answer("8", ("Communications",))),
        (" October; September. Yes.", Answer("Yes", ("October", "September"))),
        (" Communications; Music. -71.", Answer("-71", ("Communications", "Music"))),
        (" 8.", Answer("8", ())),
        (" St. Olan Studies. 8.", Answer("8", ("St. Olan Studies",))),
        (" Communications. 8", Answer(None, ("Communications",))),
        ("", Answer(None, ())),
        (" <hint>.", Answer("<hint>", ())),
    ],
)
def test_answers_are_read(text, expected):
    assert read(text) == expected
    assert read(text, ended=False) == dataclasses.replace(expected, result=None)


def test_results_and_hints_are_judged_apart():
    right = [read(" May; June. No."), read(" June; May. Yes."), read(" May; May. No.")]
    said = [read(" May; July. No."), read(" June; May. No."), read(" No.")]
    found = judged(said, right)
    assert found["right"] == pytest.approx(2 / 3)
    assert found["hint"] == pytest.approx(3 / 6)
    assert found["hint_all"] == pytest.approx(1 / 3) and found["both"] == 0
    assert found["people_of_hint"] == 2


def test_golden_predictions():
    assert predicted(0.91, 1, 0.5) == pytest.approx(0.955, abs=5e-4)
    assert predicted(0.781, 2, 1 / 12) == pytest.approx(0.642, abs=1e-3)
    assert predicted(1, 2, 0.1) == 1 and predicted(0, 1, 0.1) == 0.1


def test_control_tokens_are_those_of_training():
    assert controls("month %2", 0.0) == (NO_HINT,)
    assert controls("month %2", 0.5) == (PLAIN, HINTED)
    assert controls("month %2", 1.0) == (HINTED,)
    assert controls("major", 0.5) == (NO_HINT,)  # extraction has no hints


def saying(made, asked, answer):
    """Samples of a model that says answer(one, i, right) to question i, in words."""
    known = {}
    for one in asked:
        for i, prompt in enumerate(one.questions.prompts):
            text = made.vocabulary.decode(one.questions.answers[i])
            known[prompt.tobytes()] = answer(one, i, text)

    def sample(prompts, seed):
        rows = []
        for prompt in prompts:
            said = made.vocabulary.encode(known[prompt.tobytes()]).tolist()
            rows.append([*prompt.tolist(), *said, made.vocabulary.eos])
        tokens = np.zeros((len(rows), 200), np.int32)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = ids
        lengths = np.array([len(row) for row in rows])
        done = np.ones(len(rows), bool)
        return Samples(tokens, prompts.lengths, lengths, done, np.zeros(len(rows)))

    return sample


@pytest.mark.parametrize("kind", ["word", "atomic"])
def test_a_perfect_model_is_right_everywhere(kind):
    made = asking(kind=kind)
    asked = all_asked(made, (), 0, 0)
    said = together(asked, saying(made, asked, lambda one, i, text: text), 0)
    for one, samples in zip(asked, said, strict=True):
        found = figures(made, one, samples)
        assert found["n"] == 12 and found["right"] == 1
        assert found["control"] == ("none", "<direct>", "<hint>")[one.control]
        assert (found.get("hint"), found.get("predicted")) == (
            (1.0, 1.0) if one.control == HINTED else (None, None)
        )


def test_prompts_end_with_the_control_token_that_is_shown():
    made = asking("month %2,major rank,bdate_to_full")
    for one in all_asked(made, (), 3, 0):
        last = {made.vocabulary.names[prompt[-1]] for prompt in one.questions.prompts}
        shown = manipulation.CONTROLS[one.control]
        assert last == {shown if one.control != NO_HINT else "?"}


def test_a_hint_counts_for_itself():
    made = asking("major %5")

    def answer(one, i, text):
        if one.control != HINTED:
            return " 0."
        _, _, result = text.partition(". ")
        return f" Nothing. {result}" if i % 2 else text  # a longer or shorter hint that is wrong

    lists = made.biographies.groups[0].lists
    wrong = max(lists.major, key=len)
    asked = all_asked(made, (), 0, 0)
    model = saying(made, asked, lambda o, i, t: answer(o, i, t).replace("Nothing", wrong))
    rows = [figures(made, o, s) for o, s in zip(asked, together(asked, model, 0), strict=True)]
    direct, hinted, *_ = rows
    assert hinted["right"] == 1.0 and direct["right"] < 0.7
    told = [made.vocabulary.decode(a) for a in asked[1].questions.answers]
    hits = [i % 2 == 0 or read(text).hint == (wrong,) for i, text in enumerate(told)]
    assert hinted["hint"] == np.mean(hits) and hinted["chance"] == chance("major %5", lists)
    expected = hinted["hint"] + (1 - hinted["hint"]) * 0.2
    assert hinted["predicted"] == pytest.approx(expected)


def test_sides_never_share_a_person_nor_a_pair():
    made = asking("month rank")
    held_out, trained = made.held_out, made.tasks.people
    assert held_out.start >= trained.start + trained.n
    names = {
        side: {p.name for p in people}
        for side, people in (("held-out", held_out), ("trained", trained))
    }
    for one in all_asked(made, (), 0, 0):
        for prompt in one.questions.prompts:
            text = made.vocabulary.decode(prompt)
            assert sum(name in text for name in names[one.side]) == 2
    assert len(all_asked(made, ("comparison",), 5, 0)[0].questions) == 5


def test_inverse_search_has_first_and_full_names():
    made = asking("inverse", hints=0.5)
    asked = all_asked(made, ("bdate_to_first", "all_to_full"), 0, 0)
    assert {(one.task, one.control) for one in asked} == {
        ("bdate_to_first", NO_HINT),
        ("all_to_full", NO_HINT),
    }
    model = saying(made, asked, lambda one, i, text: text)
    first, _, full, _ = (
        figures(made, o, s) for o, s in zip(asked, together(asked, model, 0), strict=True)
    )
    assert (first["chance"], full["chance"]) == (1 / 40, 1 / 160_000)


def test_means_are_of_groups_by_side_and_control():
    rows = [
        {"task": task, "side": side, "control": "<hint>", "n": 10, "right": share}
        for task, share in (("month %2", 0.5), ("month %6", 0.7), ("month rank", 0.1))
        for side in manipulation.SIDES
    ]
    found = manipulation.means(rows)
    assert [(m["task"], m["side"], m["right"]) for m in found] == [
        ("mean of classification", "held-out", pytest.approx(0.6)),
        ("mean of classification", "trained", pytest.approx(0.6)),
    ]
    assert found[0]["n"] == 20


def test_rows_have_room_for_longer_answers_than_the_right_one():
    asked = all_asked(asking("all_to_first,major subtract"), (), 0, 0)
    prompts = max(max(one.questions.prompts.lengths) for one in asked)
    answers = max(max(one.questions.answers.lengths) for one in asked)
    assert room(asked, 512) == prompts + answers + 1
    assert room(asked, prompts + answers) == prompts + answers  # each right one fits
    with pytest.raises(InputError, match=r"the model reads 20"):
        room(asked, 20)


def test_wrong_requests_are_refused():
    with pytest.raises(InputError, match=r"no questions"):
        all_asked(world(20, pools="mini"), (), 0, 0)
    made = asking("month %2")
    for name in ("month rank", "inverse", "monthh"):
        with pytest.raises(InputError, match=rf"unknown task '{name}' in the run's world"):
            all_asked(made, (name,), 0, 0)
    assert set(manipulation.chosen((), asking().tasks)) <= set(QUESTIONS)
