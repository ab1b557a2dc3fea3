"""Parameters in, quantised parameters out: settings, checks, and the two methods."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from physlm_jax.errors import InputError, unknown
from physlm_jax.models.paths import Path, at, flat, nested
from physlm_jax.models.quantisation import calibration as calibrating
from physlm_jax.models.quantisation import grid
from physlm_jax.models.quantisation.gptq import gptq, inverse
from physlm_jax.models.quantisation.matrices import Matrix, check_plain, chosen
from physlm_jax.models.quantisation.standin import Quantised
from physlm_jax.models.transformer import Params, TransformerConfig

METHODS = ("nearest", "gptq")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How matrices are rounded, see `quantise`."""

    bits: int
    group: int
    symmetric: bool
    act_order: bool
    damping: float

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 2 <= self.bits <= 8:
            raise InputError(f"quantisation: bits must be 2 to 8, got {self.bits}")
        if type(self.group) is not int or self.group < 0:
            raise InputError(
                f"quantisation: group must be 0 or a number of inputs, got {self.group}"
            )
        if not (np.isfinite(self.damping) and self.damping > 0):
            raise InputError(f"quantisation: damping must be above 0, got {self.damping}")

    def gptq(self, gram: np.ndarray) -> calibrating.Encode:
        """Returns what turns arrays that read inputs with this Gram matrix into stand-ins."""
        inputs = inverse(gram, self.act_order, self.damping)

        def encode(matrix: Matrix, w: jax.Array) -> Quantised:
            group = self.group or matrix.fan_in
            found = gptq(matrix.unfolded(w), inputs, self.bits, self.symmetric, group)
            return _folded(self, matrix, *found)

        return encode


@functools.partial(jax.jit, static_argnums=(0, 1))
def _nearest(settings: Settings, matrix: Matrix, w: jax.Array) -> Quantised:
    """The stand-in of an array, each number rounded for itself."""
    group = settings.group or matrix.fan_in
    found = grid.nearest(matrix.unfolded(w), settings.bits, settings.symmetric, group)
    return _folded(settings, matrix, *found)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _folded(
    settings: Settings, matrix: Matrix, codes: jax.Array, scales: jax.Array, zeros: jax.Array
) -> Quantised:
    return matrix.folded(codes, scales, None if settings.symmetric else zeros, settings.bits)


def quantise(
    config: TransformerConfig,
    params: Params,
    bits: int = 8,
    method: str = "nearest",
    group: int = 0,
    *,
    symmetric: bool = True,
    which: str = "",
    calibration: Any = None,
    weights: Any = None,
    act_order: bool = False,
    damping: float = 0.01,
) -> Params:
    """Returns the parameters with matrices quantised, for all that takes parameters.

    Args:
        params: as of `transformer.init`; "nearest" may be mapped over models (`jax.vmap`).
        bits: of a code, 2 to 8; up to 4 are stored in int4, more in int8.
        method: "nearest" rounds every number for itself; "gptq" lets later inputs of a matrix make
            up for the errors of earlier ones, on calibration tokens. Tables of look-ups (embedding,
            positions) are rounded to nearest by both: an input of theirs is one row.
        group: neighbouring inputs that share a scale; 0: all inputs of an output. The outputs of a
            table are its rows.
        symmetric: the grid is; else it has a zero of its own.
        which: regular expression searched for in paths such as `blocks/attention/query/kernel` (all
            layers of it), `embedding`, `output/kernel`; default all kernels and tables. Call again
            with another pattern for matrices of other bits; `^blocks/` is what auto_gptq quantises.
        calibration: int[N, T], gptq's tokens: rows whose tokens see all before them.
        weights: [N, T], how much tokens of the calibration count; default all 1, padding 0.
        act_order: gptq takes inputs of large second moment first.
        damping: gptq's, in parts of the mean of the Gram matrix's diagonal.
    Raises:
        InputError: settings out of range or of another method; groups that do not divide the
            inputs; `which` finds nothing, or what is quantised or adapted already; calibration
            missing, of another shape or outside the vocabulary.
    Source: Part 3.3, result 8 (int8 and int4, calibrated on 1000 biographies); the settings of
        its GPTQ are not stated. Damping and blocks are those of GPTQ (section 4), grids ours.
    """
    if method not in METHODS:
        raise unknown("quantisation method", method, METHODS)
    if method != "gptq" and (calibration is not None or weights is not None or act_order):
        raise InputError("quantisation: calibration, weights and act_order are settings of 'gptq'")
    settings = Settings(bits, group, symmetric, act_order, damping)
    targets = chosen(config, which)
    for path, matrix in targets.items():
        check_plain(matrix, at(params, path))
        matrix.blocks(group or matrix.fan_in)
    rows = _rows(config, calibration, weights) if method == "gptq" else None
    kernels = {p: m for p, m in targets.items() if rows is not None and not m.is_table}
    params = _rounded(params, {p: m for p, m in targets.items() if p not in kernels}, settings)
    return calibrating.in_turn(config, params, kernels, rows, settings.gptq) if rows else params


def _rounded(params: Params, targets: dict[Path, Matrix], settings: Settings) -> Params:
    leaves = flat(params)
    return nested(
        leaves | {path: _nearest(settings, m, leaves[path]) for path, m in targets.items()}
    )


def _rows(config: TransformerConfig, calibration: Any, weights: Any) -> calibrating.Rows:
    """The calibration's pieces, checked."""
    if calibration is None:
        raise InputError("quantisation: 'gptq' needs calibration, tokens int[N, T]")
    tokens = np.asarray(calibration)
    if tokens.ndim != 2 or not tokens.size or not np.issubdtype(tokens.dtype, np.integer):
        raise InputError(
            f"quantisation: calibration must be tokens int[N, T], got {tokens.dtype}{tokens.shape}"
        )
    if tokens.shape[1] > config.max_length:
        raise InputError(
            f"quantisation: calibration has rows of {tokens.shape[1]} tokens, the model reads "
            f"{config.max_length}"
        )
    if tokens.min() < 0 or tokens.max() >= config.vocab_size:
        raise InputError(f"quantisation: calibration must be in 0..{config.vocab_size - 1}")
    counted = np.ones(tokens.shape) if weights is None else np.asarray(weights, np.float64)
    if counted.shape != tokens.shape or not (np.isfinite(counted) & (counted >= 0)).all():
        raise InputError(
            f"quantisation: weights must be 0 or more, of shape {tokens.shape}, got {counted.shape}"
        )
    if not counted.any():
        raise InputError("quantisation: weights are all 0: no calibration token counts")
    return calibrating.pieces(tokens, counted)
