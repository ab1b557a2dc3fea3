"""Adapters of `loralib`, the LoRA paper's own package: a state dict filtered to `lora_` arrays.

It stores neither alpha nor which parts of a fused matrix are adapted: the caller tells both. The
package saves torch pickles; save the filtered dict as safetensors, or hand it over as NumPy arrays.

Source: https://github.com/microsoft/LoRA, `loralib/layers.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from physlm_jax.errors import InputError
from physlm_jax.models.huggingface import tensors
from physlm_jax.models.lora import interchange
from physlm_jax.models.lora.adapter import Adapter
from physlm_jax.models.lora.interchange import Pieces, Place, Update
from physlm_jax.models.transformer import TransformerConfig


def load_loralib(
    source: str | Path | Mapping[str, Any],
    config: TransformerConfig,
    alpha: float,
    enabled: Sequence[bool] = (True, False, True),
) -> Adapter:
    """Returns an adapter of loralib's as one of ours; ranks are read off the shapes.

    Args:
        source: a safetensors file, or arrays by name: `<module>.lora_A` and `<module>.lora_B`.
        config: of the base, as `huggingface.load` returns it.
        alpha: of the scale alpha / R.
        enabled: which of query, key and value a fused matrix adapts (`enable_lora`).
    Raises:
        InputError: arrays that are missing, left over, of no known module or of wrong shapes.
    """
    arrays = _arrays(source)
    every = {place.name: place for place in interchange.places(config)}
    names = sorted({name.rpartition(".lora_")[0] for name in arrays} & set(every))
    where = "the arrays" if isinstance(source, Mapping) else source
    tensors.compare(where, arrays, [f"{name}.lora_{factor}" for name in names for factor in "AB"])
    if not names:
        raise InputError(f"{where}: no adapter in it")
    pieces: Pieces = {}
    for name in names:
        a, b = (arrays[f"{name}.lora_{factor}"] for factor in "AB")
        _add(pieces, every[name], a, b, alpha, tuple(enabled))
    return interchange.gather(config, pieces)


def _arrays(source: str | Path | Mapping[str, Any]) -> dict[str, np.ndarray]:
    if isinstance(source, Mapping):
        return {name: np.asarray(array, np.float32) for name, array in source.items()}
    return {name: stored.read() for name, stored in tensors.open_file(Path(source)).items()}


def _add(
    pieces: Pieces,
    place: Place,
    a: np.ndarray,
    b: np.ndarray,
    alpha: float,
    enabled: tuple[bool, ...],
) -> None:
    """Adds one module's pair: of the whole matrix, or of the enabled parts in groups."""
    outputs, inputs = place.size
    rank = b.shape[1] if b.ndim == 2 else 0
    if rank and a.shape == (rank, inputs) and b.shape == (outputs, rank):
        interchange.add(pieces, place, Update(a, b, alpha / rank))
        return
    parts, count = place.parts, sum(enabled)
    fused = len(parts) > 1 and len(enabled) == len(parts) and not place.slot.module.by_head
    grouped = (count * rank, inputs), (outputs // len(parts) * count, rank)
    if not (rank and fused and (a.shape, b.shape) == grouped):
        raise InputError(
            f"{place.name}: lora_A {a.shape} and lora_B {b.shape} are no update of a matrix of "
            f"{outputs} outputs and {inputs} inputs with enabled={enabled}"
        )
    paths = [path for path, on in zip(place.slot.leaves, enabled, strict=True) if on]
    groups = zip(paths, np.split(a, count), np.split(b, count), strict=True)
    for path, down, up in groups:
        pieces.setdefault(path, {})[place.layer] = Update(down, up, alpha / rank)
