"""Records of problems: there and back, in any order, shared with nobody."""

import copy
import json
import re
from collections import defaultdict

import igsm_edits as edits
import igsm_example as example
import numpy as np
import pytest

from physlm_jax.data import igsm

WORLDS = ("med", "hard", "mini", "med op 21", "reask")


@pytest.mark.parametrize("world", WORLDS)
def test_there_and_back(problems, records, world):
    for problem, facts in zip(problems[world], records[world], strict=True):
        again = igsm.Problem.from_facts(json.loads(json.dumps(facts)))
        assert again.facts() == facts
        assert (again.op, again.answer, again.query) == (problem.op, problem.answer, problem.query)
        assert again.bin == problem.bin and again.template == problem.template
        assert igsm.verify(again, problem.solution, strict=True).correct
        assert igsm.verify(problem, again.solution, strict=True).correct
        for name in ("nece", "dep", "known", "can_next", "nece_next", "value"):
            ours, theirs = (getattr(igsm.labels(p), name) for p in (problem, again))
            np.testing.assert_array_equal(ours, theirs)


def sentences(prompt):
    """The statement's sentences in alphabetical order, and the question."""
    parts = prompt[1:].replace("have? ", "have?. ").removesuffix(".").split(". ")
    return sorted(parts)


def in_order(solution):
    """The solution with letters a, b, .. in the order in which they appear."""
    symbols = iter(edits.LETTERS)
    named = defaultdict(lambda: next(symbols))
    return re.sub("(?<= )[a-zA-Z](?=[ ;.])", lambda match: named[match[0]], solution)


@pytest.mark.parametrize("world", ["med", "reask"])
def test_texts_differ_in_letters_and_the_order_of_sentences_alone(problems, records, world):
    for problem, facts in zip(problems[world], records[world], strict=True):
        again = igsm.Problem.from_facts(facts, seed=4)
        for order in ("pq", "qp"):
            assert sentences(again.prompt(order)) == sentences(problem.prompt(order))
        assert in_order(again.solution) == in_order(problem.solution)


def test_seeds_choose_letters_and_order():
    texts = [igsm.Problem.from_facts(example.record(), seed).prompt() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    solutions = [igsm.Problem.from_facts(example.record(), seed).solution for seed in (1, 1, 2)]
    assert solutions[0] == solutions[1] != solutions[2]


def test_records_have_letters_of_their_own():
    other = example.record()
    other["items"][0][0] = "Other Quay"
    for entry in other["params"]:
        entry.pop("name")
    found = [igsm.Problem.from_facts(r).arrays.letters.tolist() for r in (example.record(), other)]
    assert found[0] != found[1]


def test_a_large_record_is_told_to_its_end():
    """More sentences than any specification has."""
    items = [[f"Owner Number{chr(65 + j)}" for j in range(20)], [f"Thing {k}" for k in range(40)]]
    edges = [[0, j, k] for j in range(20) for k in range(40)]
    params = [
        {
            "id": [0, *edge],
            "in_dependency_graph": True,
            "necessary": edge == [0, 3, 7],
            "uses_rng": True,
            "deps": [],
            "value": edge[2] % 23,
            "formula": {"kind": "const", "const": edge[2] % 23},
        }
        for edge in edges
    ]
    params += [
        {
            "id": [1, 0, j, 1],
            "in_dependency_graph": False,
            "necessary": False,
            "uses_rng": False,
            "deps": [[0, 0, j, k] for k in range(40)],
            "value": None,
        }
        for j in range(20)
    ]
    record = {"categories": ["Owner", "Thing"], "items": items, "depth": 2, "widths": [20, 40]}
    record |= {"structure_edges": edges, "params": params, "solution_order": [[0, 0, 3, 7]]}
    record |= {"query": [0, 0, 3, 7], "answer": 7, "op": 1}
    problem = igsm.Problem.from_facts(record)
    for order in ("pq", "qp"):
        text = problem.prompt(order)
        assert text.count(" equals ") == text.count("The number of each") == 800
        assert text.count("How many Thing 7 does Owner NumberD have?") == 1
    assert igsm.verify(problem, problem.solution, strict=True).correct


def test_a_record_is_the_reader_s_own():
    problem = igsm.Problem.from_facts(example.record())
    facts = problem.facts()
    kept = json.loads(json.dumps(facts))
    for path in example.places(kept):
        inside = facts
        for key in path[:-1]:
            inside = inside[key]
        assert json.loads(json.dumps(facts)) == kept
        old, inside[path[-1]] = inside[path[-1]], None
        assert problem.facts() == kept
        inside[path[-1]] = old
    facts["items"][0].clear()
    assert problem.name(problem.query) == "North Quay's Crate"
    for entry in facts["params"]:
        entry["deps"].clear()
    assert [e["formula"] for e in facts["params"]] == [e["formula"] for e in kept["params"]]


def test_records_in_any_order(records):
    for facts in records["med"][:20]:
        shuffled = copy.deepcopy(facts)
        shuffled["params"].reverse()
        shuffled["structure_edges"].reverse()
        for entry in shuffled["params"]:
            entry["deps"].reverse()
            if entry["type"] == "abstract":
                del entry["formula"]
        again = igsm.Problem.from_facts(shuffled)
        wanted = {tuple(e["id"]): (e["value"], e["formula"]) for e in facts["params"]}
        found = {tuple(e["id"]): (e["value"], e["formula"]) for e in again.facts()["params"]}
        assert found == wanted


def test_the_worked_example_there_and_back():
    facts = example.record()
    again = igsm.Problem.from_facts(facts).facts()
    for entry in facts["params"]:
        entry.setdefault("formula", None)
    assert again["params"] == sorted(facts["params"], key=lambda e: e["id"])
    assert {k: v for k, v in again.items() if k not in ("params", "structure_edges")} == {
        k: v for k, v in facts.items() if k not in ("params", "structure_edges")
    }
    assert sorted(again["structure_edges"]) == sorted(facts["structure_edges"])
