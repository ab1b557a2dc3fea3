"""Vocabularies: from text to ids and back to the letter, sizes, values apart, other texts."""

import itertools

import bios_twin as twin
import numpy as np
import pytest

from physlm_jax.data.bios import Biographies, Population, Tasks, biography
from physlm_jax.data.bios.pools import LISTS
from physlm_jax.data.bios.pools import pools as lists_of
from physlm_jax.data.bios.questions import QUESTIONS
from physlm_jax.data.bios.templates import templates
from physlm_jax.data.bios.tokenizers import KINDS, tokenizer
from physlm_jax.data.bios.words import words
from physlm_jax.errors import InputError


def check(speller, ids, text):
    """Ids of training are those of their text, which comes back to the letter."""
    assert speller.decode(ids) == text
    np.testing.assert_array_equal(speller.encode(text), ids)


@pytest.mark.parametrize("variant", twin.VARIANTS)
def test_biographies_come_back_to_the_letter(variant, kind, pools):
    if kind.endswith("-plain") and variant.startswith("bioR"):
        return
    people = Population(15, 8, pools)
    world = Biographies((people,), (variant,), kind)
    shown = world.presented(2, 0, 12)
    for ids, (_, number, k) in zip(world.entries(shown, 2), shown.tolist(), strict=True):
        text = biography(people[number], variant, 2, k).text
        check(world.vocabulary, ids, f"<eos>{text}<eos>")


def test_marked_biographies_come_back_to_the_letter(kind, pools):
    people = Population(15, 8, pools)
    plain, marked = (Biographies((people,), ("bioS",), kind, m) for m in (False, True))
    for one, two in zip(plain.examples(2, 0, 9), marked.examples(2, 0, 9), strict=True):
        check(marked.vocabulary, two, "<eos><domain>" + plain.vocabulary.decode(one[1:]))


@pytest.mark.parametrize("hints", [0.0, 0.5])
def test_questions_come_back_to_the_letter(hints, kind, pools):
    if kind.endswith("-plain"):
        return
    asked = Tasks(Population(15, 8, pools), tuple(QUESTIONS), kind, hints)
    people = Population(15, 8, pools)
    rows = asked.asked(4, 0, 150)
    for ids, (task, one, other, hint) in zip(asked.written(rows), rows.tolist(), strict=True):
        control = ("", "<direct>", "<hint>")[hint]
        who = [twin.person(people.pools, 8, number) for number in (one, other)]
        prompt, answer = twin.question(asked.tasks[task], *who, control)
        check(asked.vocabulary, ids, f"<eos>{prompt}{answer}<eos>")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["full", "mini"])
def test_every_value_has_ids_of_its_own(name, kind):
    """And none begins another's, so that the loss of a value's ids is its whole loss."""
    lists, speller = lists_of(name), tokenizer(name, kind)
    for field in (*LISTS, "company_city"):
        spelled = sorted(tuple(speller.encode(" " + v)) for v in lists.values_of(field))
        for one, two in itertools.pairwise(spelled):
            assert two[: len(one)] != one
        if kind.startswith("atomic"):
            assert {len(ids) for ids in spelled} == {1}
        names = {speller.names[i] for ids in spelled for i in ids}
        assert names == set().union(*(in_tokens(v, kind) for v in lists.values_of(field)))


def in_tokens(value, kind):
    """What a value is written with, spaces included."""
    if kind.startswith("atomic"):
        return {" " + value}
    return {word if word in (",", "'s") else " " + word for word in words(value)}


def test_a_biography_of_mini_has_34_atomic_tokens():
    people = Population(50, pools="mini")
    for kind in ("atomic", "atomic-plain"):
        found = Biographies((people,), ("bioS",), kind).examples(0, 0, 200)
        assert set(found.lengths.tolist()) == {36}  # and two EOS


def test_sizes():
    """The papers count 3275 ids that occur in full biographies, spelled by GPT-2's vocabulary."""
    sizes = {(n, k): len(tokenizer(n, k)) for n, k in itertools.product(("full", "mini"), KINDS)}
    assert 3000 < sizes["full", "word"] < 4000 and 3000 < sizes["full", "atomic"] < 4000
    assert sizes["mini", "atomic-plain"] < 720 < sizes["mini", "atomic"]
    for name, base in itertools.product(("full", "mini"), ("word", "atomic")):
        plain, whole = tokenizer(name, f"{base}-plain"), tokenizer(name, base)
        assert set(plain.names) < set(whole.names)


@pytest.mark.parametrize("name", ["full", "mini"])
def test_atomic_plain_has_values_words_and_marks_alone(name):
    lists = lists_of(name)
    values = {" " + v for field in lists.sizes for v in lists.values_of(field)}
    texts = [t for found in templates(name).values() for t in found]
    said = {w if w in (",", ".", "'s") else " " + w for t in texts for w in (*t.before, *t.after)}
    marks = {".", ",", "'s", " The", " person", " name", " is", " His", " Her", " and"}
    lower = {" he", " she", " his", " her"}
    special = {"<pad>", "<eos>", "<hint>", "<direct>", "<domain>", "<mask>"}
    assert set(tokenizer(name, "atomic-plain").names) == values | said | marks | lower | special


def test_special_tokens(kind):
    speller = tokenizer("full", kind)
    special = ("<eos>", "<hint>", "<direct>", "<domain>", "<mask>")
    ids = [speller.encode(text).tolist() for text in special]
    assert all(len(i) == 1 for i in ids) and len({i[0] for i in ids}) == 5
    assert [speller.decode(i) for i in ids] == [*special]
    assert ids[0] == [speller.eos] == [speller.bos]
    assert speller.encode(" He<eos> She").tolist() == [
        *speller.encode(" He"),
        speller.eos,
        *speller.encode(" She"),
    ]


def test_a_date_is_three_atomic_tokens_and_its_comma_is_understood():
    words, whole = tokenizer("full", "word"), tokenizer("full", "atomic")
    for text, sizes in ((" October 2, 1996.", (5, 4)), (" 2 October 1996.", (4, 4))):
        for speller, size in zip((words, whole), sizes, strict=True):
            ids = speller.encode(text)
            assert len(ids) == size and speller.decode(ids) == text


@pytest.mark.parametrize(
    "text", [" Xylophone", " sawyer", "Sawyer", "  Sawyer", " 1850", " é", "\n"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_texts_outside_the_language(kind, text):
    with pytest.raises(InputError, match=r"^the text at character \d+ \('.*'\) is outside the voc"):
        tokenizer("full", kind).encode(" Sawyer" + text)


def test_an_unknown_vocabulary(tmp_path):
    with pytest.raises(InputError, match=r"^bios: vocabulary 'words' is neither one of word, atom"):
        tokenizer("full", "words")
    with pytest.raises(InputError, match=r"holds no byte-pair vocabulary"):
        tokenizer("full", str(tmp_path))
