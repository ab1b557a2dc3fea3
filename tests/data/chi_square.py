"""How far counts are from a law."""

import numpy as np


def chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    """How far counts are from expected ones, in standard deviations (Wilson and Hilferty)."""
    statistic, degrees = ((counts - expected) ** 2 / expected).sum(), counts.size - 1
    spread = 2 / (9 * degrees)
    return ((statistic / degrees) ** (1 / 3) - 1 + spread) / np.sqrt(spread)
