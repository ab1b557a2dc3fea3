"""Solutions that say something wrong, and what the verifier says of them."""

import random

import igsm_edits as edits
import igsm_reference as reference
import pytest

from physlm_jax.data import igsm


@pytest.fixture(scope="module", params=["med", "hard", "med op 21", "reask", "mini"])
def cases(request, problems, records):
    return list(zip(problems[request.param], records[request.param], strict=True))[:60]


def wrong_result(match):
    return f"{match[0].rsplit(' ', 1)[0]} {(int(match[7]) + 1) % 23}"


@pytest.mark.parametrize("last", [False, True])
def test_a_wrong_result(cases, last):
    edits.each_sentence(cases, lambda s: edits.in_equation(s, wrong_result, last), "arithmetic")


def test_a_wrong_value_of_a_letter(cases):
    def change(match):
        left, sign, right, a, _, b, total = match.groups()
        if right.isdigit():
            return match[0]
        b = (int(b) + 1) % 23
        total = reference.result(sign, int(a), b)
        return f"{left} {sign} {right} = {a} {sign} {b} = {total}"

    def edit(sentence):
        other = edits.in_equation(sentence, change)
        return other if other != sentence else None

    edits.each_sentence(cases, edit, "reference")


def test_a_wrong_copy(cases):
    def edit(sentence):
        head, last = sentence.rsplit("; so ", 1)
        words = last.split(" ")
        if len(words) != 5:
            return None
        return f"{head}; so {' '.join(words[:4])} {(int(words[4]) + 1) % 23}"

    count = 0
    for problem, _ in cases:
        whole = edits.steps(problem.solution)
        for n, sentence in enumerate(whole):
            if other := edit(sentence):
                text = edits.joined([*whole[:n], other, *whole[n + 1 :]])
                edits.refused(problem, text, "reference", n)
                count += 1
    assert count


def test_a_dropped_sentence(cases):
    for problem, _ in cases:
        whole = edits.steps(problem.solution)
        for n in range(len(whole) - 1):
            gone = edits.symbol(whole[n])
            rest = [*whole[:n], *whole[n + 1 :]]
            first = next(i for i, s in enumerate(rest) if gone in edits.used(s))
            edits.refused(problem, edits.joined(rest), "undefined", first)
        if len(whole) > 1:
            edits.refused(problem, edits.joined(whole[:-1]), "query", len(whole) - 2)


def test_swapped_sentences_that_depend(cases):
    count = 0
    for problem, _ in cases:
        whole = edits.steps(problem.solution)
        for n in range(len(whole) - 1):
            if edits.symbol(whole[n]) in edits.used(whole[n + 1]):
                swapped = [*whole[:n], whole[n + 1], whole[n], *whole[n + 2 :]]
                edits.refused(problem, edits.joined(swapped), "undefined", n)
                count += 1
    assert count


def test_a_name_that_is_none(cases):
    names = ["Unicorn's Tail", "Unicorn", "'s ", "s's s"]
    for problem, facts in cases:
        whole = edits.steps(problem.solution)
        items, categories = facts["items"], facts["categories"]
        backwards = f"{items[1][0]}'s {items[0][0]}"
        own_layer = f"{items[0][0]}'s {items[0][1]}"
        above = f"{items[1][0]}'s {categories[0]}"
        same = f"{items[0][0]}'s {categories[0]}"
        of_category = f"{categories[0]}'s {items[1][0]}"
        lowest = f"{items[-1][0]}'s {categories[-1]}"
        for name in (*names, backwards, own_layer, above, same, of_category, lowest):
            rest = whole[0].split(" as ", 1)[1]
            edits.refused(
                problem, edits.joined([f"Define {name} as {rest}", *whole[1:]]), "name", 0
            )


def test_a_layer_left_out(cases):
    for problem, facts in cases:
        if facts["depth"] > 2:
            name = f"{facts['items'][0][0]}'s {facts['items'][2][0]}"
            free = edits.free_letter(problem.solution)
            text = f" Define {name} as {free}; so {free} = 0." + problem.solution
            edits.refused(problem, text, "name", 0)


def test_other_dependencies(cases):
    """A parameter computed of other things: the first wrong parameter."""
    count = 0
    for problem, facts in cases:
        order = [tuple(p) for p in facts["solution_order"]]
        for n, p in enumerate(order):
            entry = reference.entries(facts)[p]
            if p[0] == 1 or not entry["deps"]:
                continue
            others = [q for q in order[:n] if list(q) not in entry["deps"]]
            if not others:
                continue
            args = [list(random.Random(n).choice(others)), *entry["formula"]["args"][1:]]
            wrong = edits.changed(facts, p, args=args)
            text = edits.rendered(wrong, order)
            edits.refused(problem, text, "dependencies", n)
            assert igsm.verify(problem, text).wrong == p
            count += 1
    assert count


def test_a_constant_instead_of_a_parameter(cases):
    """Printing the right number is not computing it."""
    count = 0
    for problem, facts in cases:
        whole = edits.steps(problem.solution)
        for n, p in enumerate(facts["solution_order"]):
            entry = reference.entries(facts)[tuple(p)]
            if entry["deps"]:
                own = edits.symbol(whole[n])
                short = f"{whole[n].split('; ')[0]}; so {own} = {entry['value']}"
                text = edits.joined([*whole[:n], short, *whole[n + 1 :]])
                edits.refused(problem, text, "dependencies", n)
                assert igsm.verify(problem, text).wrong == tuple(p)
                count += 1
    assert count


def test_another_formula_of_the_same_parameters(cases):
    """The official rules look at values alone; the strict ones refuse another formula."""
    passed = count = 0
    for problem, facts in cases:
        order = facts["solution_order"]
        for n, p in enumerate(order):
            for wrong in other_formulas(facts, p):
                text = edits.rendered(wrong, order)
                fits = reference.value(wrong, tuple(facts["query"])) == facts["answer"]
                verdict = igsm.verify(problem, text)
                assert verdict.correct == fits and verdict.wrong is None
                if not fits:
                    assert verdict.error[:2] == ("answer", len(order) - 1)
                strict = igsm.verify(problem, text, strict=True)
                assert not strict.correct and strict.error[:2] == ("formula", n)
                passed += fits
                count += 1
    assert passed < count


def other_formulas(facts, p):
    """Records in which one parameter has another constant, sum for difference, or the reverse."""
    formula = reference.entries(facts)[tuple(p)]["formula"]
    if formula is None:
        return
    if "const" in formula:
        yield edits.changed(facts, p, const=(formula["const"] + 1) % 23)
    if formula["kind"] in ("add_const", "mul_const"):
        other = {"add_const": "mul_const", "mul_const": "add_const"}[formula["kind"]]
        yield edits.changed(facts, p, kind=other)
    key = "inner" if "inner" in formula else "kind"
    if formula[key] in ("sum", "diff") and len(formula["args"]) == 2:
        yield edits.changed(facts, p, **{key: {"sum": "diff", "diff": "sum"}[formula[key]]})
        if formula[key] == "diff":
            yield edits.changed(facts, p, args=formula["args"][::-1])


def test_a_hint_that_differs_from_its_calculation(cases):
    """A changed constant in the hint alone: the official rules do not look at it."""
    count = 0
    for problem, _ in cases:
        whole = edits.steps(problem.solution)
        for n, sentence in enumerate(whole):

            def change(match):
                if not match[1].isdigit():
                    return match[0]
                return f"{(int(match[1]) + 1) % 23}{match[0][len(match[1]) :]}"

            other = edits.in_equation(sentence, change, last=True)
            if other and other != sentence:
                text = edits.joined([*whole[:n], other, *whole[n + 1 :]])
                assert igsm.verify(problem, text).correct
                strict = igsm.verify(problem, text, strict=True)
                assert strict.error[:2] == ("reference", n)
                count += 1
    assert count


def test_something_after_the_query(cases):
    count = 0
    for problem, facts in cases:
        more = edits.extras(facts)[:1]
        if more:
            order = [*facts["solution_order"], *more]
            edits.refused(problem, edits.rendered(facts, order), "query", len(order) - 1)
            count += 1
    assert count
