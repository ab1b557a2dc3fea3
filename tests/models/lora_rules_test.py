"""Rules: who is chosen, how many numbers are trained (the paper's tables), what is refused."""

import jax
import numpy as np
import pytest

from physlm_jax.errors import InputError
from physlm_jax.models import lora
from physlm_jax.models.lora.rules import chosen
from physlm_jax.models.transformer import TransformerConfig


def decoder(layers, width, **rest):
    return TransformerConfig(
        vocab_size=50257, max_length=1024, layers=layers, width=width, heads=width // 64, **rest
    )


SMALL = decoder(2, 64)

# arXiv 2106.09685, section 4.2 and tables 2, 4, 15; where printed figures are not the formula's
# (GPT-2 medium 0.35M, large 0.77M) the formula is meant
COUNTS = [
    (decoder(96, 12288), "query|value", 4, 18_874_368),
    (decoder(96, 12288), "query|value", 1, 4_718_592),
    (decoder(96, 12288), "value", 2, 4_718_592),
    (decoder(96, 12288), "query|value", 8, 37_748_736),
    (decoder(96, 12288), "query|key|value|out", 4, 37_748_736),
    (decoder(12, 768), "query|value", 8, 294_912),
    (decoder(24, 1024), "query|value", 8, 786_432),
    (decoder(48, 1536), "query|value", 16, 4_718_592),
    (decoder(24, 1024), "query|value", 4, 393_216),
    (decoder(36, 1280), "query|value", 4, 737_280),
]


@pytest.mark.parametrize(("config", "which", "rank", "count"), COUNTS)
def test_trained_numbers_from_shapes_alone(config, which, rank, count):
    rules = lora.parse(f"attention/({which})/: rank={rank}")
    adapter = jax.eval_shape(lambda: lora.init(config, rules, jax.random.key(0)))
    assert lora.size(adapter) == count
    assert f"{count:,}" in lora.table(config, rules).splitlines()[-1]


def test_the_first_match_wins():
    rules = lora.parse("blocks/0/.*query: rank=1; query|value: rank=4, alpha=2, scale=constant")
    found = {target.name: rule for target, rule in chosen(SMALL, rules).items()}
    assert set(found) == {
        f"blocks/{i}/attention/{w}/kernel" for i in (0, 1) for w in ("query", "value")
    }
    assert found["blocks/0/attention/query/kernel"].rank == 1
    assert found["blocks/1/attention/query/kernel"].factor == 2


@pytest.mark.parametrize(
    ("scale", "factor"),
    [("alpha_over_r", 0.25), ("alpha_over_sqrt_r", 1.0), ("constant", 4.0)],
)
def test_scales(scale, factor):
    (rule,) = lora.parse(f"query: rank=16, alpha=4, scale={scale}")
    assert rule.factor == factor


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rules"),
        ("query", "write 'pattern: rank=8"),
        ("qu(ery: rank=2", "not a regular expression"),
        ("query: rnk=2", "did you mean 'rank'"),
        ("query: rank=two", "value of type int"),
        ("query: rank=2, dora=yes", "value of type bool"),
        ("query: alpha=2", "rank=1 or more, or full=True"),
        ("query: rank=2, full", "rank=1 or more, or full=True"),
        ("query: rank=2, dropout=1", "dropout must be in"),
        ("query: rank=2, scale=r", "alpha_over_r"),
        ("quarry: rank=2", "matches no parameter"),
        ("bias: rank=2", "matches no parameter"),
        ("attention: rank=2; query: rank=4", "decides nothing"),
        ("embedding: rank=2, dropout=0.1", "no dora and no dropout"),
        ("query: rank=2, tied=True", "tied is of updates of low rank of an embedding"),
        ("embedding: full, tied=True", "tied is of updates of low rank of an embedding"),
        ("blocks/0/mlp/up/kernel: full", "in full in all layers or in none"),
        ("blocks/0/.*up: rank=2, dropout=0.1; up: rank=2", "one value of dropout"),
        ("blocks/0/.*up: rank=2, dora", "in all layers or in none"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        chosen(SMALL, lora.parse(text))


def test_dora_and_full_need_the_base():
    for text in ("query: rank=2, dora", "final_norm: full"):
        with pytest.raises(InputError, match="needs the base"):
            lora.init(SMALL, lora.parse(text), jax.random.key(0))


def test_more_rank_than_the_matrix_has_is_legal():
    adapter = lora.init(SMALL, lora.parse("query: rank=100"), jax.random.key(0))
    assert np.isfinite(adapter["blocks"]["attention"]["query"]["kernel"].down).all()
