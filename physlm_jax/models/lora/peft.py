"""Adapters in PEFT's format: `adapter_config.json` with `adapter_model.safetensors`, in and out.

Missing and surplus arrays are errors here: the library itself goes on with a warning, and the
adapter then does nothing where an array is missing.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from physlm_jax.errors import InputError
from physlm_jax.files import write_text
from physlm_jax.models.huggingface import families, tensors
from physlm_jax.models.huggingface.tensors import Stored
from physlm_jax.models.lora import interchange, peft_settings
from physlm_jax.models.lora.adapter import Adapter, LowRank, walk
from physlm_jax.models.lora.interchange import Pieces, Place, Update
from physlm_jax.models.lora.peft_settings import PeftSettings
from physlm_jax.models.transformer import Params, TransformerConfig

PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model"
MAGNITUDE = ".lora_magnitude_vector"


def load_peft(folder: str | Path, config: TransformerConfig, params: Params) -> Adapter:
    """Returns an adapter of PEFT's as one of ours, for `lora.attach` and `lora.merge`.

    Args:
        config, params: of the base, as `huggingface.load` returns them.
    Raises:
        InputError: a kind of adapter or a setting that is not implemented; arrays that are missing,
            left over or of another shape; a damaged file; a pickle.
    """
    folder = Path(folder)
    settings = peft_settings.read(folder / CONFIG)
    wanted = _targeted(settings, config)
    found = _adapter_arrays(tensors.open_folder(folder, WEIGHTS), config)
    keys = {place.name: _keys(place, settings.use_dora) for place in wanted}
    tensors.compare(folder, found, [key for each in keys.values() for key in each])
    pieces: Pieces = {}
    for place in wanted:
        interchange.add(pieces, place, _update(settings, place, keys[place.name], found))
    return interchange.gather(config, pieces, settings.lora_dropout, params)


def _targeted(settings: PeftSettings, config: TransformerConfig) -> list[Place]:
    """The matrices that the settings name."""
    wanted = []
    for place in interchange.places(config):
        linear = not (place.is_table or place.is_head)
        for name in dict.fromkeys((place.name, place.slot.module.name.format(place.layer))):
            if settings.targets(name, linear):
                wanted.append(dataclasses.replace(place, name=name))
                break
    heads = {families.holding(config).head, "lm_head"} if config.tied else set()
    if named := [head for head in sorted(heads) if settings.targets(head, False)]:
        raise InputError(
            f"{settings.path}: an adapter of {named[0]}, which is tied to the embedding: not "
            "implemented (untie the model first)"
        )
    if not wanted:
        raise InputError(f"{settings.path}: target_modules match no module of the model")
    tables = [place.name for place in wanted if place.is_table]
    if tables and settings.use_dora:
        raise InputError(
            f"{settings.path}: use_dora for an embedding ({tables[0]}): not implemented"
        )
    return wanted


def _adapter_arrays(found: Mapping[str, Stored], config: TransformerConfig) -> dict[str, Stored]:
    """All but the copies of the base's tables that PEFT saves beside an adapter of theirs."""
    tables = [place.name for place in interchange.places(config) if place.layer is None]
    copies = {f"{PREFIX}{name}.base_layer.weight" for name in tables}
    return {
        key.removesuffix(".weight") if key.endswith(MAGNITUDE + ".weight") else key: stored
        for key, stored in found.items()
        if key not in copies
    }


def _keys(place: Place, dora: bool) -> list[str]:
    """Keys of A, B and, with DoRA, the magnitudes."""
    name = PREFIX + place.name
    if place.is_table:
        return [f"{name}.lora_embedding_{factor}" for factor in "AB"]
    return [f"{name}.lora_{f}.weight" for f in "AB"] + ([name + MAGNITUDE] if dora else [])


def _update(
    settings: PeftSettings, place: Place, keys: Sequence[str], found: Mapping[str, Stored]
) -> Update:
    rank, (outputs, inputs) = settings.rank(place.name), place.size
    shapes = [(rank, inputs), (outputs, rank), (outputs,)]
    for key, shape in zip(keys, shapes, strict=False):
        if found[key].shape != shape:
            raise InputError(
                f"{found[key].path}: {key} has shape {found[key].shape}; rank {rank} and the model "
                f"make it {shape}"
            )
    return Update(
        found[keys[0]].read(),
        found[keys[1]].read(),
        settings.scale(place.name),
        found[keys[2]].read() if len(keys) > 2 else None,
    )


def save_peft(folder: str | Path, config: TransformerConfig, adapter: Adapter) -> None:
    """Writes an adapter as a folder that PEFT opens on the base that `huggingface.save` writes.

    Ranks and scales that differ are written as patterns; a scale of any kind as alpha / R.

    Raises:
        InputError: parameters trained in full; DoRA of some matrices only, or beside an embedding;
            an adapter of another model; the folder cannot be written.
    """
    folder = Path(folder)
    updates = interchange.scatter(config, adapter)
    if not updates:
        raise InputError("the adapter changes nothing: there is nothing to write")
    dora = _is_dora(updates)
    arrays: dict[str, np.ndarray] = {}
    for place, update in updates:
        each = [update.a, update.b, update.magnitude]
        for key, array in zip(_keys(place, dora), each, strict=False):
            if array is not None:
                arrays[key] = array
    tensors.write_file(folder / f"{WEIGHTS}.safetensors", arrays)
    values = _settings(config, updates, dora, _dropout(adapter))
    write_text(folder / CONFIG, json.dumps(values, indent=2) + "\n")


def _is_dora(updates: Sequence[tuple[Place, Update]]) -> bool:
    """PEFT has one switch for all modules."""
    plain = [place.name for place, update in updates if update.magnitude is None]
    if plain and len(plain) < len(updates):
        raise InputError(f"DoRA in some matrices and not in {plain[0]}: not implemented by PEFT")
    return not plain


def _dropout(adapter: Adapter) -> float:
    """What all kernels agree on; it matters to further training alone."""
    leaves = [leaf for path, leaf in walk(adapter) if path[-1] == "kernel"]
    shares = {leaf.dropout for leaf in leaves if isinstance(leaf, LowRank)}
    return shares.pop() if len(shares) == 1 else 0.0


def _settings(
    config: TransformerConfig,
    updates: Sequence[tuple[Place, Update]],
    dora: bool,
    dropout: float,
) -> dict[str, object]:
    """The values of `adapter_config.json`."""
    ranks = {place.name: len(update.a) for place, update in updates}
    alphas = {place.name: _alpha(update) for place, update in updates}
    rank, alpha = (Counter(each.values()).most_common(1)[0][0] for each in (ranks, alphas))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "rank_pattern": {name: r for name, r in ranks.items() if r != rank},
        "alpha_pattern": {name: a for name, a in alphas.items() if a != alpha},
        "target_modules": _names(config, updates),
        "use_dora": dora,
        "use_rslora": False,
        "bias": "none",
        "fan_in_fan_out": any(place.slot.module.kind == "conv1d" for place, _ in updates),
        "init_lora_weights": True,
        "modules_to_save": None,
        "layers_to_transform": None,
        "layers_pattern": None,
    }


def _alpha(update: Update) -> float:
    """scale * R, whole where that is the same number in float32."""
    rank = len(update.a)
    alpha = update.scale * rank
    same = np.float32(round(alpha) / rank) == np.float32(update.scale)
    return round(alpha) if same else alpha


def _names(config: TransformerConfig, updates: Sequence[tuple[Place, Update]]) -> list[str]:
    """Ends of names where every layer is adapted, else whole names."""
    layers = Counter(place.slot.module.name for place, _ in updates)
    names = set()
    for place, _ in updates:
        module = place.slot.module
        everywhere = module.stacked and layers[module.name] == config.layers
        names.add(module.name.rpartition("{}.")[2] if everywhere else place.name)
    return sorted(names)
