"""Generation metrics against models that are the truth, wrong in known ways, or small."""

import dataclasses
import json
import math
import subprocess
import sys

import jax
import numpy as np
import pytest

from physlm_jax.data import cfg
from physlm_jax.data.cfg import world as cfg_world
from physlm_jax.data.ragged import Ragged
from physlm_jax.decoding.interface import (
    ngram_sampler,
    transformer_predictor,
    transformer_sampler,
)
from physlm_jax.decoding.rows import Samples
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.ngram import NGram
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.probes import generation, running
from physlm_jax.probes.divergence import kl
from physlm_jax.probes.held_out import Mean, fresh
from physlm_jax.training.checkpoint import Checkpoints
from physlm_jax.training.config import base, set_data
from physlm_jax.training.optimizer import numbers
from physlm_jax.training.plan import make_plan
from physlm_jax.training.step import init_state

WORLD = cfg_world("cfg3b", under=13)  # 512 derivations, strings of 12 to 18 tokens
IMPLICIT = cfg_world("cfg3b", under=13, alphabet=20, bags="overlap")
CONFIG = TransformerConfig(vocab_size=6, max_length=48, layers=1, width=16, heads=2, init_std=0.3)


@pytest.fixture(scope="module")
def params():
    return transformer.init(CONFIG, jax.random.key(2))


def strings_of(row, world):
    """Cuts a row at its BOS: (place of BOS, tokens without BOS and EOS) of each string."""
    starts = np.flatnonzero(row == world.vocabulary.bos)
    for lo, hi in zip(starts, [*starts[1:], len(row)], strict=True):
        piece = row[lo + 1 : hi]
        yield lo, piece[piece != world.vocabulary.eos]


def truth(world):
    """A predictor that is the language itself."""

    def predict(rows):
        found = np.full((*rows.shape, len(world.vocabulary)), -np.inf)
        for row, out in zip(rows, found, strict=True):
            for place, string in strings_of(row, world):
                rows_of = cfg.next_token_probs(world.grammar, string, world.emission)
                with np.errstate(divide="ignore"):
                    after = out[place : place + len(rows_of)]
                    after[:, world.vocabulary.eos] = np.log(rows_of[:, 0])
                    after[:, 1 : world.tokens + 1] = np.log(rows_of[:, 1:])
        return found

    return predict


def rest_of(strings, eos, width=32):
    """A sampler that ends each prompt as the given string of the same number ends."""

    def sample(prompts, seed):
        tokens = np.zeros((len(prompts), width), np.int32)
        lengths = strings.lengths + 2
        for row, prompt, string in zip(tokens, prompts, strings, strict=True):
            whole = [*prompt, *string[len(prompt) - 1 :], eos]
            row[: len(whole)] = whole
        ends = np.ones(len(prompts), bool)
        return Samples(tokens, prompts.lengths, lengths, ends, np.zeros(len(prompts), np.float32))

    return sample


@pytest.mark.parametrize("world", [WORLD, IMPLICIT], ids=["terminals", "alphabet"])
@pytest.mark.parametrize("options", [{}, {"in_stream": True}, {"smoothing": 1e-5}], ids=str)
def test_kl_of_the_truth_against_itself_is_zero(world, options):
    found = kl(truth(world), world, count=6, max_length=48, **options)
    assert found.value == pytest.approx(0, abs=1e-9) and found.n == 6


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_kl_of_a_uniform_model(smoothing):
    """By hand: sum p* ln(p* / q), q = 1/6 over all ids, or 1/4 over tokens and EOS if smoothed."""
    found = kl(
        lambda rows: np.full((*rows.shape, 6), -math.log(6)),
        WORLD,
        count=5,
        max_length=20,
        smoothing=smoothing,
        seed=3,
    )
    expected = []
    for string in fresh(WORLD, 3, 5):
        per_place = []
        for p in cfg.next_token_probs(WORLD.grammar, string):
            smooth = [(x + smoothing) / (1 + 4 * smoothing) for x in p]
            other = 1 / 4 if smoothing else 1 / 6
            pairs = zip(p, smooth, strict=True)
            per_place.append(sum(x * math.log(y / other) for x, y in pairs if x > 0))
        expected.append(np.mean(per_place))
    assert found.value == pytest.approx(np.mean(expected))
    assert found.error == pytest.approx(np.std(expected, ddof=1) / math.sqrt(5))


def test_in_stream_kl_reads_its_own_places_after_whole_strings():
    exact, shapes = truth(WORLD), []

    def right_at_the_end(rows):
        """The truth for the last string of each row, a confident lie before it."""
        found = exact(rows)
        for row, out in zip(rows, found, strict=True):
            strings = [(at, s) for at, s in strings_of(row, WORLD) if len(s)]
            # the row's padding is 0 = BOS: the strings that count are those that are not empty
            assert cfg.is_valid(WORLD.grammar, [s for _, s in strings]).all()
            shapes.append((len(strings), sum(len(s) + 2 for _, s in strings) - 1))
            out[: strings[-1][0]] = -1e9
        return found

    found = kl(right_at_the_end, WORLD, count=8, max_length=60, in_stream=True)
    assert found.value == pytest.approx(0, abs=1e-9)
    assert all(n >= 2 and used <= 60 and used + 14 + 18 > 60 for n, used in shapes)


def test_kl_of_a_transformer_through_the_same_door(params):
    """One string by one forward pass and the definition."""
    string = fresh(WORLD, 0, 1)[0]
    row = np.zeros((1, 30), np.int32)
    row[0, 1 : len(string) + 1] = string
    logits = np.asarray(transformer.apply(CONFIG, params, row).logits[0], float)
    log_q = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    p = cfg.next_token_probs(WORLD.grammar, string)
    by_hand = np.mean(
        [
            sum(p[k, t] * (np.log(p[k, t]) - log_q[k, t or 4]) for t in range(4) if p[k, t] > 0)
            for k in range(len(string) + 1)
        ]
    )
    predictor = transformer_predictor(CONFIG, params, batch=4)
    assert kl(predictor, WORLD, count=1, max_length=30).value == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("world", [WORLD, IMPLICIT], ids=["terminals", "alphabet"])
@pytest.mark.parametrize("cut", [0, 10])
def test_true_continuations_are_correct(world, cut):
    strings = fresh(world, 5, 40)
    made = generation.accuracy(
        rest_of(strings, world.vocabulary.eos), world, cut=cut, count=40, seed=5
    )
    assert made.accuracy == Mean(1.0, 0.0, 40)
    assert [s.tolist() for s in made.strings] == [s.tolist() for s in strings]
    assert (made.samples.prompt_lengths == cut + 1).all()


def test_the_robust_prompt_is_corrupted_and_the_clean_one_is_judged():
    strings, seen = fresh(WORLD, 5, 200), []
    inner = rest_of(strings, WORLD.vocabulary.eos)

    def spy(prompts, seed):
        seen.append(prompts)
        return inner(prompts, seed)

    made = generation.accuracy(spy, WORLD, cut=10, count=200, seed=5, corruption=0.15)
    assert made.accuracy.value == 1.0  # the samplers' rows hold corrupted prompts all the same
    clean = np.array([s[:10] for s in strings])
    shown = np.array([p[1:] for p in seen[0]])
    changed = (clean != shown).mean()
    assert changed == pytest.approx(0.15 * 2 / 3, abs=0.03)  # one time in three: the same token
    np.testing.assert_array_equal(made.samples.tokens[:, 1:11], shown)


def test_unfinished_and_wrong_samples_are_not_correct():
    strings = fresh(WORLD, 5, 4)
    inner = rest_of(strings, WORLD.vocabulary.eos)

    def sample(prompts, seed):
        good = inner(prompts, seed)
        good.tokens[1, 3] = good.tokens[1, 3] % 3 + 1  # cfg3b: a changed token is never valid
        good.lengths[2] -= 3  # the last two tokens and EOS never came
        return dataclasses.replace(good, finished=np.array([True, True, False, True]))

    made = generation.accuracy(sample, WORLD, cut=0, count=4, seed=5)
    assert made.correct.tolist() == [True, False, False, True]
    shown = generation.examples(made, WORLD, 3)
    assert [s["correct"] for s in shown] == [True, False, False]
    assert shown[0]["string"] == " ".join(map(str, strings[0]))
    assert shown[0]["first_error"] == 0 and 3 <= shown[1]["first_error"] <= len(strings[1])
    assert shown[2]["first_error"] == len(strings[2]) - 1  # incomplete
    words = generation.describe(WORLD, made.strings, made.samples.finished)
    assert words == ["valid", f"wrong at token {shown[1]['first_error']}", "unfinished", "valid"]


def test_judge_agrees_with_the_oracles_on_anything():
    valid = fresh(WORLD, 1, 3)
    strings = Ragged.from_sequences(
        [*[v.tolist() for v in valid], valid[0][:5].tolist(), [], [3, 0, 1], [4, 4], [2] * 15]
    )
    verdicts = generation.judge(WORLD, strings)
    assert verdicts.valid.tolist() == cfg.is_valid(WORLD.grammar, strings).tolist()
    assert verdicts.first_error.tolist() == cfg.first_error(WORLD.grammar, strings).tolist()
    assert verdicts.valid.tolist() == [True] * 3 + [False] * 5
    assert generation.judge(WORLD.grammar, strings).valid.tolist() == verdicts.valid.tolist()


def test_entropy_is_the_models_own_probability_of_its_samples(params):
    """Both kinds of model: the sampler's log-probabilities are the predictor's."""
    train = fresh(WORLD, 77, 300).framed(0, 4)
    ngram = NGram.fit(train, 6, 6)
    for sampler, predictor in (
        (
            transformer_sampler(CONFIG, params, stop=4, max_length=30),
            transformer_predictor(CONFIG, params, batch=7),
        ),
        (ngram_sampler(ngram, stop=4, max_length=30), ngram.next_log_probs),
    ):
        made = generation.accuracy(sampler, WORLD, cut=4, count=20, seed=1)
        again = generation.accuracy(sampler, WORLD, cut=4, count=20, seed=1)
        np.testing.assert_array_equal(made.samples.tokens, again.samples.tokens)
        log_probs = predictor(made.samples.tokens)
        bits = [
            -sum(log_probs[i, t - 1, row[t]] for t in range(5, length)) / math.log(2)
            for i, (row, length) in enumerate(
                zip(made.samples.tokens, made.samples.lengths, strict=True)
            )
        ]
        assert generation.entropy(made.samples).value == pytest.approx(np.mean(bits), rel=1e-4)


def test_the_figures_agree_on_a_model_that_knows_the_language():
    """A 19-gram has seen all 512 strings whole: accuracy, KL and entropy must all say so.

    Rows of two strings: at a row's start the model has fewer tokens to go by.
    """
    framed = fresh(WORLD, 99, 30_000).framed(0, 4)
    pairs = Ragged(framed.tokens, framed.offsets[::2])
    ngram = NGram.fit(pairs, 19, 6)
    made = generation.accuracy(
        ngram_sampler(ngram, stop=4, max_length=40), WORLD, cut=0, count=1000
    )
    assert made.accuracy.value > 0.98
    assert generation.entropy(made.samples).value == pytest.approx(9, abs=0.15)
    alone, after = (
        kl(ngram.next_log_probs, WORLD, count=100, max_length=40, in_stream=s).value
        for s in (False, True)
    )
    # contexts that reach into another string are rare: counting knows less there
    assert 0 < alone < 0.01 < after < 0.2


def test_true_entropy_is_nine_bits():
    """cfg3b under 13 has 2^9 equally likely derivations; few strings have two."""
    found = generation.true_entropy(WORLD, count=500)
    assert 8.8 < found.value <= 9.0 and found.n == 500


def test_diversity_counts_pairs():
    found = generation.diversity(Ragged.from_sequences([[1, 2], [1], [1, 2], [2, 1], [1, 2], [1]]))
    assert found == (6, 3, 4, 30 / 8)
    assert generation.diversity(Ragged.from_sequences([[1], [1, 1]])) == (2, 2, 0, None)
    strings = fresh(WORLD, 0, 2000)
    assert generation.diversity(strings).support == pytest.approx(512, rel=0.15)


def test_bad_requests_give_one_line(params):
    sampler = transformer_sampler(CONFIG, params, stop=4)
    for call, message in (
        (lambda: generation.accuracy(sampler, WORLD, cut=50, count=2), "cut 50.*12 to 18 tokens"),
        (lambda: generation.accuracy(sampler, WORLD, cut=-1, count=2), "cut -1"),
        (lambda: generation.accuracy(sampler, WORLD, cut=0, count=0), "count 0"),
        (lambda: generation.accuracy(sampler, WORLD, cut=5, count=1, corruption=2), "0..1"),
        (
            lambda: generation.accuracy(sampler, IMPLICIT, cut=5, count=1, corruption=0.1),
            "alphabet",
        ),
        (lambda: kl(truth(WORLD), WORLD, count=2, max_length=12), "hold none of 2 strings"),
        (lambda: kl(truth(WORLD), WORLD, count=2, max_length=25, in_stream=True), "no other"),
        (lambda: kl(truth(WORLD), WORLD, count=0, max_length=25), "count 0"),
        (lambda: transformer_predictor(CONFIG, params)(np.zeros((1, 49), int)), "rows of 49"),
        (
            lambda: transformer_predictor(dataclasses.replace(CONFIG, causal=False), params),
            "causal",
        ),
        (
            lambda: transformer_sampler(CONFIG, params, stop=4, temperature=-1)(
                Ragged.from_sequences([[0]]), 0
            ),
            "temperature",
        ),
    ):
        with pytest.raises(InputError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of no steps."""
    config = base()
    set_data(config, "cfg", grammar="cfg3b", under=13)
    config.pipeline.length = 40
    config.model.layers, config.model.width, config.model.heads = 1, 16, 2
    folder = tmp_path_factory.mktemp("run")
    checkpoints = Checkpoints(folder)
    state = init_state(make_plan(config).program, numbers(config.optimizer), jax.random.key(0))
    checkpoints.save(state, config.to_dict())
    checkpoints.close()
    return folder


def test_the_probe_writes_all_figures(workdir):
    given = {"cut": ["0", "5"], "samples": 20, "kl_strings": 4, "shown": 2, "corruption": 0.1}
    measured, path = running.run_probe(workdir, "generation", given=given)
    data = json.loads(path.read_text())
    assert path.name == "generation-cut0+5-t1-corrupted0.1-step0.json"
    assert data["accuracy cut0"]["n"] == data["accuracy cut5"]["n"] == 20
    assert len(data["shown cut5"]) == 2 and data["kl"]["n"] == 4
    assert data["diversity"]["samples"] == 20 and 8 < data["true entropy"]["value"] < 10
    assert data["kl"]["value"] > 0.3  # an untrained model
    assert "kl (nats per token)" in measured.table()


def test_generate_prints_samples_verdicts_and_one_line_errors(workdir):
    def command(*flags, folder=workdir):
        line = [sys.executable, "-m", "physlm_jax.generate", f"--workdir={folder}", *flags]
        return subprocess.run(line, capture_output=True, text=True, timeout=300)

    fine = command("--count=3", "--prompt=2 1 3", "--judge", "--seed=4")
    assert fine.returncode == 0, fine.stderr
    *samples, summary = fine.stdout.splitlines()
    assert len(samples) == 3 and summary.endswith("at step 0")
    for sample in samples:
        string, verdict = sample.split("\t")
        assert string.startswith("2 1 3")
        assert verdict == "valid" or verdict.startswith(("wrong at token ", "unfin", "incomp"))
    for wrong, message in (
        (command("--prompt=2 x"), "unknown token 'x'"),
        (command(folder="no/such/run"), "holds no run"),
    ):
        assert wrong.returncode == 2 and message in wrong.stderr
        assert wrong.stderr.count("\n") == 1 and not wrong.stdout
