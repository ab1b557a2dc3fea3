"""What an adapter learned: which directions two adapters share, what an update amplifies.

Source: LoRA, arXiv 2106.09685, sections 7.2 and 7.3, appendices G and H.
"""

from typing import NamedTuple

import numpy as np


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns phi(i, j), float64[r_a, r_b], in 0..1: how much of two subspaces is one.

    phi(i, j) = ||U_a^i^T U_b^j||_F^2 / min(i, j), where U^i are the first i directions of the
    input side, by singular value. Random subspaces of R^d have max(i, j) / d on average.

    Args:
        a, b: `down` factors of one matrix, [d, r] each (reshape several input axes to one).
    """
    u, v = (np.linalg.svd(np.asarray(x, np.float64), full_matrices=False)[0] for x in (a, b))
    overlap = np.square(u.T @ v).cumsum(0).cumsum(1)
    i, j = np.indices(overlap.shape) + 1
    return overlap / np.minimum(i, j)


class Amplification(NamedTuple):
    """Norms of W seen through r directions (table 7).

    Attributes:
        through_update, through_itself, through_random: ||U^T W V||_F, with the directions of the
            update, of W, of a random matrix.
        update: ||dW||_F.  factor: update / through_update.
    """

    through_update: float
    through_itself: float
    through_random: float
    update: float
    factor: float


def amplification(w: np.ndarray, update: np.ndarray, rank: int, seed: int = 0) -> Amplification:
    """Returns how much of W lies in the directions of an update, against W's own and chance.

    Args:
        w, update: [d_in, d_out] both; the update of rank `rank`.
        seed: of the random matrix.
    """
    noise = np.random.default_rng(seed).standard_normal(w.shape)
    whole = np.asarray(w, np.float64)
    through, itself, random = (_through(whole, x, rank) for x in (update, whole, noise))
    size = float(np.linalg.norm(update))
    return Amplification(through, itself, random, size, size / through)


def chance(norm: float, rank: int, inputs: int, outputs: int) -> float:
    """Returns the root mean square of ||U^T W V||_F over random frames: r ||W|| / sqrt(d d')."""
    return rank * norm / (inputs * outputs) ** 0.5


def _through(w: np.ndarray, directions: np.ndarray, rank: int) -> float:
    u, _, vt = np.linalg.svd(np.asarray(directions, np.float64), full_matrices=False)
    return float(np.linalg.norm(u[:, :rank].T @ w @ vt[:rank].T))
