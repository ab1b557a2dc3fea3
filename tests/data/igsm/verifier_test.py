"""What the verifier accepts, what it counts, and that no text makes it fail."""

import itertools
import random

import igsm_edits as edits
import igsm_example as example
import igsm_reference as reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import igsm

MODES = pytest.mark.parametrize("strict", [False, True])


@pytest.fixture(scope="module", params=["med", "hard", "med op 21", "reask", "mini"])
def cases(request, problems, records):
    return list(zip(problems[request.param], records[request.param], strict=True))


def accepted(problem, text, op=0, params=0, retries=0):
    """Checks that both modes accept a text, and what they count."""
    for strict in (False, True):
        verdict = igsm.verify(problem, text, strict)
        assert verdict.correct and verdict.error is None and verdict.wrong is None, verdict
        found = (verdict.unnecessary_op, verdict.unnecessary_params, verdict.retries)
        assert found == (op, params, retries)


def test_solutions(cases):
    for problem, facts in cases:
        accepted(problem, problem.solution)
        accepted(problem, problem.solution[1:])
        defined = igsm.verify(problem, problem.solution).defined
        assert list(defined) == [tuple(p) for p in facts["solution_order"]]


def test_other_letters(cases):
    rng = random.Random(1)
    for problem, facts in cases:
        letters = rng.sample(edits.LETTERS, 52)
        accepted(problem, reference.solution(facts, letters))


def test_commuted_operands(cases):
    def change(match):
        a, sign, b, x, _, y, total = match.groups()
        if sign == "-" or rng.random() < 0.3:
            return match[0]
        return f"{b} {sign} {a} = {y} {sign} {x} = {total}"

    rng = random.Random(2)
    texts = 0
    for problem, _ in cases:
        text = edits.BINARY.sub(change, problem.solution)
        accepted(problem, text)
        texts += text != problem.solution
    assert texts


def test_commuted_operands_of_a_difference(cases):
    def change(match):
        a, sign, b, x, _, y, _ = match.groups()
        return f"{b} {sign} {a} = {y} {sign} {x} = {(int(y) - int(x)) % 23}"

    for problem, _ in cases:
        for match in edits.BINARY.finditer(problem.solution):
            if match[2] == "-" and match[4] != match[6]:
                text = problem.solution.replace(match[0], change(match))
                assert not igsm.verify(problem, text, strict=True).correct


def test_sums_folded_in_another_order(problems, records):
    count = 0
    for problem, facts in zip(problems["hard"], records["hard"], strict=True):
        other = {**facts, "params": [dict(entry) for entry in facts["params"]]}
        for entry in other["params"]:
            formula = entry["formula"]
            if formula and len(entry["deps"]) > 2:
                entry["formula"] = {**formula, "args": formula["args"][::-1]}
                count += entry["necessary"]
        accepted(problem, edits.rendered(other, other["solution_order"]))
    assert count


def test_swapped_independent_sentences(cases):
    count = 0
    for problem, _ in cases:
        whole = edits.steps(problem.solution)
        for n in range(len(whole) - 2):
            if edits.symbol(whole[n]) not in edits.used(whole[n + 1]):
                swapped = [*whole[:n], whole[n + 1], whole[n], *whole[n + 2 :]]
                accepted(problem, edits.joined(swapped))
                count += 1
    assert count


def test_sentences_taken_back(cases):
    for seed, (problem, _) in enumerate(cases):
        text = igsm.retry(problem, 0.5, "retry", seed)
        accepted(problem, text, retries=text.count(" BACK"))
    text = f" Define {'x' * 300} as BACK. " + problem.solution[1:]
    accepted(problem, text, retries=1)


def test_unnecessary_parameters(cases):
    total = 0
    for problem, facts in cases:
        order = facts["solution_order"]
        for count in (0, 1, 3):
            more = edits.extras(facts)[:count]
            if problem.op + 7 * len(more) > 52:  # letters; one has 7 operations at most
                continue
            text = edits.rendered(facts, [*order[:-1], *more, order[-1]])
            accepted(problem, text, op=text.count(";") - problem.op, params=len(more))
            total += len(more)
    assert total


def test_one_parameter_under_two_letters(cases):
    for problem, facts in cases:
        if problem.op > 40:
            continue
        order = facts["solution_order"]
        text = edits.rendered(facts, [order[0], *order])
        accepted(problem, text, op=text.count(";") - problem.op)


def test_two_items_without_an_edge(cases):
    """They count as a parameter that depends on nothing, whatever its value."""
    for problem, facts in cases:
        edges = {tuple(e) for e in facts["structure_edges"]}
        pairs = [
            (i, j, k)
            for i, width in enumerate(facts["widths"][:-1])
            for j in range(width)
            for k in range(facts["widths"][i + 1])
            if (i, j, k) not in edges
        ]
        for some in (pairs[:1], pairs[:2]):
            text, free = problem.solution, []
            for i, j, k in some:
                free.append(edits.free_letter(text))
                name = reference.name(facts, (0, i, j, k))
                text = f" Define {name} as {free[-1]}; so {free[-1]} = 5." + text
            verdict = igsm.verify(problem, text)
            assert verdict.correct
            assert (verdict.unnecessary_op, verdict.unnecessary_params) == (len(some),) * 2
            if some:
                strict = igsm.verify(problem, text, strict=True)
                assert strict.error[:2] == ("formula", 0)


def test_two_items_without_an_edge_depend_on_nothing():
    problem = igsm.Problem.from_facts(example.record())
    first, rest = example.SOLUTION.split(". ", 1)
    step = "Define Blue Lark's Pine Crate as p; so p = k = 9"
    verdict = igsm.verify(problem, f"{first}. {step}. {rest}")
    assert verdict.error[:2] == ("dependencies", 1) and verdict.wrong == (0, 1, 0, 1)


def test_the_worked_example():
    problem = igsm.Problem.from_facts(example.record())
    assert (problem.op, problem.answer) == (11, 14)
    assert problem.query == tuple(example.NQ_CRATE)
    assert problem.arrays.structure.instances == 6
    accepted(problem, example.SOLUTION)
    third = example.SOLUTION.index("Define Old Heron's Pine Crate")
    text = example.SOLUTION[:third] + example.TAKEN_BACK + example.SOLUTION[third:]
    accepted(problem, text, retries=2)
    stated = {s.removesuffix(".") for s in example.STATEMENT[1:].split(". ")}
    prompt = problem.prompt()
    assert prompt.endswith("." + example.QUESTION)
    assert set(prompt[1 : -len(example.QUESTION) - 1].split(". ")) == stated
    letters = ["k", "T", "e", "W", "Q", "n", "b", "M", "z", "g", "R"]
    assert reference.solution(example.record(), letters) == example.SOLUTION


@MODES
def test_the_worked_example_with_an_unnecessary_step(strict):
    problem = igsm.Problem.from_facts(example.record())
    step = (
        "Define Salt Dock's Old Heron as p; q = M + e = 7 + 8 = 15; so p = 5 + q = 5 + 15 = 20. "
        "Define Salt Dock's Ship as s; so s = p = 20. "
    )
    last = example.SOLUTION.index("Define North Quay's Crate")
    verdict = igsm.verify(problem, example.SOLUTION[:last] + step + example.SOLUTION[last:], strict)
    assert verdict.correct
    assert (verdict.unnecessary_op, verdict.unnecessary_params) == (3, 2)


@MODES
def test_a_wrong_constant_of_an_unnecessary_parameter(strict):
    """Consistent and harmless to the answer: the official rules let it pass."""
    problem = igsm.Problem.from_facts(example.record())
    step = "Define Salt Dock's Old Heron as p; q = M + e = 7 + 8 = 15; so p = 6 + q = 6 + 15 = 21. "
    last = example.SOLUTION.index("Define North Quay's Crate")
    verdict = igsm.verify(problem, example.SOLUTION[:last] + step + example.SOLUTION[last:], strict)
    assert verdict.correct != strict
    assert not strict or verdict.error[:2] == ("formula", 7)


# Any text

PIECES = [
    *("Define", "as", "so", "BACK", "=", "+", "-", "*", ";", ".", ". ", "; ", " "),
    *(
        "North Quay's Crate",
        "Blue Lark's Iron Crate",
        "a",
        "b",
        "c",
        "k",
        "T",
        "0",
        "7",
        "22",
        "23",
    ),
]


@MODES
@settings(max_examples=150, deadline=None)
@given(text=st.text() | st.lists(st.sampled_from(PIECES)).map(" ".join))
def test_no_text_makes_it_fail(strict, text):
    problem = igsm.Problem.from_facts(example.record())
    assert not igsm.verify(problem, text, strict).correct


@MODES
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_change_of_a_solution_makes_it_fail(strict, data):
    problem = igsm.Problem.from_facts(example.record())
    text = example.SOLUTION
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 6)))
        text = text[:start] + data.draw(st.sampled_from(PIECES) | st.text(max_size=3)) + text[stop:]
    verdict = igsm.verify(problem, text, strict)
    assert verdict.correct == (verdict.error is None)


@MODES
def test_swapped_words_are_judged_alike_twice(strict):
    problem = igsm.Problem.from_facts(example.record())
    words = example.SOLUTION.split(" ")
    for a, b in itertools.islice(itertools.pairwise(range(1, len(words))), 60):
        other = list(words)
        other[a], other[b] = other[b], other[a]
        first = igsm.verify(problem, " ".join(other), strict)
        assert first == igsm.verify(problem, " ".join(other), strict)
        strict_too = igsm.verify(problem, " ".join(other), True)
        assert first.correct or not strict_too.correct


@pytest.mark.parametrize("operation", ["+", "*", "-"])
def test_sums_of_sums_stay_small_in_strict_mode(operation):
    """Each symbol is the last one twice: written out, 2**50 terms."""
    problem = igsm.Problem.from_facts(example.record())
    value, parts = 1, ["a = 1"]
    for a, b in itertools.pairwise(edits.LETTERS[:50]):
        other = {"+": 2 * value, "*": value * value, "-": 0}[operation] % 23
        parts.append(f"{b} = {a} {operation} {a} = {value} {operation} {value} = {other}")
        value = other
    head = f" Define North Quay's Crate as {b}; "
    verdict = igsm.verify(problem, f"{head}{'; '.join(parts[:-1])}; so {parts[-1]}.", strict=True)
    assert not verdict.correct and verdict.error.kind in ("formula", "dependencies", "name")


def test_very_many_symbols_do_not_make_it_fail():
    problem = igsm.Problem.from_facts(example.record())
    letters = [chr(n) for n in range(0x4E00, 0x4E00 + 4000)]
    parts = [f"{b} = {a} - {a} = 0 - 0 = 0" for a, b in itertools.pairwise(letters)]
    text = f" Define North Quay's Crate as {letters[-1]}; {letters[0]} = 0; " + "; ".join(
        parts[:-1]
    )
    for strict in (False, True):
        verdict = igsm.verify(problem, f"{text}; so {parts[-1]}.", strict)
        assert not verdict.correct
