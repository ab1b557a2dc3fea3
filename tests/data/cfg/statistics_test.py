"""Exact figures against the published table and enumeration; grammars drawn at random."""

import math

import pytest

from physlm_jax.data import cfg
from physlm_jax.data.cfg import reference
from physlm_jax.errors import InputError

# Mean length, its standard deviation, H_tree in bits per string: exact, from an independent
# computation on the published tables.
TABLE = {
    "cfg3b": (275.625, 41.7, 169.250),
    "cfg3i": (308.094, 46.0, 186.938),
    "cfg3h": (236.384, 41.5, 204.778),
    "cfg3g": (252.433, 53.0, 269.920),
    "cfg3f": (249.860, 69.4, 268.661),
    "cfg3e1": (198.584, 46.8, 215.985),
    "cfg3e2": (246.357, 55.9, 256.346),
    "cfg3j": (543.926, 133.6, 618.585),
    "cfg3k": (516.305, 91.1, 608.333),
}


@pytest.mark.parametrize("name", TABLE)
def test_published_figures(name):
    figures = cfg.statistics(cfg.load(name))
    mean, sd, entropy = TABLE[name]
    assert figures.mean_length == pytest.approx(mean, abs=6e-4)
    assert figures.sd_length == pytest.approx(sd, abs=0.06)
    assert figures.tree_entropy == pytest.approx(entropy, abs=6e-4)


def test_figures_of_a_tiny_grammar_by_enumeration(tiny4):
    strings = reference.language(tiny4)
    figures = cfg.statistics(tiny4)
    mean = sum(len(x) * p for x, p in strings.items())
    square = sum(len(x) ** 2 * p for x, p in strings.items())
    assert len(strings) == 174 and sum(strings.values()) == 1
    assert figures.mean_length == mean == 12.5
    assert figures.sd_length == pytest.approx(math.sqrt(square - mean**2))
    assert (figures.min_length, figures.max_length) == (8, 18)
    entropy = -sum(p * math.log2(p) for p in strings.values())
    assert entropy == pytest.approx(7.083869824, abs=1e-9)
    assert entropy < figures.tree_entropy < figures.log2_derivations


def test_a_subgrammar_that_can_be_memorised():
    figures = cfg.statistics(cfg.load("cfg3b").under(13))
    assert (figures.min_length, figures.mean_length, figures.max_length) == (12, 15.0, 18)
    assert figures.tree_entropy == figures.log2_derivations == 9.0
    five = cfg.statistics(cfg.load("cfg3b").under(16))
    assert (five.min_length, five.mean_length, five.max_length) == (30, 48.75, 72)
    assert five.tree_entropy == 29.5
    assert five.log2_derivations == pytest.approx(35.0, abs=1e-3)


def test_drawn_grammars_follow_the_recipe():
    def draw(seed):
        return cfg.draw_grammar((1, 3, 4, 3), degree=(2, 3), lengths=(1, 3), seed=seed)

    assert draw(5) == draw(5) and draw(5) != draw(6)
    many = [draw(seed) for seed in range(40)]
    assert all(g.sizes == (1, 3, 4, 3) for g in many)
    symbols = [s for g in many for level in g.rules for s in level]
    assert {len(s) for s in symbols} == {2, 3}
    assert {len(rhs) for s in symbols for rhs in s} == {1, 2, 3}
    for level in (level for g in many for level in g.rules):
        flat = [rhs for symbol in level for rhs in symbol]
        assert len(set(flat)) == len(flat)
    distinct = cfg.draw_grammar((1, 3, 3), degree=(2, 2), distinct=True, seed=1)
    assert all(len(set(r)) == len(r) for level in distinct.rules for s in level for r in s)


@pytest.mark.parametrize(
    "options",
    [
        {"sizes": (2, 3)},
        {"sizes": (1,)},
        {"sizes": (1, 2), "degree": (3, 2)},
        {"sizes": (1, 2), "lengths": (2, 4)},
        {"sizes": (1, 1), "degree": (3, 3)},
        {"sizes": (1, 1), "distinct": True},
    ],
)
def test_impossible_drawings_are_refused(options):
    with pytest.raises(InputError):
        cfg.draw_grammar(**options)
