"""Specifications and the options of the world: what is refused, and what options mean."""

import json
import subprocess
import sys

import numpy as np
import pytest

from physlm_jax.data import igsm, open_world
from physlm_jax.data.igsm import spec as specs
from physlm_jax.data.igsm.language import ANSWER
from physlm_jax.errors import InputError


def refused(message, **options):
    with pytest.raises(InputError, match=message) as error:
        igsm.Spec(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options",
    [{"op_max": 0}, {"op_max": 53}, {"op": -1}, {"op": 53}, {"op_max": -3, "op": 5}],
)
def test_operations_need_a_letter_each(options):
    refused(r"op_max must be in 1\.\.52 and op in 0\.\.52", **options)


@pytest.mark.parametrize("bins", [(23,), (-1, 3), (0, 99)])
def test_bins_are_0_to_22(bins):
    refused(r"bins must be some of 0\.\.22", bins=bins)


def test_empty_bins():
    refused(r"bins must be some of 0\.\.22, got \[\]: no problem would be left", bins=())


@pytest.mark.parametrize("sizes", [(), (1,), (2, 5), (0, 2, 3)])
@pytest.mark.parametrize("name", ["depths", "widths"])
def test_depths_and_widths_are_2_to_4(name, sizes):
    refused(rf"{name} must be some of 2, 3, 4, got", **{name: sizes})


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"ip_max": 11}, 12),
        ({"ip_max": 5, "depths": (2, 4), "widths": (2,)}, 6),
        ({"ip_max": 3, "depths": (2,)}, 4),
    ],
)
def test_sentences_enough_for_the_structure(options, least):
    refused(rf"ip_max {options['ip_max']} is too small.*need {least} instance", **options)
    spec = igsm.Spec(**{**options, "ip_max": least, "op_max": 2})
    for problem in igsm.sample(spec, 0, 0, 30):
        assert problem.arrays.structure.instances <= least


def test_asking_again_needs_fixed_operations():
    refused(r"reask needs a fixed op", reask=True)


@pytest.mark.parametrize(
    "options",
    [
        {"chains": 5},
        {"items": 3},
        {"categories": 3},
        {"items": 21},
        {"subcategories": -1},
        {"chains": -2},
    ],
)
def test_sizes_of_the_lists_of_names(options):
    with pytest.raises(InputError):
        igsm.Spec(**options)


def test_names_with_too_few_layers(tmp_path):
    layers = [
        {"name": name, "subcategories": {"All": [f"{name} {x}" for x in ("Xa", "Xb", "Xc", "Xd")]}}
        for name in ("House", "Room")
    ]
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"chains": [{"name": "Street", "categories": layers}]}))
    refused(r"chains have 2 categories, but a problem can have 4 layers", names=str(path))
    problem = igsm.sample(igsm.Spec(names=str(path), depths=(2,), op_max=4), 0, 0, 1)[0]
    assert problem.categories == ["House", "Room"]


def uneven(tmp_path, **changes):
    """A file of names of two categories with two sub-categories each, but for the changes."""

    def category(name, kinds):
        groups = {k: [f"{name} {k} {x}" for x in ("Xa", "Xb", "Xc", "Xd")] for k in kinds}
        return {"name": name, "subcategories": groups}

    kinds = {"House": ("Old", "New"), "Room": ("Old", "New"), **changes}
    chains = [
        {"name": "Street", "categories": [category(n, kinds[n]) for n in ("House", "Room")]},
        {"name": "Ocean", "categories": [category(n, ("Old", "New")) for n in ("Ship", "Deck")]},
    ]
    if "Hold" in kinds:
        chains[1]["categories"].append(category("Hold", kinds["Hold"]))
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"chains": chains}))
    return str(path)


def test_lists_of_names_of_unequal_sizes(tmp_path):
    (tmp_path / "even").mkdir()
    even = igsm.Spec(names=uneven(tmp_path / "even"), depths=(2,), op_max=3)
    assert igsm.sample(even, 0, 0, 1)[0].op <= 3
    path = uneven(tmp_path, Room=("Old",))
    refused(
        r"category 'Room' has 1 sub-categories, category 'House' has 2: .* \(chains, categories",
        names=path,
        depths=(2,),
    )
    cut = igsm.Spec(names=path, depths=(2,), op_max=3, subcategories=1)
    assert igsm.sample(cut, 0, 0, 1)[0].op <= 3


def test_chains_of_unequal_lengths(tmp_path):
    path = uneven(tmp_path, Hold=("Old", "New"))
    refused(r"chain 'Ocean' has 3 categories, chain 'Street' has 2", names=path, depths=(2,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 5}, r"every one of bins must be a whole number, got '5'"),
        ({"bins": "abc"}, r"every one of bins must be a whole number, got 'a'"),
        ({"bins": (1.5,)}, r"every one of bins must be a whole number, got 1.5"),
        ({"op": 2.5}, r"op must be a whole number, got 2.5"),
        ({"op_max": "x"}, r"op_max must be a whole number, got 'x'"),
        ({"chains": 1.5}, r"chains must be a whole number, got 1.5"),
        ({"reask": True, "op": True}, r"op must be a whole number, got True"),
    ],
)
def test_numbers_that_are_none(options, message):
    refused(message, **options)


def test_operations_out_of_reach():
    spec = igsm.Spec(op=50, ip_max=6, depths=(2,), widths=(2,))
    with pytest.raises(InputError, match=r"none of \d+ candidates has 50 operations; .*ip_max 6"):
        igsm.sample(spec, 0, 0, 1)
    with pytest.raises(InputError, match=r"out of reach: raise these or lower op and op_max"):
        igsm.tokens(spec, igsm.tokenizer(spec), 0, 0, 1)


def test_specifications_by_name():
    assert igsm.named("med") == igsm.MED == igsm.Spec(op_max=15, ip_max=20)
    assert igsm.named("hard") == igsm.Spec(op_max=21, ip_max=28)
    assert set(igsm.SPECS) == {"med", "hard", "mini", "mini-gpu"}
    with pytest.raises(InputError, match=r"unknown specification 'medd'.*did you mean 'med'"):
        igsm.named("medd")


def test_orders_and_repeats_make_no_other_specification():
    one = igsm.Spec(bins=(3, 1, 1), depths=[4, 2], widths=(3,))
    two = igsm.Spec(bins=(1, 3), depths=(2, 4), widths=[3, 3])
    assert one == two and hash(one) == hash(two)


@pytest.mark.parametrize("name", igsm.SPECS)
def test_named_specifications_keep_to_their_sizes(name):
    spec = igsm.named(name)
    for problem in igsm.sample(spec, 1, 0, 60):
        assert 1 <= problem.op <= spec.op_max
        assert problem.arrays.structure.instances <= spec.ip_max
        assert len(problem.items) in spec.depths
        assert {len(layer) for layer in problem.items} <= set(
            range(min(spec.widths), max(spec.widths) + 1)
        )


@pytest.mark.parametrize(
    "options",
    [
        {"op_max": 1},
        {"op": 1},
        {"op": 52},
        {"op_max": 52, "ip_max": 48},
        {"op": 52, "reask": True},
        {"ip_max": 12, "depths": (4,), "widths": (4,)},
        {"ip_max": 2, "depths": (2,), "widths": (2,), "op_max": 2},
    ],
)
def test_extreme_specifications(options):
    spec = igsm.Spec(**options)
    for problem in igsm.sample(spec, 2, 0, 8):
        assert problem.op <= 52 and igsm.verify(problem, problem.solution, strict=True).correct
        assert spec.reask or not spec.op or problem.op == spec.op


# Worlds


def test_the_world_of_a_config():
    world = open_world({"world": "igsm", "spec": "mini", "op_max": 2, "split": "test"})
    assert world.spec.op_max == 2 and world.spec.ip_max == igsm.MINI.ip_max
    assert world.spec.bins == world.train_bins == igsm.TEST_BINS
    assert world.held_out().bins == igsm.TRAIN_BINS
    found = world.examples(0, 0, 5)
    assert (found.tokens[found.offsets[:-1]] == world.vocabulary.bos).all()
    assert (found.tokens[found.offsets[1:] - 1] == world.vocabulary.eos).all()
    assert world.mean_length == pytest.approx(world.examples(0, 0, 400).lengths.mean())


def test_sides_of_the_world():
    train = igsm.world(op_max=6)
    assert train.spec.bins == igsm.TRAIN_BINS and train.held_out().bins == igsm.TEST_BINS
    assert igsm.world(op_max=6, split="all").spec.bins == igsm.ALL_BINS
    own = igsm.world(op_max=6, train_bins=range(16))
    assert own.spec.bins == tuple(range(16)) and own.held_out().bins == tuple(range(16, 23))
    assert {p.bin for p in igsm.sample(own.held_out(), 3, 0, 30)} <= set(range(16, 23))
    again = igsm.sample(own.held_out(9, reask=True), 3, 0, 10)
    assert {len(p.arrays.order) for p in again} != {1}
    assert all(p.op == 9 for p in igsm.sample(own.held_out(9), 3, 0, 10))
    assert own.held_out(9).op_max == 6


def test_replaced_sizes():
    world = igsm.world("hard", 0, 14, 4, [2], [3], chains=1, categories=3, subcategories=2, items=5)
    spec = world.spec
    assert (spec.op_max, spec.ip_max, spec.op) == (21, 14, 4)
    assert (spec.depths, spec.widths) == ((2,), (3,))
    assert (spec.chains, spec.categories, spec.subcategories, spec.items) == (1, 3, 2, 5)
    everything = igsm.world("mini", chains=0, subcategories=0, items=0).spec
    assert (everything.chains, everything.subcategories, everything.items) == (0, 0, 0)


@pytest.mark.parametrize("order", ["pq", "qp"])
def test_prompts_are_how_examples_begin(order):
    world = igsm.world("mini", order=order, split="all", retry_rate=0.2)
    problems = igsm.sample(world.spec, 4, 0, 10)
    for problem, ids in zip(problems, world.examples(4, 0, 10), strict=True):
        prompt = world.prompt(problem)
        assert ids[: len(prompt)].tolist() == prompt
        assert ids[-3] == world.vocabulary.role(ANSWER) and ids[-1] == world.vocabulary.eos


def test_the_longest():
    world = igsm.world(longest=150)
    assert world.examples(1, 0, 60).lengths.max() <= 150


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spec": "medium"}, r"unknown specification 'medium'"),
        ({"split": "tests"}, r"unknown split 'tests'.*did you mean 'test'"),
        ({"order": "pp"}, r"unknown order 'pp'"),
        ({"longest": -1}, r"longest must be at least 0"),
        ({"train_bins": ()}, r"one side of the split would be empty"),
        ({"train_bins": range(23)}, r"one side of the split would be empty"),
        ({"train_bins": (1, 40)}, r"train_bins must be some but not all of 0\.\.22"),
        ({"retry_rate": 1.0}, r"retry rate must be in \[0, 1\)"),
        ({"retry_kind": "weak"}, r"unknown kind of retry 'weak'"),
        ({"retry_mask": "some"}, r"unknown mask"),
        ({"op_max": -2}, r"op_max must be in 1\.\.52"),
        ({"ip_max": 4}, r"ip_max 4 is too small"),
        ({"depths": (7,)}, r"depths must be some of 2, 3, 4"),
        ({"names": "no/such/file.json"}, r"no/such/file\.json"),
        ({"speck": "med"}, r"did you mean 'spec'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message) as error:
        open_world({"world": "igsm", **options})
    assert "\n" not in str(error.value)


def test_a_wrong_vocabulary_of_a_world():
    with pytest.raises(InputError, match=r"vocabulary 'item' is neither"):
        igsm.world("mini", vocabulary="item").examples(0, 0, 1)


def test_numpy_and_numba_alone_make_the_data():
    code = (
        "import sys; from physlm_jax.data import igsm; w = igsm.world('mini');"
        "w.examples(0, 0, 2); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_probabilities_of_operations():
    np.testing.assert_allclose(igsm.MINI.op_probabilities, [0, 5 / 9, 3 / 9, 1 / 9])
    assert specs.sides((0, 5))[1] == tuple(b for b in range(23) if b not in (0, 5))


def test_a_prompt_may_weigh_less():
    plain, light = igsm.world("mini"), igsm.world("mini", retry_rate=0.3, prompt_weight=0.25)
    assert not plain.examples(0, 0, 3).labels
    for ids, problem, row in zip(
        light.examples(0, 0, 20), igsm.sample(light.spec, 0, 0, 20), range(20), strict=True
    ):
        weights = light.examples(0, 0, 20).slice(row, row + 1).weights
        prompt = len(light.prompt(problem)) - 1  # <solution> is no part of it
        assert (weights[1:prompt] == 0.25).all() and (weights[prompt:] == 1).all()
        assert len(weights) == len(ids)
    with pytest.raises(InputError, match="prompt_weight and symbol_weight must be"):
        igsm.world("mini", prompt_weight=-1).examples(0, 0, 1)


def test_a_model_is_judged_by_solution_mark_and_answer():
    world = igsm.world("mini", split="all")
    for problem in igsm.sample(world.spec, 1, 0, 10):
        solution = world.vocabulary.encode(problem.solution).tolist()
        mark = world.vocabulary.role(ANSWER)
        number = [world.vocabulary.encode(f" {n}").tolist() for n in range(23)]
        right = [*solution, mark, *number[problem.answer]]
        assert world.judge(problem, right).correct
        assert world.size(problem) == len(world.prompt(problem)) + len(right) + 1
        for wrong in (solution, right[:-1], [*solution, mark, *number[problem.answer - 1]]):
            verdict = world.judge(problem, wrong)
            assert not verdict.correct and verdict.error.kind == "unmarked"
        assert world.judge(problem, right[1:]).error.kind == "define"
