"""Adapters of other libraries: against PEFT where it is installed, and against sums by hand."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_models
from our_models import OURS, made

from physlm_jax.errors import InputError
from physlm_jax.models import huggingface, lora
from physlm_jax.models.huggingface import tensors

IDS = torch_models.IDS
PATTERNS = {
    "target_modules": ["c_attn", "c_proj", "c_fc"],
    "r": 4,
    "rank_pattern": {"mlp.c_proj": 2},
    "alpha_pattern": {r"h\.1\.attn\.c_attn": 5},
}
KINDS = {
    "fused": ("gpt2", {"target_modules": ["c_attn"]}),
    "patterns, rslora": ("gpt2", {**PATTERNS, "use_rslora": True}),
    "patterns": ("gpt2", PATTERNS),
    "embeddings": ("gpt2", {"target_modules": ["wte", "wpe", "c_attn"]}),
    "dora, fused": ("gpt2", {"target_modules": ["c_attn", "c_fc"], "use_dora": True}),
    "one layer": (
        "llama",
        {
            "target_modules": ["q_proj", "embed_tokens", "lm_head", "down_proj"],
            "layers_to_transform": [1],
        },
    ),
    "expression": (
        "llama tied, biases",
        {"target_modules": r".*\.(0\.self_attn\.(q|o)_proj|1\.mlp\.up_proj)"},
    ),
    "all but": ("llama", {"target_modules": "all-linear", "exclude_modules": ["k_proj"]}),
    "dora, one layer": (
        "llama",
        {"target_modules": ["q_proj", "up_proj"], "layers_to_transform": 0, "use_dora": True},
    ),
    "by head, dora": ("neox", {"target_modules": ["query_key_value", "dense"], "use_dora": True}),
    "by head": ("neox", {"target_modules": ["query_key_value", "embed_in", "lm_head"]}),
    "layers by pattern": (
        "mistral, window",
        {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": "layers"},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_peft_s_both_ways_and_merged(kind, tmp_path):
    peft = pytest.importorskip("peft")
    name, settings = KINDS[kind]
    model = torch_models.make(name)
    model.save_pretrained(tmp_path / "base")
    config, params = huggingface.load(tmp_path / "base")
    usual = {"r": 3, "lora_alpha": 6, "task_type": "CAUSAL_LM"}
    adapted = peft.get_peft_model(model, peft.LoraConfig(**{**usual, **settings})).eval()
    torch_models.randomise(adapted, 1, "lora_")
    expected = torch_models.logits(adapted)
    adapted.save_pretrained(tmp_path / "theirs")
    adapter = lora.load_peft(tmp_path / "theirs", config, params)
    found = huggingface.logits(config, params, IDS, adapter)
    assert np.abs(found - huggingface.logits(config, params, IDS)).max() > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-4)

    lora.save_peft(tmp_path / "ours", config, adapter)
    back = peft.PeftModel.from_pretrained(torch_models.make(name), tmp_path / "ours").eval()
    np.testing.assert_allclose(torch_models.logits(back), expected, atol=1e-4)

    merged = lora.merge(params, adapter, untie=True)
    untied = dataclasses.replace(config, tied="output" not in merged)
    huggingface.save(tmp_path / "merged", untied, merged)
    whole = torch_models.opened(tmp_path / "merged")
    np.testing.assert_allclose(torch_models.logits(whole), expected, atol=1e-4)


RULES = {
    "gpt2": [
        "attention/(query|value): rank=2, alpha=3; blocks/0/mlp/up: rank=4, alpha=2; "
        "blocks/1/mlp/up: rank=1, alpha=7; embedding: rank=3, alpha=4, scale=constant",
        "query: rank=2, alpha=1; key: rank=3, alpha=8; positions: rank=2",
        "attention: rank=2, dora; mlp: rank=3, alpha=1, dora, scale=alpha_over_sqrt_r",
    ],
    "gpt_neox": ["query: rank=2; value: rank=1; attention/out: rank=2; output: rank=2"],
    "llama": ["query: rank=2, alpha=16, dropout=0.1; blocks/1/mlp/gate: rank=3; output: rank=2"],
}
CASES = [(name, rules) for name in RULES for rules in RULES[name]]


def trained(name, rules):
    """A model of `OURS`, and an adapter of it without zeros."""
    config, params = made(**OURS[name])
    fresh = lora.init(config, lora.parse(rules), jax.random.key(0), params)
    rng = np.random.default_rng(1)
    adapter = jax.tree.map(
        lambda x: jnp.asarray(rng.standard_normal(x.shape) / 4, jnp.float32), fresh
    )
    return config, params, adapter


@pytest.mark.parametrize(("name", "rules"), CASES)
def test_an_adapter_of_ours_comes_back_as_the_same_function(name, rules, tmp_path):
    config, params, adapter = trained(name, rules)
    expected = huggingface.logits(config, params, IDS, adapter)
    lora.save_peft(tmp_path / "a", config, adapter)
    again = lora.load_peft(tmp_path / "a", config, params)
    np.testing.assert_allclose(huggingface.logits(config, params, IDS, again), expected, atol=1e-5)
    peft = pytest.importorskip("peft")
    huggingface.save(tmp_path / "base", config, params)
    base = torch_models.opened(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "a").eval()
    np.testing.assert_allclose(torch_models.logits(theirs), expected, atol=1e-4)


def peft_folder(folder, name="gpt2", rules="attention: rank=2, alpha=6"):
    config, params, adapter = trained(name, rules)
    lora.save_peft(folder, config, adapter)
    return config, params, adapter


def change_peft(folder, **values):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def stored(folder):
    opened = tensors.open_folder(folder, "adapter_model")
    return {name: each.read() for name, each in opened.items()}


def test_what_comes_from_a_fused_matrix_goes_back_with_its_own_rank(tmp_path):
    """q, k and v share A: the second file has the first one's bits, not three times its rank."""
    config, params, _ = peft_folder(tmp_path / "a", rules="attention: rank=2, alpha=6")
    shared = stored(tmp_path / "a")
    rng = np.random.default_rng(0)
    name = "base_model.model.transformer.h.{}.attn.c_attn.lora_{}.weight"
    for layer in (0, 1):
        for factor, shape in (("A", (2, 16)), ("B", (48, 2))):
            shared[name.format(layer, factor)] = rng.standard_normal(shape).astype(np.float32)
    tensors.write_file(tmp_path / "a" / "adapter_model.safetensors", shared)
    change_peft(tmp_path / "a", rank_pattern={}, alpha_pattern={}, r=2, lora_alpha=5)
    adapter = lora.load_peft(tmp_path / "a", config, params)
    query = adapter["blocks"]["attention"]["query"]["kernel"]
    b = shared[name.format(1, "B")]
    np.testing.assert_array_equal(query.up[1, :, 2, 1], b[4 * 2 + 1])
    assert query.scale == (2.5, 2.5)
    lora.save_peft(tmp_path / "b", config, adapter)
    back = stored(tmp_path / "b")
    assert back.keys() == shared.keys()
    assert all(np.array_equal(back[key], shared[key]) for key in back)
    settings = json.loads((tmp_path / "b" / "adapter_config.json").read_text())
    assert settings["r"] == 2 and settings["lora_alpha"] == 5 and not settings["rank_pattern"]
    assert settings["target_modules"] == ["attn.c_attn", "attn.c_proj"]


def test_separate_updates_become_blocks_and_keep_their_scale(tmp_path):
    """q and v of rank 2 and alpha 3: rank 4 and alpha 6 of the fused matrix."""
    config, _, adapter = trained("gpt2", "attention/(query|value): rank=2, alpha=3")
    lora.save_peft(tmp_path, config, adapter)
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (4, 6) and settings["fan_in_fan_out"]
    b = stored(tmp_path)["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"]
    used = b.reshape(3, 16, 2, 2).any((1, 3))
    assert used.tolist() == [[True, False], [False, False], [False, True]]


def test_copies_of_the_base_s_tables_and_old_names_are_accepted(tmp_path):
    config, params, _ = peft_folder(tmp_path, "gpt_neox", "embedding: rank=2; output: rank=1")
    before = lora.load_peft(tmp_path, config, params)
    arrays = {key.replace("lm_head", "embed_out"): array for key, array in stored(tmp_path).items()}
    arrays["base_model.model.gpt_neox.embed_in.base_layer.weight"] = np.zeros((23, 16))
    tensors.write_file(tmp_path / "adapter_model.safetensors", arrays)
    change_peft(tmp_path, target_modules=["embed_in", "embed_out"], rank_pattern={"embed_out": 1})
    after = lora.load_peft(tmp_path, config, params)
    np.testing.assert_array_equal(before["output"]["kernel"].down, after["output"]["kernel"].down)
    np.testing.assert_array_equal(before["embedding"].up, after["embedding"].up)


def test_missing_and_surplus_arrays_of_an_adapter_are_both_told(tmp_path):
    config, params, _ = peft_folder(tmp_path)
    arrays = stored(tmp_path)
    arrays["x.lora_A.weight"] = arrays.pop(next(key for key in arrays if ".h.1." in key))
    tensors.write_file(tmp_path / "adapter_model.safetensors", arrays)
    with pytest.raises(InputError, match=r"missing .*\.h\.1\..*; surplus x.lora_A.weight"):
        lora.load_peft(tmp_path, config, params)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"peft_type": "LOHA"}, r"peft_type = 'LOHA' is not implemented \(allowed: LORA\)"),
        ({"peft_type": None}, r"has no 'peft_type'"),
        ({"task_type": "SEQ_CLS"}, r"task_type = 'SEQ_CLS'"),
        ({"bias": "all"}, r"bias = 'all' is not implemented"),
        ({"init_lora_weights": "pissa"}, r"init_lora_weights = 'pissa'"),
        ({"modules_to_save": ["lm_head"]}, r"not implemented: modules_to_save"),
        ({"lora_bias": True}, r"not implemented: lora_bias"),
        ({"use_qalora": True, "arrow_config": {"a": 1}}, r"arrow_config, use_qalora"),
        ({"a_new_switch": 1}, r"not implemented: a_new_switch"),
        ({"target_modules": ["lm_head"]}, r"adapter of lm_head, which is tied"),
        ({"target_modules": ["q_proj"]}, r"match no module of the model"),
        ({"target_modules": "("}, r"wrong kind"),
        ({"target_modules": 3}, r"wrong kind"),
        ({"r": 0}, r"r and rank_pattern must be at least 1"),
        ({"rank_pattern": {"(": 2}}, r"wrong kind"),
        ({"target_modules": ".*c_attn", "layers_to_transform": [0]}, r"layers_to_transform"),
        ({"target_modules": ["wte"], "use_dora": True}, r"use_dora for an embedding"),
        ({"r": 5, "rank_pattern": {}}, r"lora_A.weight has shape .*rank 5"),
    ],
)
def test_adapters_that_are_not_implemented_are_refused_by_name(values, message, tmp_path):
    config, params, _ = peft_folder(tmp_path)
    change_peft(tmp_path, **values)
    with pytest.raises(InputError, match=message) as error:
        lora.load_peft(tmp_path, config, params)
    assert "\n" not in str(error.value)


def test_a_pickled_adapter_is_never_loaded(tmp_path):
    config, params, _ = peft_folder(tmp_path)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(InputError, match=r"adapter_model.bin alone, a pickle"):
        lora.load_peft(tmp_path, config, params)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("final_norm: full", r"final_norm/bias is trained in full"),
        ("query: rank=2, dora", r"DoRA of some of query, key, value"),
        ("attention/out: rank=2, dora; mlp: rank=2", r"DoRA in some matrices and not in"),
        ("attention/out: rank=2, dora; embedding: rank=2", r"not in transformer.wte"),
    ],
)
def test_what_peft_cannot_hold_is_refused(rules, message, tmp_path):
    config, _, adapter = trained("gpt2", rules)
    with pytest.raises(InputError, match=message):
        lora.save_peft(tmp_path / "a", config, adapter)
    assert not (tmp_path / "a").exists()
    with pytest.raises(InputError, match=r"there is no blocks/mlp/gate"):
        lora.save_peft(tmp_path / "a", config, {"blocks": {"mlp": {"gate": _some(adapter)}}})


def _some(adapter):
    return lora.LowRank(np.ones((2, 16, 1)), np.ones((2, 1, 4)), scale=(1.0, 1.0))


def test_what_is_detached_is_what_was_attached():
    config, params, adapter = trained("gpt2", RULES["gpt2"][0])
    base, again = lora.detach(lora.attach(params, adapter))
    assert jax.tree.structure(base) == jax.tree.structure(params)
    for (path, a), (other, b) in zip(lora.walk(adapter), lora.walk(again), strict=True):
        assert path == other and np.allclose(a.scale, b.scale)
        np.testing.assert_array_equal(a.up, b.up)
    expected = huggingface.logits(config, params, IDS, adapter)
    np.testing.assert_array_equal(huggingface.logits(config, base, IDS, again), expected)
