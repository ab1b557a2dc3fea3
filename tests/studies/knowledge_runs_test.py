"""Configurations of knowledge: every run of every claim is valid, mistakes are told in one line."""

import math
import re

import pytest

from physlm_jax.data import open_world
from physlm_jax.data.bios import BiosWorld
from physlm_jax.errors import InputError
from physlm_jax.models import lora
from physlm_jax.models.transformer import parameter_count
from physlm_jax.studies import knowledge
from physlm_jax.training import config as configs
from physlm_jax.training.plan import make_plan

WHERE = "configs/knowledge.py"


def load(argument):
    return configs.load(f"{WHERE}:{argument}")


@pytest.mark.parametrize("scale", ["laptop", "gpu", "paper"])
def test_every_run_of_every_scale_has_a_valid_config(scale):
    arguments = {a for c in knowledge.CLAIMS if scale in c.scales for a in c.runs(scale)}
    for argument in sorted(arguments):
        config = load(argument)
        assert config.steps > 100 and config.batch % config.pipeline.rows_per_block == 0
        sides = re.findall(r"\d+", config.topology.partition(":")[2])
        assert config.batch % math.prod(map(int, sides)) == 0  # 1 where no slice is named
        config.mesh.data = config.mesh.expert = 1
        if "tune=" not in argument:
            assert not config.base.run and not config.lora
            make_plan(config)
            continue
        assert lora.parse(config.lora) if "tune=full" not in argument else not config.lora
        base = load(config.base.run.removeprefix("@"))
        assert not base.base.run and "tasks" not in base.data
        for key in ("people", "variant", "vocabulary", "celebrities"):
            assert config.data[key] == base.data[key]
        assert config.model.to_dict() == base.model.to_dict()
        config.base.run = config.lora = ""  # so that it is valid but for the base
        make_plan(config)


@pytest.mark.parametrize(
    ("argument", "exposures", "share"),
    [
        ("bioS,laptop,n=900,exposures=300", 300, 1),
        ("bioS,laptop,n=900,exposures=300,junk=bios", 300, 1 / 8),
        ("bioS,paper,n=1000000,exposures=1000", 1000, 1),
        ("bioS,paper,n=50000,exposures=100", 100, 1),
        ("single,paper", 540, 1),
        ("single,paper,tasks=extraction,mixed=0.8", 108, 0.2),
        ("multi5,paper,bidirectional=1", 1010, 1),
        ("bioR-single,paper", 830, 1),
        ("bioR,gpu", 1000, 1),
    ],
)
def test_updates_follow_from_exposures(argument, exposures, share):
    """Presented tokens over tokens of an update, but for padding at the end of blocks."""
    config = load(argument)
    useful = open_world(config.data).biographies
    each = useful.mean_length - 1  # neighbours share an EOS
    rows = config.data.people * exposures * each / config.pipeline.length / share
    padding = 1.12 if config.batch < 24 else 1.05
    assert 1 <= config.steps / (rows / config.batch) <= padding


def test_updates_are_those_of_the_papers():
    """Where they say them: ours have biographies of 68 tokens for 74, bioR of 87 for 72."""
    assert 0.9 * 80_000 < load("single,paper").steps < 80_000
    assert 0.9 * 150_000 < load("multi5,paper,bidirectional=1").steps < 150_000
    assert 0.95 * 150_000 < load("bioR-single,paper").steps < 1.05 * 150_000
    assert load("bioR-single,paper").model.heads == 20


def test_sizes_of_section_7_3():
    dense = load("bioS,paper,model=8-8")
    counts = {}
    for arch in ("gpt2", "llama", "mistral", "plain", "quarter", "nomlp", "experts"):
        config = load(f"bioS,paper,model=8-8,arch={arch}")
        counts[arch] = parameter_count(configs.model_config(config, open_world(config.data)))
    layer, table = 12 * 512**2, 3739 * 512
    assert dense.model.width == 512 and dense.topology == "v5e:4x4"
    assert counts["gpt2"] == pytest.approx(8 * layer + table, rel=0.01)
    assert counts["llama"] == pytest.approx(counts["plain"], rel=1e-3)
    assert counts["llama"] == pytest.approx(8 * layer + 2 * table, rel=0.01)
    assert counts["quarter"] == pytest.approx(8 * 6 * 512**2 + table, rel=0.01)
    assert counts["nomlp"] == pytest.approx(8 * 4 * 512**2 + table, rel=0.01)
    assert counts["experts"] == pytest.approx(8 * 68 * 512**2 + table, rel=0.01)
    assert load("bioS,paper,model=8-6,arch=mistral").model.kv_heads == 2


def test_slices_of_large_batches_and_models():
    large = load("bioS,paper,n=20000000,exposures=100,model=25-20")
    assert (large.topology, large.batch, large.mesh.fsdp) == ("v5e:8x8", 1536, 16)
    assert large.model.remat == "dots" and load("bioS,paper,model=6-20").mesh.fsdp == 1
    assert load("bioS,paper,n=50000,exposures=100").topology == "v5e:2x2"  # batches of 12
    assert load("bioS,paper,arch=experts").mesh.expert == 4
    assert load("single,laptop,tasks=extraction,tune=8-16").lora.count("rank=") == 2
    assert "embedding" not in load("single,laptop,tasks=extraction,tune=8-0").lora
    tuned = load("single,paper,model=12-32,tasks=extraction,tune=full")
    assert tuned.mesh.fsdp == 16 and tuned.batch % 16 == 0


def test_the_sweep_and_what_is_worked_out_from_settings():
    module = configs.load_module(WHERE)
    config = module.get_config()
    for overrides in module.sweep():
        config.update_from_flattened_dict(overrides)
    config = load("bioS,gpu,n=5000,exposures=100,junk=repeated,marked=1,lr=5e-4,decay=0.1")
    assert config.data.junk_people == 50 and config.data.marked
    assert (config.optimizer.learning_rate, config.optimizer.weight_decay) == (5e-4, 0.1)
    mixed = load("single,gpu,tasks=extraction/partial,mixed=0.5")
    assert isinstance(world := open_world(mixed.data), BiosWorld) and len(world.tasks.tasks) == 8
    assert mixed.checkpoint.keep_every == -(-mixed.steps // 10)
    masked = load("multi5+permute,gpu,bidirectional=1,tasks=extraction,tune=full")
    assert not masked.model.causal and masked.pipeline.masked == 1
    assert masked.base.run == "@multi5+permute,gpu,bidirectional=1"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("bioS", r"unknown scale '' .*gpu, laptop, paper"),
        ("bioS,lapto", r"did you mean 'laptop'"),
        ("bioSS,laptop", r"did you mean 'bioS'"),
        ("multi5+permut,laptop", r"did you mean 'permute"),
        ("bioS,laptop,exposure=3", r"did you mean 'exposures'"),
        ("bioS,laptop,n=many", r"n must be a whole number >= 1, got 'many'"),
        ("bioS,laptop,n=0", r"n must be a whole number >= 1, got '0'"),
        ("bioS,laptop,exposures=1.5", r"exposures must be a whole number"),
        ("bioS,laptop,arch=gpt3", r"did you mean 'gpt2'"),
        ("bioS,laptop,model=2", r"layers-dimensions at laptop, like 2-32, got '2'"),
        ("bioS,gpu,model=2x4", r"layers-heads, like 2-4, got '2x4'"),
        ("bioS,laptop,junk=wiki", r"junk must be .*bios or repeated, got 'wiki'"),
        ("bioS,laptop,marked=yes", r"marked must be 0 or 1, got 'yes'"),
        ("single,laptop,bidirectional=true", r"bidirectional must be 0 or 1"),
        ("bioS,laptop,lr=fast", r"lr must be a number >= 0, got 'fast'"),
        ("bioS,laptop,decay=-1", r"decay must be a number >= 0, got '-1'"),
        ("bioS,laptop,lr=nan", r"lr must be a number >= 0, got 'nan'"),
        ("bioS,laptop,k=3", r"k is of bioD, not of 'bioS'"),
        ("bioD,laptop,junk=bios", r"junk is of biographies, not of 'bioD'"),
        ("bioD,laptop,d=1000,l=1,t=20", r"no 1000 different strings"),
        ("single,laptop,tasks=extraction", r"tasks go with tune"),
        ("single,laptop,tune=full", r"tasks go with tune"),
        ("single,laptop,tasks=extraction,tune=full,mixed=0.5", r"tasks go with tune"),
        ("single,laptop,tasks=extraction,mixed=1", r"mixed must be a share in \(0, 1\), got '1'"),
        ("single,laptop,tasks=extraction,mixed=half", r"mixed must be a number >= 0, got 'half'"),
        ("single,laptop,tasks=extraktion,tune=full", r"did you mean 'extraction'"),
        ("single,laptop,tasks=extraction,tune=8", r"tune must be full or ranks r-r2"),
        ("single,laptop,tasks=extraction,tune=full,output=1", r"output is of adapters"),
        ("single,laptop,hints=0.5", r"hints and asked are about tasks"),
        ("single,laptop,tasks=extraction,tune=full,asked=501", r"asked must be 1..500"),
        ("bioS,laptop,tasks=extraction,tune=full", r"no words for questions"),
        ("bioS,laptop,celebrities=9", r"multi-infinity has no entries to mix"),
        ("single,laptop,junk=bios,tasks=extraction,mixed=0.5", r"junk beside questions"),
    ],
)
def test_mistakes_in_an_argument(argument, message):
    with pytest.raises(InputError, match=message) as raised:
        load(argument)
    assert "\n" not in str(raised.value)
