"""Folders of Hugging Face models: against transformers where it is installed, and alone."""

import jax
import numpy as np
import pytest
import torch_models
from our_models import OURS, arrays, made

from physlm_jax.errors import InputError
from physlm_jax.models import huggingface
from physlm_jax.models.huggingface import families, tensors

IDS = torch_models.IDS


@pytest.fixture
def folder(tmp_path):
    """A GPT-2 as `save` writes it."""
    huggingface.save(tmp_path / "m", *made(position="learned"))
    return tmp_path / "m"


def equal(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.mark.parametrize("name", torch_models.MODELS)
def test_logits_are_the_originals_both_ways(name, tmp_path):
    model = torch_models.make(name)
    model.save_pretrained(tmp_path / "theirs")
    config, params = huggingface.load(tmp_path / "theirs")
    expected = torch_models.logits(model)
    np.testing.assert_allclose(huggingface.logits(config, params, IDS), expected, atol=1e-4)
    huggingface.save(tmp_path / "ours", config, params)
    back = torch_models.opened(tmp_path / "ours")
    np.testing.assert_allclose(torch_models.logits(back), expected, atol=1e-5)


def test_sharded_and_half_precision_files_are_read(tmp_path):
    model = torch_models.make("llama")
    import torch

    model.to(torch.bfloat16).save_pretrained(tmp_path, max_shard_size="4KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    found = huggingface.logits(*huggingface.load(tmp_path), IDS)
    np.testing.assert_allclose(found, torch_models.logits(torch_models.opened(tmp_path)), atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"bias": False, "tied": False},
        {"position": "none", "bias": False},
        {"rotary_fraction": 0.7, "attention_bias": False, "bias": True},
        {"parallel": True, "bias": False, "attention_bias": True},
    ],
)
def test_what_a_family_always_has_is_written_as_zeros(changes, tmp_path):
    config, params = made(**changes)
    expected = huggingface.logits(config, params, IDS)
    huggingface.save(tmp_path, config, params)
    found = huggingface.logits(*huggingface.load(tmp_path), IDS)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    pytest.importorskip("transformers")
    back = torch_models.opened(tmp_path)
    np.testing.assert_allclose(torch_models.logits(back), expected, atol=1e-4)


@pytest.mark.parametrize("name", OURS)
def test_what_is_saved_is_loaded_with_the_same_bits(name, tmp_path):
    config, params = made(**OURS[name])
    assert huggingface.save(tmp_path, config, params) == name.split()[0]
    again, loaded = huggingface.load(tmp_path)
    assert again == config and equal(loaded, params)


def test_the_layout_of_fused_matrices_by_hand(tmp_path):
    """GPT-2: [inputs, q | k | v]; GPT-NeoX: rows head by head, q, k, v within each."""
    config, params = made(position="learned")
    huggingface.save(tmp_path / "a", config, params)
    stored = arrays(tmp_path / "a")
    attention, layer = params["blocks"]["attention"], 1
    fused = stored[f"transformer.h.{layer}.attn.c_attn.weight"]
    key = attention["key"]["kernel"][layer]
    for head in range(4):
        columns = slice(16 + 4 * head, 16 + 4 * head + 4)
        np.testing.assert_array_equal(fused[:, columns], key[:, head])
    config, params = made()
    huggingface.save(tmp_path / "b", config, params)
    stored = arrays(tmp_path / "b")
    rows = stored[f"gpt_neox.layers.{layer}.attention.query_key_value.weight"]
    bias = stored[f"gpt_neox.layers.{layer}.attention.query_key_value.bias"]
    value = params["blocks"]["attention"]["value"]
    for head in range(4):
        place = slice(12 * head + 8, 12 * head + 12)
        np.testing.assert_array_equal(rows[place], value["kernel"][layer][:, head].T)
        np.testing.assert_array_equal(bias[place], value["bias"][layer, head])
    dense = stored[f"gpt_neox.layers.{layer}.attention.dense.weight"]
    out = params["blocks"]["attention"]["out"]["kernel"][layer]
    np.testing.assert_array_equal(dense[:, 4 * 2 + 1], out[2, 1])


def test_files_of_the_bare_model_with_masks_and_a_second_output_map(folder):
    config, params = huggingface.load(folder)
    bare = {n.removeprefix("transformer."): a for n, a in arrays(folder).items()}
    bare["h.0.attn.bias"] = np.tril(np.ones((1, 1, 16, 16)))
    bare["lm_head.weight"] = bare["wte.weight"]
    tensors.write_file(folder / "model.safetensors", bare)
    again, loaded = huggingface.load(folder)
    assert again == config and equal(loaded, params)
    bare["lm_head.weight"] = bare["wte.weight"] + 1
    tensors.write_file(folder / "model.safetensors", bare)
    with pytest.raises(InputError, match=r"lm_head.weight is not the embedding"):
        huggingface.load(folder)


@pytest.mark.parametrize("ids", [[1, 2], [[1.0]], [[23]], [[-1]], [[0] * 17]])
def test_token_ids_that_do_not_fit_are_refused(ids):
    with pytest.raises(InputError, match=r"input_ids must be|rows of 17"):
        huggingface.logits(*made(), ids)


def test_a_loaded_model_decodes(folder):
    from physlm_jax.data.ragged import Ragged
    from physlm_jax.decoding.interface import transformer_sampler

    config, params = huggingface.load(folder)
    sample = transformer_sampler(config, params, stop=1, temperature=0.0)
    out = sample(Ragged.from_sequences([[0, 5], [0, 7, 3]]), 0)
    for row, prompt in ((0, 2), (1, 3)):
        known = out.tokens[row, : out.lengths[row]]
        best = huggingface.logits(config, params, known[None]).argmax(-1)[0]
        np.testing.assert_array_equal(known[prompt:], best[prompt - 1 : -1])


def test_every_family_is_tried_in_both_directions():
    assert {name.split()[0] for name in OURS} == set(families.FAMILIES)
