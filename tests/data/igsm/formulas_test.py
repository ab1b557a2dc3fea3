"""What is drawn when a problem is told: formulas, constants, letters, orders, names."""

from collections import Counter

import igsm_summary as summary
import numpy as np
import pytest

from physlm_jax.data import igsm


@pytest.fixture(scope="module")
def drawn():
    return igsm.sample(igsm.MED, 78, 0, 4000)


@pytest.fixture(scope="module")
def formulas(drawn):
    """Counters: bases of two, links and constants by link."""
    found = {"base": Counter(), "link": Counter(), 0: Counter(), 1: Counter(), 2: Counter()}
    for problem in drawn:
        arrays = problem.arrays
        instances = int(arrays.structure.instances)
        columns = (arrays.inner, arrays.outer, arrays.constant, arrays.deps.counts)
        rows = zip(*(c[:instances].tolist() for c in columns), strict=True)
        random = arrays.deps.constant.tolist()
        for n, (inner, outer, constant, count) in enumerate(rows):
            if count == 2:
                found["base"][inner] += 1
            if count and random[n]:
                found["link"][outer] += 1
            if random[n]:
                found[outer][constant] += 1
            else:
                assert outer == 0 and constant == 0
    return found


def is_uniform(counts, cells):
    assert set(counts) == set(cells)
    numbers = np.array([counts[c] for c in cells])
    return summary.misfit(numbers, numbers.sum() / len(cells)) < 4


def test_sums_and_differences_are_even(formulas):
    assert is_uniform(formulas["base"], [2, 3])


def test_more_and_times_are_even(formulas):
    assert is_uniform(formulas["link"], [1, 2])


@pytest.mark.parametrize(("link", "least"), [(0, 0), (1, 0), (2, 1)])
def test_constants_are_uniform(formulas, link, least):
    assert is_uniform(formulas[link], range(least, 23))


def test_letters_are_uniform(drawn):
    for place in (0, 1, 51):
        assert is_uniform(Counter(int(p.arrays.letters[place]) for p in drawn), range(52))
    assert all(sorted(p.arrays.letters.tolist()) == list(range(52)) for p in drawn[:200])


def test_sentences_come_in_any_order(drawn):
    six = [p.arrays.statement for p in drawn if len(p.arrays.statement) == 6]
    assert len(six) > 200
    for place in range(6):
        assert is_uniform(Counter(int(s[place]) for s in six), range(6))


def test_chains_windows_and_items_are_uniform(drawn):
    chains = igsm.MED.name_lists.chains
    where = {
        c.name: (n, k) for n, chain in enumerate(chains) for k, c in enumerate(chain.categories)
    }
    two = [where[p.categories[0]] for p in drawn if len(p.categories) == 2]
    three = [where[p.categories[0]] for p in drawn if len(p.categories) == 3]
    assert is_uniform(Counter(two), [(n, k) for n in range(4) for k in range(3)])
    assert is_uniform(Counter(three), [(n, k) for n in range(4) for k in range(2)])
    ship = chains[0].categories[0]
    firsts = Counter(p.items[0][0] for p in drawn if p.categories[0] == ship.name)
    groups = Counter(next(g for g in ship.subcategories if name in g) for name in firsts.elements())
    assert is_uniform(groups, list(ship.subcategories))
    for group in ship.subcategories:
        assert is_uniform(Counter({name: firsts[name] for name in group}), group)
