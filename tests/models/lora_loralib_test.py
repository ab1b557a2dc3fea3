"""Adapters in the form of the LoRA paper's own package, against sums by hand."""

import dataclasses

import jax
import numpy as np
import pytest
from our_models import OURS, made

from physlm_jax.errors import InputError
from physlm_jax.models import huggingface, lora
from physlm_jax.models.huggingface import tensors

IDS = np.random.default_rng(0).integers(0, 23, (2, 12))


def test_loralib_s_groups_are_read_by_hand():
    """GPT-2, q and v of rank 2: A rows of q, then of v; B rows likewise."""
    config, params = made(**OURS["gpt2"])
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 16)) / 4, rng.standard_normal((32, 2)) / 4
    arrays = {"transformer.h.1.attn.c_attn.lora_A": a, "transformer.h.1.attn.c_attn.lora_B": b}
    table = rng.standard_normal((3, 23)), rng.standard_normal((16, 3))
    arrays |= {f"transformer.wte.lora_{f}": x for f, x in zip("AB", table, strict=True)}
    adapter = lora.load_loralib(arrays, config, alpha=6.0)
    attention = adapter["blocks"]["attention"]
    assert sorted(attention) == ["query", "value"]
    new = jax.tree.map(np.array, params)
    new["embedding"] += 2.0 * (table[0].T @ table[1].T)
    for name, part in (("query", 0), ("value", 1)):
        assert attention[name]["kernel"].scale == (0.0, 3.0)
        delta = 3.0 * b[16 * part : 16 * (part + 1)] @ a[2 * part : 2 * (part + 1)]
        new["blocks"]["attention"][name]["kernel"][1] += delta.T.reshape(16, 4, 4)
    untied = {**new, "output": {"kernel": params["embedding"].T}}
    expected = huggingface.logits(dataclasses.replace(config, tied=False), untied, IDS)
    np.testing.assert_allclose(
        huggingface.logits(config, params, IDS, adapter), expected, atol=1e-4
    )


def test_loralib_s_plain_pairs_files_and_refusals(tmp_path):
    config, _ = made(**OURS["gpt2"])
    rng = np.random.default_rng(0)
    name = "transformer.h.0.attn.c_attn.lora_"
    good = {f"{name}A": rng.standard_normal((2, 16)), f"{name}B": rng.standard_normal((48, 2))}
    tensors.write_file(tmp_path / "f.safetensors", good)
    adapter = lora.load_loralib(tmp_path / "f.safetensors", config, 4.0)
    assert sorted(adapter["blocks"]["attention"]) == ["key", "query", "value"]
    for arrays, message in (
        ({f"{name}A": good[f"{name}A"]}, r"missing .*lora_B; surplus none"),
        ({**good, "y": np.ones(1)}, r"missing none; surplus y"),
        ({**good, f"{name}B": np.ones((32, 2))}, r"are no update of a matrix of 48 outputs"),
        ({}, r"no adapter in it"),
    ):
        with pytest.raises(InputError, match=message):
            lora.load_loralib(arrays, config, 4.0)
    neox, _ = made(**OURS["gpt_neox"])
    grouped = {"A": np.ones((4, 16)), "B": np.ones((32, 2))}
    place = "gpt_neox.layers.0.attention.query_key_value.lora_"
    with pytest.raises(InputError, match=r"are no update"):
        lora.load_loralib({place + f: x for f, x in grouped.items()}, neox, 1.0)
