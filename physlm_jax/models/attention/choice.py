"""Which back end computes an attention layer: by platform, by variant, or by the user's word.

A back end declares the platforms it runs on, what it honours, and what else it objects to. "auto"
takes the platform's own back end if that one has no objection, else `plain`, and says so once; an
explicit choice that cannot be honoured is an error.
"""

import functools
import logging
from collections.abc import Callable
from typing import NamedTuple

import jax

from physlm_jax.errors import InputError, unknown
from physlm_jax.models.attention import gpu, tpu
from physlm_jax.models.attention.cpu import manual
from physlm_jax.models.attention.unfused import plain
from physlm_jax.models.attention.visibility import Variant, Visibility

LOG = logging.getLogger("physlm_jax")
EVERYTHING = frozenset(
    {"causal", "bidirectional", "segments", "shift", "population", "window", "pairs"}
)


class Backend(NamedTuple):
    """One way to compute attention.

    Attributes:
        platforms: it runs on; () for all.
        honours: names of what can be asked of it (`visibility.asked`); all else is refused.
        objection: why it cannot compute a variant that asks for nothing else; None if it can.
        compute: (q, k, v, visibility) -> [B, T, H, K].
    """

    platforms: tuple[str, ...]
    honours: frozenset[str]
    objection: Callable[[Variant], str | None]
    compute: Callable[[jax.Array, jax.Array, jax.Array, Visibility], jax.Array]

    def refusal(self, platform: str, variant: Variant) -> str | None:
        """Returns why this back end cannot be used here, None if it can."""
        if self.platforms and platform not in self.platforms:
            return f"runs on {' and '.join(self.platforms)}, not on {platform}"
        if unheard := variant.asks - self.honours:
            return f"does not honour {', '.join(sorted(unheard))}"
        return self.objection(variant)


def _none(_: Variant) -> None:
    return None


def _plain(q: jax.Array, k: jax.Array, v: jax.Array, visibility: Visibility) -> jax.Array:
    return plain(q, k, v, visibility)[0]


TABLE = {
    "plain": Backend((), EVERYTHING, _none, _plain),
    "manual": Backend((), EVERYTHING, _none, manual),
    "cudnn": Backend(("gpu",), gpu.HONOURS, gpu.objection, gpu.cudnn),
    "splash": Backend(("tpu",), tpu.HONOURS, tpu.objection, tpu.splash),
}
OWN = {"cpu": "manual", "gpu": "cudnn", "tpu": "splash"}  # platform -> its fast back end
BACKENDS = ("auto", *TABLE)


@functools.cache
def resolve(backend: str, platform: str, variant: Variant) -> str:
    """Returns the name of the back end to use; what "auto" came to is logged once.

    Args:
        backend: one of `BACKENDS`.
        platform: of the devices that will run it: "cpu", "gpu" (or "cuda"), "tpu".
    Raises:
        InputError: no such back end, or an explicit choice that cannot be honoured here.
    """
    if backend not in BACKENDS:
        raise unknown("attention back end", backend, BACKENDS, "model.attention")
    platform = "gpu" if platform == "cuda" else platform
    if backend != "auto":
        if reason := TABLE[backend].refusal(platform, variant):
            raise InputError(
                f"model.attention '{backend}' cannot be used here: it {reason}; "
                f"choose 'auto' or 'plain'"
            )
        return backend
    own = OWN.get(platform)
    if own is None:
        return _said("plain", f"{platform} has no back end of its own")
    reason = TABLE[own].refusal(platform, variant)
    return _said("plain", f"{own} {reason}") if reason else _said(own, platform)


@functools.cache
def _said(chosen: str, why: str) -> str:
    LOG.info("attention back end: %s (%s)", chosen, why)
    return chosen


def attend(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    visibility: Visibility,
    *,
    backend: str,
    platform: str = "",
    with_weights: bool = False,
) -> tuple[jax.Array, jax.Array | None]:
    """Attention by the chosen back end; the weights, when asked for, come from `plain`.

    Args:
        platform: of the devices compiled for; "" for that of the context's mesh, or JAX's default.
    Returns:
        [B, T, H, K] in the dtype of q; weights float32[B, H, T, S] if asked, else None.
    Raises:
        InputError: as `resolve`.
    """
    if with_weights:
        return plain(q_BTHK, k_BSGK, v_BSGK, visibility, with_weights)
    variant = Variant.of(q_BTHK, k_BSGK, visibility)
    name = resolve(backend, platform or _platform(), variant)
    return TABLE[name].compute(q_BTHK, k_BSGK, v_BSGK, visibility), None


def _platform() -> str:
    """Of the context's mesh, which may be of abstract devices; else JAX's default."""
    device = getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None)
    return device.platform if device else jax.default_backend()
