"""How an adapter is laid out over devices: derived from its base, the rank never cut."""

from physlm_jax.models import transformer
from physlm_jax.models.lora.adapter import STACKED, Adapter, LowRank, apply_to
from physlm_jax.models.transformer import Params, TransformerConfig


def axes(config: TransformerConfig, adapter: Adapter) -> Params:
    """Returns the adapter's tree with the logical names of every array's axes.

    The sum over an input axis that is cut over devices then meets at the rank: R numbers a token
    travel instead of a whole output.

    Args:
        adapter: arrays, or their shapes.
    """
    found: Params = {}
    named = transformer.axes(config)

    def note(path: tuple[str, ...], names: tuple[str, ...], leaf: object) -> tuple[str, ...]:
        folder = found
        for name in path[:-1]:
            folder = folder.setdefault(name, {})
        folder[path[-1]] = _names(path, names, leaf)
        return names

    apply_to(named, adapter, note)
    return found


def _names(path: tuple[str, ...], names: tuple[str, ...], leaf: object) -> object:
    if not isinstance(leaf, LowRank):
        return names
    inputs = leaf.down.ndim - 1  # with the layers
    lead = names[: int(path[0] == STACKED)]
    return LowRank(
        (*names[:inputs], "rank"),
        (*lead, "rank", *names[inputs:]),
        None if leaf.magnitude is None else (*lead, *names[inputs:]),
        leaf.scale,
        leaf.dropout,
        leaf.tied,
    )
