"""Capacity: losses against a slow twin, bits of models made by hand, the parameters that count."""

import dataclasses
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data import biod, cfg
from physlm_jax.data.bios import biography, world
from physlm_jax.data.bios.capacity import experts_params
from physlm_jax.data.bios.used import used_ids
from physlm_jax.errors import InputError
from physlm_jax.models import transformer
from physlm_jax.models.transformer import TransformerConfig
from physlm_jax.probes.knowledge import capacity, scoring
from physlm_jax.probes.knowledge.scoring import scores, transformer_scorer
from physlm_jax.probes.knowledge.subject import NOTHING
from physlm_jax.probes.knowledge.subjects import asked

ALL = capacity.Settings(people=0)
LOGITS = jax.jit(lambda *args: transformer.apply(*args).logits, static_argnums=0)


def small(n=20, variant="bioS", vocabulary="atomic-plain", **options):
    return world(n, variant, "mini", vocabulary, **options)


def tiny(made, scale=1.0, seed=0, **fields):
    """A random model of the world's vocabulary, its parameters `scale` times as large."""
    fields = {"layers": 1, "width": 16, "heads": 1, "max_length": 160, **fields}
    model = TransformerConfig(vocab_size=len(made.vocabulary), **fields)
    params = transformer.init(model, jax.random.key(seed))
    return model, jax.tree.map(lambda x: scale * x, params)


# -- a slow twin: one biography at a time, from its text and all logits


def twin(made, model, params, person, variant, seed, draw, strict=True):
    """{part: [nats, head nats, right, head right]} of one text."""
    text = biography(person, variant, seed, draw)
    encode = made.vocabulary.encode
    front = [made.vocabulary.eos]
    if made.biographies.marked:
        front.append(int(encode("<domain>")[0]))
    tokens = np.array([*front, *encode(text.text)], np.int32)
    padded = np.zeros((1, model.max_length), np.int32)  # a decoder does not see what follows
    padded[0, : len(tokens)] = tokens
    logits = np.asarray(LOGITS(model, params, padded)[0], np.float64)
    spans = {}
    for span in text.spans:
        start, end = text.text[: span.start - 1], text.text[: span.end]
        places = (len(front) + len(encode(start)), len(front) + len(encode(end)))
        spans.setdefault(span.role, places)
    if strict and spans["company city"] < spans["employer"]:
        del spans["employer"]
    found = {}
    for role, (start, end) in spans.items():
        nats, right = [], []
        for place in range(start, end):
            row = logits[place - 1]
            nats.append(math.log(np.exp(row - row.max()).sum()) + row.max() - row[tokens[place]])
            right.append(row.argmax() == tokens[place])
        found[role] = [sum(nats), nats[0], all(right), right[0]]
    return found


@pytest.mark.parametrize(
    ("variant", "kind", "options"),
    [
        ("bioS", "atomic-plain", {}),
        ("multi2+permute+fullname", "word", {}),
        ("couple2", "word", {"marked": True}),
        ("single", "atomic", {}),
        ("bioR-multi2", "word", {}),
    ],
)
def test_losses_are_those_of_a_slow_twin(variant, kind, options):
    made = small(7, variant, kind, **options)
    model, params = tiny(made, 6.0)
    (subject,) = asked(made, seed=5).subjects
    found = scores(transformer_scorer(model, params), subject, draws=3)
    entries = min(3, subject.kinds or 3)
    assert (found.members, found.texts) == (7, 7 * entries)
    people = made.biographies.groups[0]
    texts = [
        twin(made, model, params, person, variant, 5, draw)
        for person in people
        for draw in range(entries)
    ]
    for part in subject.parts:
        expected = np.mean([t[part] for t in texts if part in t], axis=0)
        ours = [m[part] for m in (found.nats, found.head_nats, found.right, found.head_right)]
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5, err_msg=part)


def test_all_orders_can_be_accepted():
    made = small(7)
    model, params = tiny(made, 6.0)
    (subject,) = asked(made, strict=False, seed=5).subjects
    found = scores(transformer_scorer(model, params), subject, draws=2)
    people = made.biographies.groups[0]
    each = [twin(made, model, params, p, "bioS", 5, d, False) for p in people for d in range(2)]
    expected = np.mean([t["employer"][0] for t in each])
    assert found.nats["employer"] == pytest.approx(expected, rel=1e-4)


def test_errors_are_those_between_people():
    made = small(12, "multi2")  # all parts in all texts: then the mean of people's own means
    model, params = tiny(made, 6.0)
    (subject,) = asked(made).subjects
    found = scores(transformer_scorer(model, params), subject, draws=2)
    own = []
    for person in made.biographies.groups[0]:
        texts = [twin(made, model, params, person, "multi2", 0, draw) for draw in range(2)]
        own.append(np.mean([[t[part][0] for part in subject.counted] for t in texts], axis=0))
    expected = np.sum(own, axis=1).std(ddof=1) / math.sqrt(12)
    assert found.error["total"] == pytest.approx(expected, rel=1e-3)
    assert found.error["name"] == pytest.approx(
        np.std(own, axis=0, ddof=1)[0] / math.sqrt(12), rel=1e-3
    )


def test_texts_are_read_piece_by_piece(monkeypatch):
    made = small(11)
    model, params = tiny(made, 6.0)
    (subject,) = asked(made).subjects
    whole = scores(transformer_scorer(model, params), subject)
    monkeypatch.setattr(scoring, "_MEMBERS", 4)
    monkeypatch.setattr(scoring, "_ROOM", 3 * 40 * model.vocab_size)
    parts = scores(transformer_scorer(model, params), subject)
    for part in subject.parts:
        assert parts.nats[part] == pytest.approx(whole.nats[part], rel=1e-5)


# -- models made by hand

POOLS = {  # of "mini", in the order of the tokens of whole values
    "name": (40, 40, 100),
    "birth date": (12, 28, 200),
    "birth city": (50,),
    "university": (50,),
    "major": (25,),
    "employer": (60,),
    "company city": (30,),
    "pronoun": (2,),
}


def uniform(texts):
    """A table model: every value of a pool is as likely as the others."""
    nats, place = np.full(len(texts.tokens), 99.0), {}
    for i, (part, head) in enumerate(zip(texts.part, texts.head, strict=True)):
        if part != NOTHING:
            place[part] = 0 if head else place[part] + 1
            nats[i] = math.log([*POOLS.values()][part][place[part]])
    return nats, np.zeros(len(nats), bool)


def perfect(n):
    """A model that knows all and draws names among n people."""

    def score(texts):
        return np.where((texts.part == 0) & texts.head, math.log(n), 0.0), texts.part != 0

    return score


def test_uniform_guesses_are_no_bits_and_perfect_knowledge_all():
    made = small(50)
    (subject,) = asked(made).subjects
    model, _ = tiny(made)
    count = capacity.parameters(model, asked(made).used)
    guess = capacity.stored(uniform, subject, count, ALL)
    assert guess.scores.nats["name"] == pytest.approx(math.log(160_000))
    lost = sum(guess.scores.nats[part] for part in subject.counted[1:])
    assert lost == pytest.approx(38.875 * math.log(2), rel=1e-4)
    assert guess.bits.ratio == pytest.approx(0, abs=1e-9)
    best = capacity.stored(perfect(50), subject, count, ALL)
    assert best.bits.ratio == pytest.approx(best.bits.max_ratio)
    assert best.bits.total == pytest.approx(50 * (math.log2(160_000 / 50) + 38.875), rel=1e-4)
    assert sum(subject.ceilings().values()) == pytest.approx(best.bits.max_total / 50)
    assert best.error == 0
    assert capacity.people_known(subject, best.scores) == 50
    assert capacity.people_known(subject, guess.scores) == 0


def test_without_pronouns_there_is_no_gender_to_know():
    made = small(50, "multi2+fullname")
    (subject,) = asked(made).subjects
    assert "pronoun" not in subject.parts
    best = capacity.stored(perfect(50), subject, 1000, ALL)
    assert best.bits.total == pytest.approx(best.bits.max_total)
    assert best.bits.max_total == pytest.approx(50 * (math.log2(160_000 / 50) + 37.875), rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0.1, 30),
    st.sampled_from([("bioS", "atomic-plain", False), ("single", "word", True)]),
)
def test_no_model_gives_n_names_less_than_ln_n(seed, scale, kind):
    made = small(24, *kind[:2], marked=kind[2], seed=seed % 3)
    model, params = tiny(made, scale, seed)
    (subject,) = asked(made).subjects
    found = capacity.stored(transformer_scorer(model, params), subject, 1000, ALL)
    assert found.scores.nats["name"] >= math.log(24) - 1e-4
    assert found.bits.ratio <= found.bits.max_ratio + 1e-6


def test_a_text_stands_alone_behind_its_starting_symbol():
    for marked in (False, True):
        made = small(9, marked=marked)
        (subject,) = asked(made).subjects
        texts = subject.texts(np.arange(9), 0)
        eos = made.vocabulary.eos
        for text, part in zip(texts, np.split(texts.part, texts.offsets[1:-1]), strict=True):
            assert text[0] == eos and eos not in text[1:]
            names = np.flatnonzero(part == 0)
            assert names.tolist() == [1 + marked, 2 + marked, 3 + marked]
            assert (made.vocabulary.names[text[1]] == "<domain>") == marked


# -- who is read, and how often


def test_people_are_drawn_without_replacement(monkeypatch):
    monkeypatch.setattr(scoring, "LEAST", 10)
    found = scoring.chosen(40, 12, 1)
    assert len(set(found.tolist())) == 12 and found.min() >= 0 and found.max() < 40
    assert not np.array_equal(found, scoring.chosen(40, 12, 2))
    np.testing.assert_array_equal(scoring.chosen(40, 0, 1), np.arange(40))
    np.testing.assert_array_equal(scoring.chosen(40, 50, 1), np.arange(40))
    with pytest.raises(InputError, match=r"people 9: expected 0 \(all\) or at least 10"):
        scoring.chosen(40, 9, 1)


def test_fixed_texts_are_the_training_texts():
    made = small(8, "multi3+permute")
    (subject,) = asked(made).subjects
    training = {t.tobytes() for t in made.examples(0, 0, 24)}
    eos = np.array([made.vocabulary.eos], np.int32)
    ours = {
        np.concatenate([t, eos]).tobytes()
        for draw in range(3)
        for t in subject.texts(np.arange(8), draw)
    }
    assert ours == training
    assert scores(uniform, subject, draws=0).texts == 24
    assert scores(uniform, subject, draws=2).texts == 16
    assert scores(uniform, subject, draws=9).texts == 24


def test_fresh_wordings_are_not_the_training_stream():
    made = small(8)
    (subject,) = asked(made, seed=1).subjects
    training = {t.tobytes() for t in made.examples(0, 0, 800)}
    eos = np.array([made.vocabulary.eos], np.int32)
    ours = [np.concatenate([t, eos]).tobytes() for t in subject.texts(np.arange(8), 0)]
    assert not training & set(ours)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: asked(cfg.world(grammar="cfg3b")), r"CfgWorld has no names and values"),
        (lambda: asked(small(variant="multi2+reverse1")), r"do not begin with the name"),
        (
            lambda: scores(uniform, asked(small()).subjects[0], draws=0),
            r"draws 0: expected 1 or more",
        ),
        (lambda: transformer_scorer(tiny(small(), causal=False)[0], {}), r"losses need a decoder"),
        (
            lambda: transformer_scorer(*tiny(small(), max_length=20))(
                asked(small()).subjects[0].texts(np.arange(3), 0)
            ),
            r"texts of 35 tokens: the model reads 20",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def read(made):
    """Whether the employer of the world's first person is read."""
    (subject,) = asked(made).subjects
    texts = subject.texts(np.arange(1), 0)
    return (texts.part == subject.parts.index("employer")).any()


def test_an_employer_that_is_always_given_away():
    made = next(m for m in (small(1, "single+permute1", seed=s) for s in range(20)) if not read(m))
    (subject,) = asked(made).subjects
    with pytest.raises(InputError, match=r"no text that was read has the employer"):
        scores(uniform, subject)


# -- parameters


def test_golden_parameters():
    gpt2 = TransformerConfig(vocab_size=50257, max_length=512, layers=2, width=128, heads=2)
    assert capacity.parameters(gpt2, 3275) == 816_000
    small_gpt2 = dataclasses.replace(gpt2, layers=12, width=768, heads=12)
    assert capacity.parameters(small_gpt2, 3275) == 87_571_200
    untied = dataclasses.replace(gpt2, tied=False)
    assert capacity.parameters(untied, 3275) == 816_000 + 3275 * 128
    experts = dataclasses.replace(gpt2, mlp="experts", mlp_ratio=1.0)
    assert capacity.parameters(experts, 3275) == experts_params(2, 2, 64, 3275)  # all of them


def test_rows_of_tokens_that_never_occur_do_not_count():
    made = small()
    model, _ = tiny(made)
    used = asked(made).used
    assert used < len(made.vocabulary)
    right = capacity.parameters(model, used)
    every = transformer.parameter_count(model)
    assert every - right == (len(made.vocabulary) - used) * 16
    assert capacity.parameters(model, used, right - 5) == right - 5
    assert capacity.parameters(model, len(made.vocabulary), every) == every
    message = rf"model has {every}, but {used} of its {len(made.vocabulary)} ids occur: {right}"
    for wrong in (every, every + 1, -1):
        with pytest.raises(InputError, match=message):
            capacity.parameters(model, used, wrong)
    with pytest.raises(InputError, match=r"0 used ids"):
        capacity.parameters(model, 0)


def test_ids_of_the_stream_count_whatever_part_they_are_of():
    plain, asking = small(40, "single", "atomic"), {"tasks": "extraction", "asked": 5}
    idle = small(40, "single", "atomic", **asking)
    mixed = small(40, "single", "atomic", **asking, question_share=0.5)
    junk = small(40, "single", "atomic", junk_people=40)
    counts = [asked(made).used for made in (plain, idle, mixed, junk)]
    assert counts[0] == counts[1] < counts[2] and counts[0] < counts[3]


def test_calibration_has_a_thousand_texts():
    made = small(30)
    rows, weights = capacity.calibration(asked(made), 160, 3)
    assert rows.shape == weights.shape and len(rows) == 1000
    assert (weights.sum(1) > 30).all() and (rows[:, 0] == made.vocabulary.eos).all()
    with pytest.raises(InputError, match=r"the model reads 20"):
        capacity.calibration(asked(made), 20, 3)


# -- bioD


def diverse(**numbers):
    return biod.world(people=9, pools="mini", **numbers)


SHAPE = {"attributes": 3, "chunks": 2, "diversity": 5, "length": 2, "alphabet": 7}


def test_values_of_biod_are_told_by_their_numbers():
    made = diverse(**SHAPE)
    (subject,) = asked(made, seed=3).subjects
    assert subject.parts == ("name", "ID 1", "ID 2", "ID 3") and subject.n == 9
    texts = subject.texts(np.arange(9), 2)
    values = made.values(np.arange(9))
    sets = [made.strings(a) for a in range(3)]
    decode = made.vocabulary.decode
    orders = set()
    for i, text in enumerate(texts):
        span = slice(*texts.offsets[i : i + 2])
        part, head = texts.part[span], texts.head[span]
        assert text[0] == made.vocabulary.eos and made.vocabulary.eos not in text[1:]
        assert decode(text[part == 0]) == f" {made.people[i].name}"
        assert np.flatnonzero(part == 0).tolist() == [1, 2, 3]
        assert np.flatnonzero(head & (part == 0)).tolist() == [1]
        for a in range(3):
            chunks = [" ".join(f"x{s}" for s in sets[a][c]) for c in values[i, a]]
            assert decode(text[part == a + 1]) == " " + ", ".join(chunks)
            assert decode(text[(part == a + 1) & head]) == " " + chunks[0]
        orders.add(tuple(dict.fromkeys(part[part > 0].tolist())))
    assert len(orders) > 1
    assert (part == NOTHING).sum() == 1 + 1 + 3 * 4 + 2  # EOS, 's, ID number is ., Their


def test_bits_of_biod():
    made = diverse(**SHAPE)
    (subject,) = asked(made).subjects
    best = capacity.stored(perfect(9), subject, 1000, ALL)
    spread = 3 * 5 * (2 * math.log2(7) - math.log2(5))
    most = 9 * math.log2(160_000 / 9) + 9 * 3 * 2 * math.log2(5) + spread
    assert best.bits.total == pytest.approx(best.bits.max_total) == pytest.approx(most)
    assert capacity.people_known(subject, best.scores) == 9

    def guessing(texts):  # uniform over names, chunks and strings of a set, as the paper counts it
        first = texts.head & (texts.part != NOTHING)
        per_value = np.where(texts.head, math.log(7) - math.log(5) / 2, 0.0)
        nats = np.where(texts.part > 0, per_value, 0.0)
        nats[(texts.part == 0) & first] = math.log(160_000)
        return nats, np.zeros(len(nats), bool)

    found = capacity.stored(guessing, subject, 1000, ALL)
    assert found.bits.name == pytest.approx(0, abs=1e-9)
    assert found.bits.diversity == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "shape", [SHAPE, {**SHAPE, "chunks": 1, "attributes": 1}, {**SHAPE, "alphabet": 300}]
)
def test_used_ids_of_biod_are_those_of_a_stream(shape):
    made = diverse(**shape)
    seen = np.unique(made.examples(4, 0, 90).tokens)
    np.testing.assert_array_equal(used_ids(made), seen)
    assert asked(made).used == len(seen)


def test_losses_of_biod_are_those_of_a_slow_twin():
    made = diverse(**SHAPE)
    model, params = tiny(made, 5.0)
    (subject,) = asked(made, seed=3).subjects
    found = scores(transformer_scorer(model, params), subject, draws=2)
    sums = {part: [[], []] for part in subject.parts}
    for draw in range(2):
        texts = subject.texts(np.arange(9), draw)
        for i, text in enumerate(texts):
            span = slice(*texts.offsets[i : i + 2])
            padded = np.zeros((1, model.max_length), np.int32)
            padded[0, : len(text)] = text
            logits = np.asarray(LOGITS(model, params, padded)[0], np.float64)
            chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
            nats = -np.log(chances[np.arange(len(text) - 1), text[1:]])
            for p, part in enumerate(subject.parts):
                mine = (texts.part[span] == p)[1:]
                sums[part][0].append(nats[mine].sum())
                sums[part][1].append(nats[mine & texts.head[span][1:]].sum())
    for part, (whole, head) in sums.items():
        assert found.nats[part] == pytest.approx(np.mean(whole), rel=1e-4)
        assert found.head_nats[part] == pytest.approx(np.mean(head), rel=1e-4)
