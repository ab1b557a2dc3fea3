"""Texts, values and operations of problems, against the slow twins."""

import re

import igsm_reference as reference
import numpy as np
import pytest

from physlm_jax.data import igsm
from physlm_jax.data.igsm.emission import KINDS
from physlm_jax.data.igsm.solutions import mistakes
from physlm_jax.errors import InputError

WORLDS = ("med", "hard", "mini", "med op 21", "reask")


@pytest.fixture(params=WORLDS)
def pairs(request, problems, records):
    """Problems with their records."""
    return list(zip(problems[request.param], records[request.param], strict=True))


def letters(text):
    """The letters of a solution in the order in which the twin asks for them."""
    found = []
    for step in text[1:-1].split(". "):
        first, *parts = step.split("; ")
        found.append(first[-1])
        found += [part[0] for part in parts[:-1]]
    return found


def test_solutions_are_those_of_the_twin(pairs):
    for problem, facts in pairs:
        given = letters(problem.solution)
        assert len(set(given)) == len(given) == problem.op
        assert problem.solution == reference.solution(facts, given)


def test_statements_are_those_of_the_twin(pairs):
    for problem, facts in pairs:
        ids = {reference.name(facts, p): p for p in reference.entries(facts)}
        prompt = problem.prompt()
        body = prompt[1 : prompt.index(". How many ") + 1]
        order = [
            ids[s.removeprefix("The number of each ").split(" equals ")[0]]
            for s in body[:-1].split(". ")
        ]
        assert sorted(order) == sorted(p for p in ids.values() if p[0] == 0)
        stated, asked = reference.statement(facts, order), reference.question(facts)
        assert prompt == f" {stated} {asked}"
        assert problem.prompt("qp") == f" {asked} {stated}"


def test_values_are_those_of_the_formulas(pairs):
    for _, facts in pairs:
        for p, entry in reference.entries(facts).items():
            if entry["in_dependency_graph"]:
                assert entry["value"] == reference.value(facts, p)
            else:
                assert p[0] == 1 and entry["value"] is None
        assert facts["answer"] == reference.value(facts, tuple(facts["query"]))


def test_operations_are_the_semicolons(pairs):
    for problem, facts in pairs:
        assert problem.op == facts["op"] == reference.op(facts) == problem.solution.count(";")


def test_abstract_parameters_use_what_they_imply(pairs):
    for _, facts in pairs:
        for p, used in reference.deps(facts).items():
            if p[0] == 1:
                assert used == reference.implied(facts, p)


@pytest.mark.parametrize("world", WORLDS)
def test_the_graph_holds_what_is_referred_to(records, world):
    for facts in records[world]:
        uses = reference.deps(facts)
        found = set()
        todo = [p for p in uses if p[0] == 0] + [tuple(facts["query"])]
        while todo:
            p = todo.pop()
            if p not in found:
                found.add(p)
                todo += uses[p]
        entries = reference.entries(facts)
        in_graph = {p for p, entry in entries.items() if entry["in_dependency_graph"]}
        # A problem that is asked again keeps its graph, with what the first question needed.
        assert found <= in_graph if world == "reask" else found == in_graph


def test_formulas_have_the_forms_of_the_grammar(pairs):
    for _, facts in pairs:
        for entry in facts["params"]:
            formula = entry["formula"]
            if entry["type"] == "abstract":
                assert formula is None and not entry["uses_rng"]
                continue
            used = len(entry["deps"])
            assert 1 <= used + entry["uses_rng"] <= 4
            base = formula.get("inner", formula["kind"])
            assert base == {0: "const", 1: "single"}.get(used, base)
            assert used != 2 or base in ("sum", "diff")
            assert used < 3 or base == "sum"
            assert entry["uses_rng"] == (formula["kind"] in ("const", "add_const", "mul_const"))
            assert 0 <= formula.get("const", 0) <= 22
            assert formula["kind"] != "mul_const" or formula["const"] >= 1


def test_structures_keep_to_their_limits(problems, records):
    limits = {"med": 20, "hard": 28, "mini": 6, "med op 21": 20, "reask": 20}
    for world, most in limits.items():
        for facts in records[world]:
            edges = [tuple(e) for e in facts["structure_edges"]]
            assert facts["widths"] == [len(layer) for layer in facts["items"]]
            assert facts["depth"] == len(facts["categories"]) <= 4
            assert all(2 <= w <= 4 for w in facts["widths"])
            assert len(set(edges)) == len(edges) <= most
            held = {(i + 1, k) for i, _, k in edges}
            below = {(i, j) for i, w in enumerate(facts["widths"]) if i for j in range(w)}
            assert held == below


def test_items_come_from_one_subcategory_of_neighbouring_categories(problems):
    for spec, world in ((igsm.MED, "med"), (igsm.MINI, "mini")):
        chains = spec.name_lists.chains
        for problem in problems[world]:
            (chain,) = [
                c for c in chains if problem.categories[0] in {k.name for k in c.categories}
            ]
            names = [c.name for c in chain.categories]
            first = names.index(problem.categories[0])
            assert names[first : first + len(problem.items)] == problem.categories
            for category, layer in zip(chain.categories[first:], problem.items, strict=False):
                assert len(set(layer)) == len(layer)
                assert any(set(layer) <= set(group) for group in category.subcategories)


def test_letters_are_letters_in_any_order(problems):
    firsts = [re.search(" as (.);", p.solution)[1] for p in problems["med"]]
    assert all(letter.isascii() and letter.isalpha() for letter in firsts)
    assert len(set(firsts)) > 40  # 150 draws of 52: 49 are expected


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_parameters_are_those_of_the_twin(pairs, kind):
    for problem, facts in pairs[:40]:
        known = np.zeros(len(problem.params), bool)
        for step, place in enumerate(problem.arrays.order):
            found = mistakes(problem.arrays, known, step, KINDS[kind])
            chosen = {problem.params[n] for n in np.flatnonzero(found)}
            assert chosen == reference.wrong(facts, step, kind)
            known[place] = True


def test_an_unknown_order():
    with pytest.raises(InputError, match=r"unknown order 'pqp' in iGSM"):
        igsm.sample(igsm.MINI, 0, 0, 1)[0].prompt("pqp")
