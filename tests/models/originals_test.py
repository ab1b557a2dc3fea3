"""The bridge against numbers of the original libraries, which need not be installed."""

import json

import numpy as np
import originals
import pytest
from our_models import OURS, made

from physlm_jax.models import huggingface, lora

KEPT = json.loads(originals.FILE.read_text())


@pytest.mark.parametrize("name", OURS)
def test_logits_of_models_are_those_of_transformers(name):
    found = huggingface.logits(*made(**OURS[name]), originals.IDS)[0]
    np.testing.assert_allclose(found, KEPT[name], atol=1e-4)


@pytest.mark.parametrize("name", originals.ADAPTERS)
def test_logits_with_adapters_are_those_of_peft(name, tmp_path):
    config, params = made(**OURS[name])
    adapter = originals.adapter(name, config, params)
    found = huggingface.logits(config, params, originals.IDS, adapter)[0]
    np.testing.assert_allclose(found, KEPT[f"{name}, adapted"], atol=1e-4)
    lora.save_peft(tmp_path, config, adapter)
    again = huggingface.logits(
        config, params, originals.IDS, lora.load_peft(tmp_path, config, params)
    )
    np.testing.assert_allclose(again[0], found, atol=1e-5)


def test_the_numbers_are_still_those_of_the_originals(tmp_path):
    pytest.importorskip("peft")
    for name, numbers in originals.originals(tmp_path).items():
        np.testing.assert_allclose(numbers, KEPT[name], atol=1e-5, err_msg=name)
