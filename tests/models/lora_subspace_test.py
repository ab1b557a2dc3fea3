"""Directions shared and amplified, against closed forms and the paper's table 7."""

import numpy as np
import pytest

from physlm_jax.models.lora import subspace


def test_a_subspace_is_like_itself_and_unlike_an_orthogonal_one():
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((32, 8)))[0]
    phi = subspace.similarity(frame[:, :4] * [4, 3, 2, 1], frame[:, :4] * [4, 3, 2, 1])
    np.testing.assert_allclose(phi, 1, atol=1e-9)  # one holds the other, whatever i and j
    assert subspace.similarity(frame[:, :4], frame[:, 4:]).max() < 1e-20


def test_by_projection_metric():
    """phi = (p - d^2) / p, d the distance of the projections, p = min(i, j)."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((20, 3)), rng.standard_normal((20, 5))
    u, v = (np.linalg.svd(x)[0] for x in (a, b))
    phi = subspace.similarity(a, b)
    for i in range(1, 4):
        for j in range(1, 6):
            cosines = np.linalg.svd(u[:, :i].T @ v[:, :j], compute_uv=False)
            p = min(i, j)
            d = np.sqrt(p - np.square(cosines).sum())
            assert np.isclose(phi[i - 1, j - 1], (p - d**2) / p)


def test_random_subspaces_share_their_share():
    rng = np.random.default_rng(2)
    found = [
        subspace.similarity(rng.standard_normal((64, 4)), rng.standard_normal((64, 8)))
        for _ in range(300)
    ]
    expected = np.maximum(*(np.indices((4, 8)) + 1)) / 64
    np.testing.assert_allclose(np.mean(found, 0), expected, rtol=0.15)


@pytest.mark.parametrize(("rank", "printed"), [(4, 0.02), (64, 0.33)])
def test_chance_is_that_of_table_7(rank, printed):
    assert subspace.chance(61.95, rank, 12288, 12288) == pytest.approx(printed, abs=0.011)


def test_chance_is_what_random_directions_see():
    rng = np.random.default_rng(3)
    w = rng.standard_normal((48, 40))
    found = [
        subspace.amplification(w, rng.standard_normal((48, 40)), 4, 100 + i) for i in range(200)
    ]
    expected = subspace.chance(np.linalg.norm(w), 4, 48, 40)
    for name in ("through_update", "through_random"):
        rms = np.sqrt(np.mean([getattr(f, name) ** 2 for f in found]))
        assert rms == pytest.approx(expected, rel=0.05)


def test_amplification_of_a_known_update():
    """W weak along e0, the update strong there."""
    w = np.diag([0.5, 3.0, 2.0])
    update = np.zeros((3, 3))
    update[0, 0] = 5
    seen = subspace.amplification(w, update, 1)
    assert seen.through_update == pytest.approx(0.5)
    assert seen.through_itself == pytest.approx(3.0)
    assert seen.update == pytest.approx(5) and seen.factor == pytest.approx(10)
