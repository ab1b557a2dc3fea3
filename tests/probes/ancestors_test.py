"""Ancestor probes on small languages: targets and counts against the obvious, and the whole way."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from physlm_jax.data import cfg
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.probes import ancestors, scores
from physlm_jax.probes.ancestors import ProbeConfig
from physlm_jax.probes.targets import draw, targets

KINDS = ("symbols", "boundaries", "ends")
WORLD = cfg.world("cfg3b", 16)  # L = 5, 30 to 72 tokens
WANTED = targets(WORLD.grammar, KINDS)


def test_targets_are_those_of_the_labels():
    kinds = [(t.kind, t.level, t.classes) for t in WANTED]
    assert kinds == [
        *[("symbols", level, 3) for level in (2, 3, 4)],
        *[("boundaries", level, 2) for level in (2, 3, 4)],
        ("ends", 0, 4),
    ]
    with pytest.raises(InputError, match="did you mean 'symbols'"):
        targets(WORLD.grammar, ["symbol"])


def test_strings_carry_their_own_labels_and_are_cut():
    strings = draw(WORLD, WANTED, 7, 3, 20, positions=40)
    labelled = cfg.sample(WORLD.grammar, 7, 3, 20, labels=True)
    assert strings.tokens.shape == (20, 41)
    for n in range(20):
        lo, length = labelled.offsets[n], min(labelled.lengths[n], 40)
        assert strings.lengths[n] == length
        assert strings.tokens[n].tolist() == [0, *labelled[n][:length], *[0] * (40 - length)]
        for i in range(length):
            end = int(labelled.nt_end[lo + i])
            expected = [
                *[WORLD.grammar.locate(int(s))[1] for s in labelled.ancestor_symbol[lo + i]],
                *[int(b) for b in labelled.boundary[lo + i]],
                end - 1 if end else 0,
            ]
            assert strings.classes[n, i].tolist() == expected
    assert (strings.lengths == 40).any() and (strings.lengths < 40).any()


def test_strings_of_an_implicit_language_are_seen_through_its_alphabet():
    world = cfg.world("cfg3b", 13, alphabet=30)
    strings = draw(world, targets(world.grammar, ["symbols"]), 1, 0, 30, positions=30)
    plain = cfg.sample(world.grammar, 1, 0, 30)
    seen = strings.tokens[:, 1:][strings.inside]
    assert seen.max() > 3
    assert all(v in world.alphabet.members[t - 1] for v, t in zip(seen, plain.tokens, strict=True))


def test_counts_are_the_obvious_ones():
    strings = draw(WORLD, WANTED, 1, 0, 8, positions=50)
    rng = np.random.default_rng(0)
    wrong = rng.random(strings.classes.shape) < 0.4
    predicted = np.where(wrong, (strings.classes + 1) % 2, strings.classes)
    found = scores.score(WANTED, strings, predicted)
    labelled = cfg.sample(WORLD.grammar, 1, 0, 8, labels=True)
    for g, (target, score) in enumerate(zip(WANTED, found, strict=True)):
        expected = {name: np.zeros((2, 8), int) for name in score.regions}
        for n in range(8):
            for i in range(strings.lengths[n]):
                at = labelled.offsets[n] + i
                nt_end = labelled.nt_end[at]
                end = labelled.boundary[at, target.level - 2] if target.level else nt_end > 0
                regions = ["all", "ends" if end else "elsewhere"]
                regions += ["nt_end"] if target.level and nt_end == target.level else []
                for name in regions:
                    expected[name][1, n] += 1
                    expected[name][0, n] += predicted[n, i, g] == strings.classes[n, i, g]
        for name, count in score.regions.items():
            np.testing.assert_array_equal([count.correct, count.total], expected[name])
        assert score.regions["all"].total.tolist() == strings.lengths.tolist()
    boundary = next(s for s in found if s.target.kind == "boundaries")
    assert boundary.regions["ends"].majority == 1
    share = (strings.classes[..., 3] == 0)[strings.inside].mean()
    assert boundary.regions["all"].majority == pytest.approx(share)


def flat(node, start=0):
    """(level, start, stop, name) of every node of a nested tree."""
    if not node.children:
        return [(node.level, start, start + 1, node.name)]
    found, stop = [], start
    for child in node.children:
        below = flat(child, stop)
        stop = below[0][2]
        found += below
    return [(node.level, start, stop, node.name), *found]


def test_trees_hold_every_node_with_the_verdict_at_its_end():
    strings = draw(WORLD, WANTED, 1, 0, 3, positions=72)
    predicted = (strings.classes + 1) % 3
    found = scores.trees(WORLD, WANTED, strings, predicted, 2)
    derivations = cfg.sample_derivations(WORLD.grammar, 1, 0, 3)
    assert len(found) == 2
    for n, tree in enumerate(found):
        assert [int(t) for t in tree.tokens] == strings.tokens[
            n, 1 : 1 + strings.lengths[n]
        ].tolist()
        nodes = [(v.level, v.start, v.stop, v.symbol) for v in tree.nodes]
        assert sorted(nodes) == sorted(n for n in flat(derivations.tree(n)) if 1 < n[0] < 5)
        for v in tree.nodes:
            written = WORLD.grammar.symbols[v.level - 1]
            assert v.predicted == written[(written.index(v.symbol) + 1) % 3]
            assert v.index == 1 + sum(w.level == v.level and w.stop <= v.start for w in tree.nodes)
    cut = scores.trees(WORLD, WANTED, draw(WORLD, WANTED, 1, 0, 1, 20), predicted[:, :20], 1)
    assert all(v.stop <= 20 for v in cut[0].nodes)
    assert scores.trees(WORLD, WANTED[3:], strings, predicted[..., 3:], 2) == ()


# Every token tells its ancestors: 1 2 under C under A, 3 4 under D under B; 2 and 4 end a pair.
CLEAR = cfg.Grammar.from_rules(
    [
        [[[0, 1], [1, 0], [1, 1]]],
        [[[0, 0], [0, 0, 0]], [[1, 1], [1]]],
        [[[0, 1]], [[2, 3]]],
    ],
    name="clear",
)
CLEAR_WORLD = dataclasses.replace(WORLD, grammar=CLEAR)
MODEL = transformer.TransformerConfig(vocab_size=7, max_length=16, layers=1, width=16, heads=2)
FAST = ProbeConfig(
    layers=(0, 1),
    masks=("diagonal", "tridiagonal"),
    targets=("symbols", "boundaries"),
    heads=2,
    head_dim=4,
    steps=60,
    batch=20,
    strings=50,
    learning_rate=3e-2,
)


@pytest.fixture(scope="module")
def results():
    params = ancestors.random_control(MODEL, jax.random.key(0))
    return ancestors.probe_ancestors(CLEAR_WORLD, MODEL, params, FAST)


def test_what_tokens_tell_is_read_from_their_embeddings(results):
    places = [(r.mask, r.layer) for r in results]
    assert places == [("diagonal", 0), ("diagonal", 1), ("tridiagonal", 0), ("tridiagonal", 1)]
    diagonal, around = results[0], results[2]
    for level in (2, 3):
        counts = diagonal.score("symbols", level).regions
        assert counts["all"].accuracy == 1 and counts["ends"].accuracy == 1
        assert counts["all"].total.shape == (50,)
    assert diagonal.score("boundaries", 3).regions["all"].accuracy == 1
    # whether a level-2 subtree ends depends on what follows: not in the token's own embedding
    below = diagonal.score("boundaries", 2).regions["all"]
    assert below.majority <= below.accuracy + 0.02 and below.accuracy < 0.95
    assert around.score("boundaries", 2).regions["all"].accuracy > below.accuracy
    with pytest.raises(KeyError):
        diagonal.score("ends")


def test_equal_arguments_give_equal_results_and_seeds_differ(results):
    params = ancestors.random_control(MODEL, jax.random.key(0))

    def again(seed):
        config = dataclasses.replace(FAST, seed=seed)
        found = ancestors.probe_ancestors(CLEAR_WORLD, MODEL, params, config)
        return [r.to_json() for r in found]

    assert again(0) == [r.to_json() for r in results]
    assert again(1) != [r.to_json() for r in results]


def test_results_are_plain_json(results):
    data = json.loads(json.dumps(results[0].to_json(), allow_nan=False))
    count = data["scores"][0]["regions"]["ends"]
    assert sum(count["correct"]) / sum(count["total"]) == count["accuracy"] == 1
    assert len(data["trees"]) == 3
    assert data["trees"][0]["nodes"][0]["level"] == 2


def test_a_grammar_without_inner_levels_is_refused():
    flat_grammar = cfg.Grammar.from_rules([[[[0, 1]]]], name="flat")
    world = dataclasses.replace(WORLD, grammar=flat_grammar)
    params = ancestors.random_control(MODEL, jax.random.key(0))
    config = dataclasses.replace(FAST, targets=("symbols",))
    with pytest.raises(InputError, match="no level between"):
        ancestors.probe_ancestors(world, MODEL, params, config)
