"""Every way in which a record can be malformed: a change of the worked example, and its message."""

import copy

import igsm_example as example
import igsm_reference as reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import igsm
from physlm_jax.errors import InputError


def entry(facts, param):
    return reference.entries(facts)[tuple(param)]


def put(param, **values):
    def change(facts):
        entry(facts, param).update(values)

    return change


def formula(param, **values):
    def change(facts):
        entry(facts, param)["formula"] = values

    return change


def whole(**values):
    return lambda facts: facts.update(values)


def without(key, param=None):
    def change(facts):
        del (entry(facts, param) if param else facts)[key]

    return change


def add(key, value):
    return lambda facts: facts[key].append(value)


def cycle(facts):
    """The constant of a crate now comes from the ship that holds it."""
    entry(facts, example.BL_IC).update(
        deps=[example.NQ_OH],
        uses_rng=False,
        formula={"kind": "single", "args": [example.NQ_OH]},
    )


def self_loop(facts):
    entry(facts, example.BL_IC).update(
        deps=[example.BL_IC],
        uses_rng=False,
        formula={"kind": "single", "args": [example.BL_IC]},
    )


NOWHERE = [0, 0, 1, 0]  # Salt Dock holds no Blue Lark
MALFORMED = {
    "no object": (lambda facts: facts.clear(), r"items: expected a value of type list, got None"),
    "no items": (without("items"), r"items: expected"),
    "no params": (without("params"), r"params: expected"),
    "no answer": (without("answer"), r"answer: expected a value of type int, got None"),
    "no op": (without("op"), r"op: expected"),
    "no query": (without("query"), r"query: unknown parameter id None"),
    "no order": (without("solution_order"), r"solution_order: expected"),
    "no edges": (without("structure_edges"), r"edges: expected"),
    "no widths": (without("widths"), r"widths: expected"),
    "wrong depth": (whole(depth=2), r"depth: 2 layers"),
    "depth of a boolean": (whole(depth=True), r"depth: expected"),
    "wrong widths": (whole(widths=[2, 3, 2]), r"items\[1\]: expected a list of widths\[1\] names"),
    "categories of another number": (whole(categories=["Harbor", "Ship"]), r"depth: 3 layers"),
    "a category that is no text": (whole(categories=["Harbor", 3, "Crate"]), r"items\[1\]"),
    "two equal names": (whole(categories=["Harbor", "Ship", "Salt Dock"]), r"one name"),
    "an item that is no text": (lambda f: f["items"][2].__setitem__(0, None), r"items\[2\]"),
    "an empty name": (lambda f: f["items"][2].__setitem__(0, ""), r"items\[2\]"),
    "no layer": (lambda f: f["items"].__setitem__(1, "ab"), r"items\[1\]"),
    "an edge of two": (add("structure_edges", [0, 1]), r"structure_edges\[6\]"),
    "an edge twice": (add("structure_edges", [0, 0, 0]), r"structure_edges\[6\]"),
    "an edge outside": (add("structure_edges", [0, 2, 0]), r"structure_edges\[6\]"),
    "a negative edge": (add("structure_edges", [0, -1, 0]), r"structure_edges\[6\]"),
    "an edge without its parameter": (
        add("structure_edges", NOWHERE[1:]),
        r"params: \[0, 0, 1, 0\] is missing",
    ),
    "a missing entry": (
        lambda f: f["params"].remove(entry(f, example.NQ_SHIP)),
        r"params: \[1, 0, 0, 1\] is missing",
    ),
    "an entry twice": (
        lambda f: f["params"].append(entry(f, example.SD_OH)),
        r"params\[12\]: \[0, 0, 1, 1\] is there twice",
    ),
    "an entry that is no object": (add("params", 3), r"params\[12\]: expected an object"),
    "an unknown id": (put(example.NQ_BL, id=NOWHERE), r"params\[0\]: unknown .* \[0, 0, 1, 0\]"),
    "an id of text": (put(example.NQ_BL, id="0000"), r"params\[0\]: unknown parameter id '0000'"),
    "an id of an upper layer": (put(example.NQ_SHIP, id=[1, 0, 0, 0]), r"params\[6\]: unknown"),
    "a wrong type": (put(example.SD_OH, type="abstract"), r"\[0, 0, 1, 1\]: is of type instance"),
    "a wrong name": (
        put(example.SD_OH, name="Salt Dock's Heron"),
        r"parameter \[0, 0, 1, 1\]\.name",
    ),
    "no deps": (without("deps", example.SD_OH), r"parameter \[0, 0, 1, 1\]\.deps"),
    "no formula": (without("formula", example.SD_OH), r"parameter \[0, 0, 1, 1\]\.formula"),
    "a formula of null": (
        put(example.SD_OH, formula=None),
        r"\[0, 0, 1, 1\]\.formula: expected a value of type object, got None",
    ),
    "an unknown kind": (
        formula(example.BL_IC, kind="constant", const=9),
        r"parameter \[0, 1, 0, 0\]\.formula: unknown kind 'constant'",
    ),
    "a kind that is no text": (
        formula(example.BL_IC, kind=["const"], const=9),
        r"parameter \[0, 1, 0, 0\]\.formula",
    ),
    "no inner": (
        formula(example.OH_IC, kind="add_const", const=4, args=[example.BL_IC]),
        r"parameter \[0, 1, 1, 0\]\.formula: .*inner 'None'",
    ),
    "an inner that is no text": (
        formula(example.OH_IC, kind="add_const", const=4, inner={}, args=[example.BL_IC]),
        r"parameter \[0, 1, 1, 0\]\.formula: .*inner",
    ),
    "no constant": (formula(example.BL_IC, kind="const"), r"\[0, 1, 0, 0\]\.formula\.const"),
    "a constant of 23": (
        formula(example.BL_IC, kind="const", const=23),
        r"\[0, 1, 0, 0\]\.formula\.const: must be in 0\.\.22, got 23",
    ),
    "a constant below 0": (formula(example.BL_IC, kind="const", const=-1), r"got -1"),
    "a constant of a half": (formula(example.BL_IC, kind="const", const=0.5), r"\.const"),
    "args that are not the deps": (
        formula(example.NQ_BL, kind="single", args=[example.BL_IC]),
        r"parameter \[0, 0, 0, 0\]\.formula: its args are not the deps",
    ),
    "no args": (
        formula(example.NQ_BL, kind="single"),
        r"parameter \[0, 0, 0, 0\]\.formula: its args are not the deps",
    ),
    "args of null": (
        formula(example.NQ_BL, kind="single", args=None),
        r"parameter \[0, 0, 0, 0\]\.formula",
    ),
    "args of a number": (
        formula(example.NQ_BL, kind="single", args=3),
        r"parameter \[0, 0, 0, 0\]\.formula",
    ),
    "a constant with args": (
        formula(example.NQ_BL, kind="const", const=3, args=[example.OH_CRATE]),
        r"parameter \[0, 0, 0, 0\]\.formula: 1 args do not fit",
    ),
    "a sum of one": (
        formula(example.NQ_BL, kind="sum", args=[example.OH_CRATE]),
        r"parameter \[0, 0, 0, 0\]\.formula: 1 args do not fit",
    ),
    "one of two": (
        formula(example.NQ_OH, kind="single", args=[example.NQ_BL, example.BL_IC]),
        r"parameter \[0, 0, 0, 1\]\.formula: 2 args do not fit",
    ),
    "an unknown dependency": (
        put(example.NQ_BL, deps=[NOWHERE]),
        r"parameter \[0, 0, 0, 0\]\.deps: unknown parameter id \[0, 0, 1, 0\]",
    ),
    "a dependency twice": (
        put(example.NQ_OH, deps=[example.BL_IC, example.BL_IC]),
        r"parameter \[0, 0, 0, 1\]\.deps: one parameter is there twice",
    ),
    "an abstract one of other things": (
        put(example.OH_CRATE, deps=[example.OH_IC]),
        r"parameter \[1, 1, 1, 2\]\.deps",
    ),
    "an abstract one outside of other things": (
        put(example.SD_SHIP, deps=[example.NQ_OH]),
        r"parameter \[1, 0, 1, 1\]\.deps",
    ),
    "a constant that is not told": (
        put(example.SD_OH, uses_rng=False),
        r"parameter \[0, 0, 1, 1\]\.uses_rng: should be True",
    ),
    "an abstract one with a constant": (
        put(example.OH_CRATE, uses_rng=True),
        r"parameter \[1, 1, 1, 2\]\.uses_rng: should be False",
    ),
    "a wrong value": (put(example.OH_PC, value=9), r"\[0, 1, 1, 1\]\.value: is 9, but .* 8"),
    "a value of 23": (put(example.OH_PC, value=31), r"\[0, 1, 1, 1\]\.value: is 31"),
    "a value of null": (put(example.OH_PC, value=None), r"\[0, 1, 1, 1\]\.value: is None"),
    "a value outside the graph": (put(example.SD_SHIP, value=20), r"\[1, 0, 1, 1\]\.value: is 20"),
    "outside the graph, but needed": (
        put(example.OH_CRATE, in_dependency_graph=False, value=None),
        r"uses \[1, 1, 1, 2\], which is not in the graph",
    ),
    "an instance outside the graph": (
        put(example.SD_OH, in_dependency_graph=False, value=None),
        r"parameter \[0, 0, 1, 1\]: instance parameters are always in the graph",
    ),
    "in the graph, or not": (
        put(example.SD_OH, in_dependency_graph="yes"),
        r"\[0, 0, 1, 1\]\.in_dependency_graph",
    ),
    "not necessary": (
        put(example.OH_PC, necessary=False),
        r"parameter \[0, 1, 1, 1\]\.necessary: should be True",
    ),
    "necessary": (
        put(example.SD_OH, necessary=True),
        r"parameter \[0, 0, 1, 1\]\.necessary: should be False",
    ),
    "a cycle": (cycle, r"parameter \[.*\]: is on or behind a cycle"),
    "a loop": (self_loop, r"parameter \[.*\]: is on or behind a cycle"),
    **{
        f"the name {name!r}": (
            lambda f, name=name: f["items"][0].__setitem__(0, name),
            r"items\[0\]: .* is no name that a sentence can hold",
        )
        for name in ("Dr. Who", "End.", "A; b", "Aa;", "Aa BACK", "BACKyard", "A\nB", " A", "A  B")
    },
    "a phrase of two readings": (
        lambda f: (
            f["items"][0].__setitem__(slice(0, 2), ["Aa", "Aa's Bb"]),
            f["items"][1].__setitem__(slice(0, 2), ["Bb's Cc", "Cc"]),
            [entry.pop("name") for entry in f["params"]],
        ),
        r"items: \"Aa's Bb's Cc\" can be 'Cc' of \"Aa's Bb\" and \"Bb's Cc\" of 'Aa'",
    ),
    "a wrong op": (whole(op=10), r"op: is 10, but the problem has 11"),
    "a wrong answer": (whole(answer=13), r"answer: is 13, but the problem has 14"),
    "an answer of text": (whole(answer="14"), r"answer: expected"),
    "another query": (whole(query=example.NQ_OH), r"query: must be the last of solution_order"),
    "an unknown query": (whole(query=NOWHERE), r"query: unknown parameter id"),
    "an empty order": (whole(solution_order=[]), r"query: must be the last"),
    "an order too early": (
        lambda f: f["solution_order"].insert(0, f["solution_order"].pop(1)),
        r"solution_order\[0\]: \[0, 1, 1, 0\] is defined twice, before what it uses",
    ),
    "an order with a stranger": (
        lambda f: f["solution_order"].insert(0, NOWHERE),
        r"solution_order\[0\]: unknown",
    ),
    "an order with one twice": (
        lambda f: f["solution_order"].insert(1, example.BL_IC),
        r"solution_order\[1\]: \[0, 1, 0, 0\] is defined twice",
    ),
    "an order with one more": (
        lambda f: f["solution_order"].insert(7, example.SD_OH),
        r"solution_order: must define each necessary parameter once",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_records(name):
    change, message = MALFORMED[name]
    facts = example.record()
    change(facts)
    with pytest.raises(InputError, match=r"iGSM facts: .*" + message) as error:
        igsm.Problem.from_facts(facts)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("record", [None, 3, "text", [], [[]]])
def test_no_records(record):
    with pytest.raises(InputError, match=r"expected an object"):
        igsm.Problem.from_facts(record)


PLACES = list(example.places(example.record()))


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from(PLACES),
    value=st.sampled_from(
        [None, True, -1, 0, 1, 2, 23, 10**20, 1.5, "", "x", "sum", [], [0], [[]], {}, {"a": 1}]
    ),
)
def test_any_change_is_an_input_error_or_nothing(path, value):
    inside = facts = copy.deepcopy(example.record())
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    try:
        again = igsm.Problem.from_facts(facts)
    except InputError as error:
        assert "iGSM facts: " in str(error) and "\n" not in str(error)
    else:
        assert again.op == 11 and 0 <= again.answer <= 22
