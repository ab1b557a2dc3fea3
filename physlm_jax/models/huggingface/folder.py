"""Folders of Hugging Face models: `config.json` with `model.safetensors`, read and written."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from physlm_jax.errors import InputError
from physlm_jax.files import write_text
from physlm_jax.models import paths, transformer
from physlm_jax.models.huggingface import families, layout, tensors
from physlm_jax.models.huggingface.families import Family
from physlm_jax.models.huggingface.settings import Settings
from physlm_jax.models.huggingface.tensors import Stored
from physlm_jax.models.lora.adapter import Adapter, attach
from physlm_jax.models.transformer import Params, TransformerConfig
from physlm_jax.models.weights import StandIn

CONFIG, WEIGHTS = "config.json", "model"


def load(folder: str | Path) -> tuple[TransformerConfig, Params]:
    """Returns the configuration and the float32 parameters of a model in a folder.

    Both work with all that takes those of `transformer.init`.

    Raises:
        InputError: a family or a setting that is not implemented; files that are cut short,
            lack arrays, have others or of another shape; pickles.
    """
    folder = Path(folder)
    settings = Settings(tensors.read_json(folder / CONFIG), folder / CONFIG)
    family = families.named(settings)
    config = family.read(settings)
    found = _relevant(family, config, tensors.open_folder(folder, WEIGHTS), folder)
    leaves: dict[paths.Path, Any] = {}
    for slot in layout.slots(config, family.modules(config)):
        layers = layout.layer_names(slot.name, slot.module.stacked, config.layers)
        parts = [slot.split(_checked(found[name], slot.shape)) for name in layers]
        for path, of_layers in zip(slot.leaves, zip(*parts, strict=True), strict=True):
            whole = np.stack(of_layers) if slot.module.stacked else of_layers[0]
            leaves[path] = jnp.asarray(whole)
    return config, paths.nested(leaves)


def _relevant(
    family: Family, config: TransformerConfig, found: dict[str, Stored], folder: Path
) -> dict[str, Stored]:
    """The arrays that make up the model, under their full names."""
    bare = not any(name.startswith(family.prefix) for name in found)
    if bare:
        found = {
            name if name.startswith(family.head) else family.prefix + name: found[name]
            for name in found
        }
    buffers = re.compile(re.escape(family.prefix) + family.buffers)
    found = {name: stored for name, stored in found.items() if not buffers.fullmatch(name)}
    slots = layout.slots(config, family.modules(config))
    head = f"{family.head}.weight"
    if config.tied and head in found:
        _check_tie(found.pop(head), found.get(slots[0].name))
    expected = [
        name
        for slot in slots
        for name in layout.layer_names(slot.name, slot.module.stacked, config.layers)
    ]
    tensors.compare(folder, found, expected)
    return found


def _check_tie(head: Stored, table: Stored | None) -> None:
    """The output map may be told twice, but not in two ways."""
    if table is None or not np.array_equal(head.read(), table.read()):
        raise InputError(
            f"{head.path}: {head.name} is not the embedding although config.json ties them; "
            "set tie_word_embeddings to false there"
        )


def _checked(stored: Stored, shape: tuple[int, ...]) -> np.ndarray:
    if stored.shape != shape:
        raise InputError(
            f"{stored.path}: {stored.name} has shape {stored.shape}, config.json makes it {shape}"
        )
    return stored.read()


def save(
    folder: str | Path,
    config: TransformerConfig,
    params: Params,
    *,
    bos: int | None = None,
    eos: int | None = None,
) -> str:
    """Writes a model as a folder that `transformers` opens; returns the family, as `model_type`.

    What the family always has and the model has not is written as zeros: biases, GPT-2's positions.

    Args:
        bos, eos: token ids that begin and end a string, where there are any.
    Raises:
        InputError: no family holds such a model; parameters of another model, with an adapter
            beside them (merge it first) or quantised; the folder cannot be written.
    """
    folder = Path(folder)
    family = families.holding(config)
    full = family.express(config)
    leaves = _filled(config, full, params)
    arrays: dict[str, np.ndarray] = {}
    for slot in layout.slots(full, family.modules(full)):
        parts = [leaves[path] for path in slot.leaves]
        names = layout.layer_names(slot.name, slot.module.stacked, config.layers)
        for layer, name in enumerate(names):
            arrays[name] = slot.join([p[layer] for p in parts] if slot.module.stacked else parts)
    tensors.write_file(folder / f"{WEIGHTS}.safetensors", arrays)
    values = {
        "model_type": family.name,
        "architectures": [family.architecture],
        **family.write(full),
        "bos_token_id": bos,
        "eos_token_id": eos,
        "torch_dtype": "float32",
    }
    write_text(folder / CONFIG, json.dumps(values, indent=2) + "\n")
    return family.name


def _filled(
    config: TransformerConfig, full: TransformerConfig, params: Params
) -> dict[paths.Path, np.ndarray]:
    """The parameters by path, zeros where `full` has more than `config`."""
    there = paths.flat(params)
    shapes = {path: leaf.shape for path, leaf in paths.flat(transformer.abstract(config)).items()}
    if any(isinstance(leaf, StandIn) for leaf in there.values()):
        raise InputError(
            "the parameters are not plain arrays: is an adapter beside them, lora.merge it first; "
            "are they quantised, quantisation.dequantised makes them plain"
        )
    if {path: leaf.shape for path, leaf in there.items()} != shapes:
        raise InputError("the parameters are not those of a model of this configuration")
    more = paths.flat(transformer.abstract(full))
    return {
        path: np.asarray(there[path], np.float32) if path in there else np.zeros(leaf.shape)
        for path, leaf in more.items()
    }


def logits(
    config: TransformerConfig,
    params: Params,
    input_ids: Any,
    adapter: Adapter | None = None,
) -> jax.Array:
    """Returns float32[B, T, V], the model's logits.

    Args:
        input_ids: int[B, T].
        adapter: put beside the parameters, as `lora.attach` does.
    Raises:
        InputError: ids of another shape or outside the vocabulary; rows that are too long.
    """
    ids = np.asarray(input_ids)
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(f"input_ids must be whole numbers [B, T], got {ids.dtype}{ids.shape}")
    if ids.shape[1] > config.max_length:
        raise InputError(f"rows of {ids.shape[1]} tokens: the model reads {config.max_length}")
    if ids.size and not (ids.min() >= 0 and ids.max() < config.vocab_size):
        raise InputError(f"input_ids must be in 0..{config.vocab_size - 1}")
    return _logits(config, attach(params, adapter) if adapter else params, ids.astype(np.int32))


@functools.partial(jax.jit, static_argnums=0)
def _logits(config: TransformerConfig, params: Params, ids: jax.Array) -> jax.Array:
    return transformer.apply(config, params, ids).logits
