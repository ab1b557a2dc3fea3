"""The law of problems: P(op), the authors' generator's figures, and a slow twin of the generator.

Seeds are fixed. Bounds are four standard errors of both samples together.
"""

import random

import igsm_law
import igsm_summary as summary
import numpy as np
import pytest

from physlm_jax.data import igsm

# Of 4000 problems with up to 15 operations and 1500 with up to 21, of the authors' generator.
PUBLISHED = {
    "med": {
        "depths": (0.37, 0.36, 0.27),
        "ip": (9.02, 4.04),
        "sentences": 4.75,
        "unused": 5.5,
        "query_abstract": 0.40,
        "zero": 0.12,
        "degrees": (0.56, 0.30, 0.11, 0.04),
        "op": 5.51,
        "problems": 4000,
    },
    "hard": {
        "depths": (0.36, 0.37, 0.27),
        "ip": (10.96, 5.36),
        "sentences": 6.20,
        "unused": 6.2,
        "query_abstract": 0.40,
        "zero": 0.11,
        "degrees": (0.52, 0.30, 0.13, 0.05),
        "op": 7.51,
        "problems": 1500,
    },
}
SPECS = {"med": (igsm.MED, 20_000), "hard": (igsm.HARD, 6000)}


@pytest.fixture(scope="module")
def ours():
    return {name: summary.ours(spec, 2024, count) for name, (spec, count) in SPECS.items()}


@pytest.fixture(scope="module")
def twins():
    rng = random.Random(2)
    sizes = {"med": (15, 20, 0, 2000), "hard": (21, 28, 0, 1000), "op 15": (15, 20, 15, 300)}
    return {
        name: summary.table(
            summary.of_drawn(igsm_law.draw(rng, op_max, ip_max, op)) for _ in range(count)
        )
        for name, (op_max, ip_max, op, count) in sizes.items()
    }


@pytest.fixture(scope="module")
def fixed():
    return summary.ours(igsm.Spec(op=15), 7, 3000)


def error(values, theirs):
    """The standard error of the difference of two means, the other sample of `theirs` problems."""
    return values.std() * np.sqrt(1 / len(values) + 1 / theirs)


@pytest.mark.parametrize("name", SPECS)
def test_operations_follow_their_law(ours, name):
    spec = SPECS[name][0]
    op = ours[name]["op"]
    k = np.arange(1, spec.op_max + 1)
    law = (2 * (spec.op_max - k) + 1) / spec.op_max**2
    np.testing.assert_allclose(spec.op_probabilities[1:], law, rtol=1e-12)
    assert spec.op_probabilities[0] == 0 and law.sum() == pytest.approx(1)
    expected = len(op) * law
    counts = np.bincount(op, minlength=spec.op_max + 1)[1:]
    assert summary.misfit(counts, expected) < 4
    assert op.mean() == pytest.approx(PUBLISHED[name]["op"], abs=4 * error(op, 1e9) + 0.005)


@pytest.mark.parametrize("name", SPECS)
def test_figures_of_the_authors_generator(ours, name):
    table, published = ours[name], PUBLISHED[name]
    theirs = published["problems"]
    for size, share in zip((2, 3, 4), published["depths"], strict=True):
        found = table["depth"] == size
        assert found.mean() == pytest.approx(share, abs=4 * error(found, theirs) + 0.005)
    mean, deviation = published["ip"]
    ip = table["ip"]
    assert ip.mean() == pytest.approx(mean, abs=4 * error(ip, theirs) + 0.005)
    squares = (ip - ip.mean()) ** 2
    assert squares.mean() == pytest.approx(deviation**2, abs=4 * error(squares, theirs) + 0.05)
    for quantity, rounding in (("sentences", 0.005), ("unused", 0.05), ("query_abstract", 0.005)):
        found = table[quantity]
        bound = 4 * error(found, theirs) + rounding
        assert found.mean() == pytest.approx(published[quantity], abs=bound), quantity


@pytest.mark.parametrize("name", SPECS)
def test_answers(ours, name):
    zero, theirs = ours[name]["zero"], PUBLISHED[name]["problems"]
    assert zero.mean() == pytest.approx(
        PUBLISHED[name]["zero"], abs=4 * error(zero, theirs) + 0.005
    )


@pytest.mark.parametrize("name", SPECS)
def test_published_in_degrees(ours, name):
    table, published = ours[name], PUBLISHED[name]
    degrees = [table[f"degree{k}"] for k in (1, 2, 3, 4)]
    whole = sum(degrees)
    for found, share in zip(degrees, published["degrees"], strict=True):
        ours_share = found.sum() / whole.sum()
        spread = error(found - ours_share * whole, published["problems"]) / whole.mean()
        assert ours_share == pytest.approx(share, abs=4 * spread + 0.005)


@pytest.mark.parametrize(
    ("spec", "mean"),
    [
        (igsm.Spec(op=15), 10.8),
        (igsm.Spec(op=23), 11.8),
        (igsm.Spec(op_max=21, ip_max=28, op=32), 14.9),
    ],
)
def test_fixed_operations(spec, mean):
    table = summary.ours(spec, 5, 1000)
    assert (table["op"] == spec.op).all()
    # How many problems the published mean is of is not known; 300 are supposed.
    assert table["ip"].mean() == pytest.approx(mean, abs=4 * error(table["ip"], 300) + 0.05)


@pytest.mark.parametrize(
    "spec", [igsm.Spec(op=20, reask=True), igsm.Spec(op_max=21, ip_max=28, op=28, reask=True)]
)
def test_problems_that_are_asked_again(spec):
    op = summary.ours(spec, 6, 1500)["op"]
    assert op.mean() == pytest.approx(8, abs=4 * error(op, 40) + 0.5)  # theirs is of 40
    assert op.min() == 1 and len(np.unique(op)) > 15


def homogeneous(a, b):
    """How far two samples of integers are from one law, in standard deviations: chi-square."""
    least = min(a.min(), b.min())
    counts = np.array([np.bincount(x - least, minlength=100) for x in (a, b)], float)
    whole = counts.sum(0)
    kept = whole * min(len(a), len(b)) / (len(a) + len(b)) >= 5
    cells = np.column_stack([counts[:, kept], counts[:, ~kept].sum(1)])
    cells = cells[:, cells.sum(0) > 0]
    expected = np.outer(cells.sum(1), cells.sum(0)) / cells.sum()
    degrees = cells.shape[1] - 1
    if not degrees:
        return 0.0
    return summary.surprise(((cells - expected) ** 2 / expected).sum(), degrees)


@pytest.mark.parametrize("quantity", [q for q in summary.COUNTED if q != "zero"])
@pytest.mark.parametrize("name", SPECS)
def test_the_twin_has_the_same_law(ours, twins, name, quantity):
    for low, high in ((1, 99), (1, 3), (4, 7), (8, 21)):
        a, b = ours[name].of_op(low, high)[quantity], twins[name].of_op(low, high)[quantity]
        assert homogeneous(a, b) < 4, (low, high)
        spread = np.sqrt(a.var() / len(a) + b.var() / len(b))
        assert abs(a.mean() - b.mean()) <= 4 * spread, (low, high, a.mean(), b.mean())


@pytest.mark.parametrize("quantity", [q for q in summary.COUNTED if q not in ("zero", "op")])
def test_the_twin_has_the_same_law_at_fixed_operations(twins, fixed, quantity):
    a, b = fixed[quantity], twins["op 15"][quantity]
    assert homogeneous(a, b) < 4
    spread = np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert abs(a.mean() - b.mean()) <= 4 * spread
