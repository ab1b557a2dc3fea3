"""Storage probes: what is read where, and probes of models made by hand."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physlm_jax.data.bios import biography, world
from physlm_jax.data.bios.pools import ATTRIBUTES
from physlm_jax.data.ragged import Ragged
from physlm_jax.errors import InputError
from physlm_jax.models import lora, transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.probes.knowledge import storage, storage_fit
from physlm_jax.probes.knowledge.storage_fit import FitConfig, Probes, Reading, fit, predict
from physlm_jax.probes.knowledge.storage_tasks import (
    People,
    all_tasks,
    distinct,
    halves,
    places,
    truths,
)


def small(n=20, variant="multi2+permute", vocabulary="word", **options):
    return world(n, variant, options.pop("pools", "mini"), vocabulary, **options)


# -- tasks, people, places


def test_eleven_tasks_and_their_classes():
    tasks = all_tasks(small(pools="full").biographies)
    assert len(tasks) == 11 and [t.name for t in tasks[:2]] == [
        "birth date first",
        "birth city first",
    ]
    sizes = {t.name: t.size for t in tasks}
    assert sizes["birth date first"] == 12 and "birth date whole" not in sizes
    wholes = [sizes[f"{a.replace('_', ' ')} whole"] for a in ATTRIBUTES[1:]]
    assert wholes[:4] == [200, 300, 100, 263]
    for attribute in ("university", "birth city", "employer"):
        assert sizes[f"{attribute} first"] <= sizes[f"{attribute} whole"]
    assert sizes["university first"] < 300  # some begin alike


@pytest.mark.parametrize("kind", ["word", "atomic"])
def test_classes_are_those_of_first_tokens_and_of_values(kind):
    made = small(12, pools="full", vocabulary=kind)
    people, tasks = halves(made).test, all_tasks(made.biographies)
    found = truths(people, np.arange(6), tasks)
    for i in range(6):
        person = people.some[i]
        for task, cls in zip(tasks, found[i], strict=True):
            value = getattr(person, ATTRIBUTES[task.attribute])
            values = people.some.lists.values_of(
                "month" if task.attribute == 0 else ATTRIBUTES[task.attribute]
            )
            token = made.vocabulary.encode(" " + value)[0]
            for v, other in zip(values, task.classes, strict=True):
                alike = v == value or (
                    task.name.endswith("first") and made.vocabulary.encode(" " + v)[0] == token
                )
                assert (other == cls) == alike


def test_tasks_with_one_answer_are_fitted_once():
    tasks = all_tasks(small(vocabulary="atomic").biographies)
    fitted, answers = distinct(tasks)
    assert len(fitted) == 6 and answers["major whole"] == answers["major first"] == "major first"
    fitted, answers = distinct(all_tasks(small(pools="full").biographies))
    assert answers["university whole"] == "university whole"


def test_halves_are_those_of_the_world_or_of_a_group():
    asked = small(20, tasks="extraction", asked=6)
    found = halves(asked)
    assert (found.train.first, found.train.some.n) == (0, 6)
    assert (found.test.first, found.test.some.n) == (10, 10)
    plain = halves(small(21))
    assert (plain.train.some.n, plain.test.first, plain.test.some.n) == (10, 10, 11)
    stars = halves(small(20, "single", celebrities=8))
    assert (stars.train.group, stars.train.some.n) == (0, 8)
    assert (stars.test.group, stars.test.first, stars.test.some.n) == (1, 0, 20)
    with pytest.raises(InputError, match=r"questions need two people"):
        halves(small(1))
    with pytest.raises(InputError, match=r"no biographies"):
        People.of(plain.train.world, dataclasses.replace(plain.train.some, n=40))


@pytest.mark.parametrize("variant", ["multi2+permute", "single", "couple2", "bioR-multi2", "bioS"])
def test_places_are_just_before_the_first_token_of_each_value(variant):
    made = small(12, variant)
    people = halves(made).test
    who = np.array([3, 0, 5])
    texts = people.entries(who, 7)
    where, follows = places(texts)
    assert where.shape == follows.shape == (3, 6)
    assert (np.diff(where, axis=1) > 0).all()
    assert (np.sort(follows, axis=1) == np.arange(6)).all()
    for i, text in enumerate(texts):
        person = people.some[int(who[i])]
        for place, attribute in zip(where[i], follows[i], strict=True):
            value = getattr(person, ATTRIBUTES[attribute])
            after = made.vocabulary.decode(text[place + 1 :])
            if not variant.startswith("bioR"):
                assert after.startswith(" " + value)
            else:  # a date may begin with its day
                starts = {value.split()[0], value.split()[1].rstrip(",") if attribute == 0 else ""}
                assert after[1:].split()[0].rstrip(".,") in {s.rstrip(".,") for s in starts}
    if variant == "single":
        assert (follows == np.arange(6)).all()


def test_texts_are_the_persons_own_entries():
    made = small(12, "multi3+permute")
    people = halves(made).test
    for seed in range(4):
        (text,) = people.entries(np.array([2]), seed)
        own = {biography(people.some[2], "multi3+permute", 0, e).text for e in range(3)}
        assert made.vocabulary.decode(text[1:]) in own
    fresh = halves(small(12, "bioS")).test
    a, b, c = (fresh.entries(np.array([2]), seed).tokens.tobytes() for seed in (1, 2, 1))
    assert a == c != b


@pytest.mark.parametrize("marked", [False, True])
def test_a_query_is_a_name_alone(marked):
    made = small(12, vocabulary="word", marked=marked)
    people = halves(made).test
    for i, ids in enumerate(people.names(np.arange(6))):
        domain = "<domain>" * marked
        assert made.vocabulary.decode(ids) == f"<eos>{domain} {people.some[i].name}<eos>"


def test_batches_go_through_everybody_in_passes():
    made = small(20)
    people, tasks = halves(made).train, all_tasks(made.biographies)[:2]
    found = itertools.islice(storage.batches("query", people, tasks, 5, 1), 70)
    names = [[t.tobytes() for t in batch.texts] for batch in found]
    passes = [set(a + b) for a, b in zip(names[::2], names[1::2], strict=True)]
    assert all(len(one) == 10 for one in passes) and len({n for b in names for n in b}) == 10
    (first, *_) = storage.batches("position", people, tasks, 5, 1), 0
    batch = next(first)
    assert len(batch.texts) == 5 and batch.places.shape == (5, 6) and batch.truth.shape == (5, 2)
    where, _ = places(batch.texts)
    np.testing.assert_array_equal(where, batch.places)


# -- probes of models made by hand

V = 24
MODEL = TransformerConfig(vocab_size=V, max_length=8, layers=1, width=V, heads=1, position="none")


def showing():
    """A model whose hidden states are its tokens, one-hot: blocks write nothing."""
    params = transformer.init(MODEL, jax.random.key(0))
    params["embedding"] = jnp.eye(V)
    params["blocks"] = jax.tree.map(jnp.zeros_like, params["blocks"])
    return params


def readings(people, truth, places=1, size=0):
    """Texts 0, i, i, 0 of people whose token is i, read at their token."""
    texts = Ragged.from_sequences([[0, i, i, 0] for i in people])
    return Reading(texts, np.full((len(people), places), 2, np.int32), truth)


def repeated(reading, size, seed=0):
    rng = np.random.default_rng(seed)
    while True:
        some = rng.permutation(len(reading.texts))[:size]
        texts = Ragged.from_sequences([reading.texts[i] for i in some])
        yield Reading(texts, reading.places[some], reading.truth[some])


CONFIG = FitConfig(2, "layer", 8, steps=250, learning_rate=2e-2, dropout=0.0)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("places", [1, 3])
def test_what_the_states_hold_is_found(norm, places):
    people = np.arange(V)
    truth = np.stack([people % 3, people // 5], 1).astype(np.int32)  # two tasks
    everything = readings(people, truth, places)
    config = dataclasses.replace(CONFIG, norm=norm, batch=16, dropout=0.1)
    probes = fit(
        config,
        MODEL,
        showing(),
        (3, 5),
        repeated(everything, 16),
        lambda: iter([everything]),
    )
    found = predict(MODEL, showing(), probes, everything)
    assert found.shape == (V, places, 2)
    assert (found == truth[:, None]).all()
    assert ("mean" in probes.norm) == (norm == "batch")


def test_random_classes_are_told_by_chance_alone():
    # the model's states hold who it is; those who were not fitted on have classes of their own
    truth = np.random.default_rng(3).integers(0, 2, (V, 30)).astype(np.int32)  # thirty tasks
    train, test = readings(np.arange(12), truth[:12]), readings(np.arange(12, V), truth[12:])
    probes = fit(CONFIG, MODEL, showing(), (2,) * 30, repeated(train, 8), lambda: iter([train]))
    assert (predict(MODEL, showing(), probes, train) == train.truth[:, None]).mean() > 0.97
    told = (predict(MODEL, showing(), probes, test) == test.truth[:, None]).mean()
    assert abs(told - 0.5) < 4 * 0.5 / np.sqrt(12 * 30)


def random_model(**fields):
    model = dataclasses.replace(MODEL, width=16, heads=2, **fields)
    params = transformer.init(model, jax.random.key(1))
    return model, jax.tree.map(lambda x: 3 * x, params)


def test_states_are_those_of_adapted_models():
    model, params = random_model()
    rule = lora.parse("^embedding$: rank=3, alpha=3")
    adapters = [lora.init(model, rule, jax.random.key(k)) for k in range(2)]
    adapters = [jax.tree.map(lambda x, k=k: x + 0.1 * k, a) for k, a in enumerate(adapters)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *adapters)
    tokens = np.random.default_rng(0).integers(0, V, (3, 6)).astype(np.int32)
    where = np.array([[1, 5], [0, 2], [3, 3]], np.int32)
    found = storage_fit.states(model, params, stacked, tokens, where)
    assert found.shape == (2, 3, 2, 16)
    for k, adapter in enumerate(adapters):
        final = transformer.apply(model, lora.attach(params, adapter), tokens, logits=False).final
        for i in range(3):
            np.testing.assert_allclose(found[k, i], final[i, where[i]], atol=1e-5)


def test_tasks_do_not_touch_one_another():
    model, params = random_model()
    people = np.arange(V)
    truth = np.stack([people % 3, people % 2], 1).astype(np.int32)
    config = dataclasses.replace(CONFIG, steps=6)

    def fitted(tasks, norm):
        data = readings(people, truth[:, tasks])
        sizes = tuple((3, 2)[t] for t in tasks)
        own = dataclasses.replace(config, norm=norm)
        return fit(own, model, params, sizes, repeated(data, 8), lambda: iter([data]))

    for norm in ("layer", "batch"):
        both, alone = fitted([0, 1], norm), fitted([0], norm)
        for name in ("kernel", "bias"):
            np.testing.assert_allclose(both.head[name][0], alone.head[name][0], atol=2e-5)
        for name, value in alone.norm.items():
            np.testing.assert_allclose(both.norm[name][0], value[0], atol=2e-5, err_msg=name)


def test_one_update_is_adamw_of_the_mean_loss():
    # from zero: the linear map's gradient is x^T (p - y) / places, Adam's first step its sign
    model, params = random_model()
    data = readings(np.arange(8), (np.arange(8) % 2)[:, None].astype(np.int32), 2)
    config = FitConfig(2, "layer", 8, steps=1, learning_rate=0.01, dropout=0.0)
    probes = fit(config, model, params, (2,), repeated(data, 8), lambda: iter([data]))
    rows = np.array([[0, i, i, 0] for i in range(8)])
    x = np.asarray(transformer.apply(model, params, rows, logits=False).final)[:, 2]
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    errors = 0.5 - np.eye(2)[np.arange(8) % 2]
    gradient = x.T @ errors / 8
    clear = np.abs(gradient) > 1e-3
    np.testing.assert_allclose(
        np.asarray(probes.head["kernel"][0])[clear], -0.01 * np.sign(gradient[clear]), rtol=1e-2
    )


def test_rows_that_are_not_updated_stay():
    model, params = random_model()
    data = readings(np.arange(V), (np.arange(V) % 2)[:, None].astype(np.int32))
    config = dataclasses.replace(CONFIG, steps=4, updated=(0,), weight_decay=0.0)
    probes = fit(config, model, params, (2,), repeated(data, 8), lambda: iter([data]))
    down = np.asarray(probes.adapter["embedding"].down[0])
    assert np.abs(down[0]).max() > 0 and (down[1:] == 0).all()


def test_statistics_are_those_of_everybody():
    model, params = random_model()
    data = readings(np.arange(V), np.zeros((V, 1), np.int32))
    config = dataclasses.replace(CONFIG, steps=2, norm="batch")
    pieces = [readings(np.arange(lo, min(lo + 7, V)), data.truth[lo : lo + 7]) for lo in (0, 7, 14)]
    pieces.append(readings(np.arange(21, V), data.truth[21:]))
    probes = fit(config, model, params, (2,), repeated(data, 8), lambda: iter(pieces))
    adapter = jax.tree.map(lambda x: x[0], probes.adapter)
    rows = np.array([[0, i, i, 0] for i in range(V)])
    x = transformer.apply(model, lora.attach(params, adapter), rows, logits=False).final[:, 2]
    np.testing.assert_allclose(probes.norm["mean"][0], x.mean(0), atol=1e-5)
    np.testing.assert_allclose(probes.norm["variance"][0], x.var(0), atol=1e-5)


def test_classes_that_a_task_lacks_are_never_said(monkeypatch):
    model, params = random_model()
    data = readings(np.arange(V), np.zeros((V, 2), np.int32))
    adapter = storage_fit._start(CONFIG, model, (2, 9), jax.random.key(0))["adapter"]
    norm = {"scale": jnp.ones((2, 16)), "bias": jnp.zeros((2, 16))}
    head = {"kernel": jnp.zeros((2, 16, 9)), "bias": jnp.tile(jnp.arange(9.0), (2, 1))}
    monkeypatch.setattr(storage_fit, "_STATES", 2 * 8 * 16 * 5)  # five texts at a time
    found = predict(model, params, Probes((2, 9), adapter, norm, head), data)
    assert found.shape == (V, 1, 2)
    assert (found[..., 0] == 1).all() and (found[..., 1] == 8).all()


def test_the_set_of_what_was_told():
    task = dataclasses.replace(all_tasks(small().biographies)[2], attribute=1)
    follows = np.array([[0, 1, 2, 3, 4, 5], [4, 0, 1, 2, 3, 5]])
    right = np.array([[1, 0, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1]], bool)[:, :, None]
    found = storage.Found((task,), right, follows, np.zeros((2, 1), int), right).by_set(0)
    assert found == {
        "nothing": {"n": 2, "right": 1.0},
        "birth_date": {"n": 1, "right": 0.0},
        "employer": {"n": 1, "right": 1.0},
        "birth_date+employer": {"n": 1, "right": 0.0},
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rank": 0}, r"rank must be at least 1"),
        ({"steps": 0}, r"steps must be at least 1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **wrong)


def test_texts_longer_than_the_model_reads():
    texts = Ragged.from_sequences([[0] * 9])
    reading = Reading(texts, np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32))
    with pytest.raises(InputError, match=r"texts of 9 tokens: the model reads 8"):
        fit(CONFIG, MODEL, showing(), (2,), iter([reading]), lambda: iter([reading]))
