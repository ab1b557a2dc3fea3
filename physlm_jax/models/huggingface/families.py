"""The families of models that can be read and written, and which one holds a model of ours."""

from collections.abc import Callable
from typing import Any, NamedTuple

from physlm_jax.errors import InputError, unknown
from physlm_jax.models.huggingface import gpt2, gpt_neox, llama
from physlm_jax.models.huggingface.layout import Module
from physlm_jax.models.huggingface.settings import Settings
from physlm_jax.models.transformer import TransformerConfig


class Family(NamedTuple):
    """One `model_type`.

    Attributes:
        name: the `model_type`.  architecture: the class that opens it.
        prefix: of the keys of all but the output map; files of the bare model leave it out.
        head: the module of the output map, which is not in a file where it is tied.
        buffers: regular expression of keys, without the prefix, that hold no parameters.
        read, write: configuration from and to the values of a `config.json`.
        objections: what of a configuration it cannot hold, in words.
        express: a configuration that it can hold with all that it always has.
        modules: of a model.
    """

    name: str
    architecture: str
    prefix: str
    head: str
    buffers: str
    read: Callable[[Settings], TransformerConfig]
    write: Callable[[TransformerConfig], dict[str, Any]]
    objections: Callable[[TransformerConfig], list[str]]
    express: Callable[[TransformerConfig], TransformerConfig]
    modules: Callable[[TransformerConfig], list[Module]]


def _family(name: str, architecture: str, room: Any, read: Any, write: Any, no: Any) -> Family:
    shared = room.PREFIX, room.HEAD, room.BUFFERS
    return Family(name, architecture, *shared, read, write, no, room.express, room.modules)


_MISTRAL = llama.read_mistral, llama.write_mistral, llama.mistral_objections
FAMILIES = {
    family.name: family
    for family in (
        _family("gpt2", gpt2.ARCHITECTURE, gpt2, gpt2.read, gpt2.write, gpt2.objections),
        _family(
            "gpt_neox",
            gpt_neox.ARCHITECTURE,
            gpt_neox,
            gpt_neox.read,
            gpt_neox.write,
            gpt_neox.objections,
        ),
        _family(
            "llama",
            "LlamaForCausalLM",
            llama,
            llama.read_llama,
            llama.write_llama,
            llama.llama_objections,
        ),
        _family("mistral", "MistralForCausalLM", llama, *_MISTRAL),
    )
}


def named(settings: Settings) -> Family:
    """Returns the family that a `config.json` names.

    Raises:
        InputError: one that is not implemented, or a quantised model.
    """
    name = settings.get("model_type", "")
    if name not in FAMILIES:
        raise unknown("model_type", name, FAMILIES, str(settings.path))
    if settings.get("quantization_config"):
        raise InputError(f"{settings.path}: quantization_config: quantised models: not implemented")
    return FAMILIES[name]


def holding(config: TransformerConfig) -> Family:
    """Returns the first family that holds models of a configuration.

    Raises:
        InputError: none does; what stands in each one's way is told.
    """
    reasons = []
    for family in FAMILIES.values():
        against = family.objections(config)
        if not against:
            return family
        reasons.append(f"{family.name} has no {', '.join(against)}")
    raise InputError(f"no Hugging Face format holds this model: {'; '.join(reasons)}")
