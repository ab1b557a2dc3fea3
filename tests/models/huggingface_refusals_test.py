"""Damaged folders and settings that are not implemented: refused, in one line, by name."""

import dataclasses
import json
import struct

import jax
import ml_dtypes
import numpy as np
import pytest
from our_models import LLAMA, OURS, arrays, change, made

from physlm_jax.errors import InputError
from physlm_jax.models import huggingface, lora
from physlm_jax.models.huggingface import tensors


@pytest.fixture
def folder(tmp_path):
    """A GPT-2 as `save` writes it."""
    huggingface.save(tmp_path / "m", *made(position="learned"))
    return tmp_path / "m"


def test_the_files_are_the_format_of_the_safetensors_package(folder, tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    ours, theirs = arrays(folder), package.load_file(folder / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    package.save_file(
        {"x": np.arange(6, dtype=np.float16).reshape(2, 3), "y": np.ones(3)}, tmp_path / "f"
    )
    found = {name: stored.read() for name, stored in tensors.open_file(tmp_path / "f").items()}
    assert np.array_equal(found["x"], np.arange(6).reshape(2, 3)) and found["y"].sum() == 3


def test_bfloat16_is_read_without_any_package(tmp_path):
    values = np.array([[1.5, -2.0]], ml_dtypes.bfloat16)
    header = json.dumps({"x": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}}).encode()
    whole = struct.pack("<Q", len(header)) + header + values.tobytes()
    (tmp_path / "f").write_bytes(whole)
    found = tensors.open_file(tmp_path / "f")["x"].read()
    assert found.dtype == np.float32 and found.tolist() == [[1.5, -2.0]]


def test_a_file_cut_at_any_place_or_with_more_in_it_is_refused(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for cut in [0, 7, 8, 100, 2000, *np.random.default_rng(0).integers(0, len(whole), 20), -1]:
        path.write_bytes(whole[: int(cut)])
        with pytest.raises(InputError, match=r"cut short"):
            huggingface.load(folder)
    path.write_bytes(whole + b"x")
    with pytest.raises(InputError, match=r"there is more in it"):
        huggingface.load(folder)


@pytest.mark.parametrize(
    "header",
    [
        b"[1]",
        b"not json",
        b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}',
        b'{"x": {"shape": [1], "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": "0"}}',
    ],
)
def test_a_damaged_header_is_refused(header, tmp_path):
    (tmp_path / "f").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    with pytest.raises(InputError, match=r"header is damaged"):
        tensors.open_file(tmp_path / "f")


def test_missing_and_surplus_arrays_are_both_told(folder):
    stored = arrays(folder)
    stored["transformer.h.0.attn.extra"] = stored.pop("transformer.h.1.ln_1.bias")
    tensors.write_file(folder / "model.safetensors", stored)
    with pytest.raises(InputError, match=r"missing .*h.1.ln_1.bias; surplus .*attn.extra") as error:
        huggingface.load(folder)
    assert "\n" not in str(error.value)


def test_an_array_of_another_shape_is_refused(folder):
    stored = arrays(folder)
    stored["transformer.wpe.weight"] = stored["transformer.wpe.weight"][:5]
    tensors.write_file(folder / "model.safetensors", stored)
    with pytest.raises(InputError, match=r"wpe.weight has shape \(5, 16\).*\(16, 16\)"):
        huggingface.load(folder)


def test_integer_arrays_are_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"', 1))
    with pytest.raises(InputError, match=r"of type I32; quantised"):
        huggingface.load(folder)


def test_a_pickle_is_never_loaded(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model.bin alone, a pickle"):
        huggingface.load(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match=r"holds no model.safetensors"):
        huggingface.load(folder)


def test_an_index_that_lies_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    names = list(tensors.open_file(folder / "part.safetensors"))
    index = folder / "model.safetensors.index.json"

    def load(placed):
        index.write_text(json.dumps({"weight_map": placed}))
        return huggingface.load(folder)

    assert load(dict.fromkeys(names, "part.safetensors"))[0].layers == 2
    for placed, message in (
        ({}, r"no 'weight_map'"),
        ({"x": "../part.safetensors"}, r"outside its folder"),
        ({"x": "gone.safetensors"}, r"no file .*gone"),
        ({"x": "part.safetensors"}, r"lists x, which no file"),
    ):
        with pytest.raises(InputError, match=message):
            load(placed)


GPT2, NEOX, MADE_LLAMA = OURS["gpt2"], OURS["gpt_neox"], OURS["llama"]
ROPE = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}


@pytest.mark.parametrize(
    ("ours", "values", "message"),
    [
        (GPT2, {"model_type": "gptj"}, r"unknown model_type 'gptj'.*known: gpt2, gpt_neox, llama"),
        (GPT2, {"scale_attn_by_inverse_layer_idx": True}, r"scale_attn_by_inverse_layer_idx"),
        (GPT2, {"scale_attn_weights": False}, r"scale_attn_weights = False is not implemented"),
        (GPT2, {"add_cross_attention": True}, r"add_cross_attention"),
        (GPT2, {"activation_function": "relu"}, r"unknown activation_function 'relu'"),
        (GPT2, {"quantization_config": {"bits": 4}}, r"quantised"),
        (GPT2, {"n_embd": None}, r"has no 'n_embd'"),
        (GPT2, {"n_embd": "16"}, r"'n_embd' must be a whole number"),
        (GPT2, {"n_head": 3}, r"not a multiple of model.heads"),
        (NEOX, {"hidden_act": "silu"}, r"unknown hidden_act 'silu'"),
        (NEOX, {"rope_scaling": {"type": "dynamic", "factor": 2}}, r"scaled by 'dynamic'"),
        (NEOX, {"rope_parameters": {"partial_rotary_factor": 0.8}}, r"turns 3 dimensions"),
        (MADE_LLAMA, {"rope_parameters": ROPE}, r"scaled by 'linear' are not implemented"),
        (MADE_LLAMA, {"rope_scaling": {"rope_type": "llama3"}}, r"scaled by 'llama3'"),
        (MADE_LLAMA, {"rope_parameters": {"full_attention": {}}}, r"differ by layer"),
        (MADE_LLAMA, {"hidden_act": "gelu"}, r"hidden_act = 'gelu' is not implemented"),
        (MADE_LLAMA, {"rms_norm_eps": "small"}, r"'rms_norm_eps' must be a number"),
        (OURS["mistral"], {"layer_types": ["full_attention"]}, r"layer_types"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(ours, values, message, tmp_path):
    huggingface.save(tmp_path, *made(**ours))
    change(tmp_path, **values)
    with pytest.raises(InputError, match=message) as error:
        huggingface.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "config"),
    [
        ({"rope_parameters": None, "rope_theta": 7.0}, {"rotary_base": 7.0}),
        ({"rope_parameters": None, "rope_theta": None}, {"rotary_base": 10000.0}),
        ({"rope_scaling": {"type": "default", "rope_theta": 3.0}}, {"rotary_base": 3.0}),
        ({"num_key_value_heads": 2, "head_dim": None}, {"kv_heads": 2, "head_dim": 0}),
    ],
)
def test_older_ways_of_writing_a_config(values, config, tmp_path):
    huggingface.save(tmp_path, *made(**OURS["llama"]))
    change(tmp_path, **values)
    found = huggingface.load(tmp_path)[0]
    assert found == dataclasses.replace(found, **config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"causal": False}, r"gpt2 has no position='rotary', causal=False"),
        ({"mlp": "none"}, r"llama has no norm='layernorm', mlp='none'"),
        ({"kv_heads": 2}, r"gpt_neox has no key_heads=2"),
        ({**LLAMA, "rotary_fraction": 0.5}, r"llama has no rotated=2"),
        ({**LLAMA, "window": 5, "attention_bias": True}, r"mistral has no biased_attention=True"),
    ],
)
def test_a_model_that_no_family_holds_is_refused(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        huggingface.save(tmp_path / "m", *made(**changes))
    assert not (tmp_path / "m").exists()


def test_parameters_that_do_not_fit_are_refused(tmp_path):
    config, params = made()
    adapter = lora.init(config, lora.parse("query: rank=1"), jax.random.key(0))
    with pytest.raises(InputError, match=r"lora.merge it first"):
        huggingface.save(tmp_path, config, lora.attach(params, adapter))
    with pytest.raises(InputError, match=r"not those of a model of this configuration"):
        huggingface.save(tmp_path, dataclasses.replace(config, layers=3), params)
    with pytest.raises(InputError, match=r"no file .*config.json"):
        huggingface.load(tmp_path)
