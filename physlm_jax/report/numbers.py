"""Numbers as people read them: as many digits as the interval warrants, and no more."""

from __future__ import annotations

import math

import numpy as np

from physlm_jax.studies.exhibits import Figure

MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"


def decimals(figure: Figure) -> int:
    """Returns the decimal places to show, by the interval's half-width.

    Two of its digits up to 35, one from 36 on (0.21 stays 0.21, 0.85 becomes 0.9), as the Particle
    Data Group rounds. Without an interval: four digits of the value, at most two decimals from 1.
    """
    if figure.low is not None and figure.high is not None and figure.high > figure.low:
        return _places((figure.high - figure.low) / 2 / 3.55, 1)
    return min(_places(figure.value, 4), 2 if abs(figure.value) >= 1 else 7)


def _places(size: float, digits: int) -> int:
    if not math.isfinite(size) or size == 0:
        return 0 if size == 0 else digits
    return min(7, max(0, digits - 1 - math.floor(math.log10(abs(size)))))


def fixed(value: float, places: int, signed: bool = False) -> str:
    """Returns the value with `places` decimals, a true minus sign and thousands in groups."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "∞" if value > 0 else f"{MINUS}∞"
    text = f"{abs(value):,.{places}f}".replace(",", THIN)
    zero = not text.strip("0." + THIN)
    sign = MINUS if value < 0 else "+" if signed else ""
    return text if zero else sign + text


def plain(value: float) -> str:
    """Returns a number given by others with the digits it came with: 99.8, .00008."""
    if not math.isfinite(value) or abs(value) >= 1e15:
        return fixed(value, 0)
    text = np.format_float_positional(value, trim="-")
    return fixed(value, len(text.partition(".")[2]))


def interval(figure: Figure, places: int) -> str:
    """Returns 'low to high', or '' where there is no interval."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{fixed(figure.low, places)} to {fixed(figure.high, places)}"


def with_unit(text: str, unit: str) -> str:
    """Returns the number's text followed by its unit, kept on one line."""
    return f"{text}{THIN}{unit}" if unit else text


def compact(value: float) -> str:
    """Returns a label for an axis or a bar: 2.5M, 40k, 0.004, 1e−7."""
    size = abs(value)
    for scale, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= scale:
            return _short(value / (1e3 if letter == "k" else scale)) + letter
    return _short(value)


def _short(value: float) -> str:
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e").replace("-", MINUS)
