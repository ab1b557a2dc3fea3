"""Vocabularies: text to ids and back to the letter, and the ids of training data."""

import json
import re

import numpy as np
import pytest

from physlm_jax.data import igsm
from physlm_jax.data.igsm import language
from physlm_jax.errors import InputError

# A user's names: hyphens, an inner "'s", words of the sentences, one name within another.
MARKET = {
    "chains": [
        {
            "name": "Market",
            "categories": [
                {
                    "name": "Market Stall",
                    "subcategories": {
                        "All": ["Farmer's Best", "Well-Worn Stall", "The Old Stall", "Stall Ten"]
                    },
                },
                {
                    "name": "Basket",
                    "subcategories": {
                        "All": ["Egg-Basket", "Miller's Daughter's Basket", "Basket Ten", "Ten"]
                    },
                },
            ],
        }
    ]
}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """A specification with a user's names."""
    path = tmp_path_factory.mktemp("names") / "market.json"
    path.write_text(json.dumps(MARKET))
    return igsm.Spec(op_max=8, depths=(2,), names=str(path))


@pytest.fixture(scope="module", params=["items", "words", "two"])
def kind(request, files):
    return files.get(request.param, request.param)


def texts(problem):
    return [
        *(problem.prompt("pq"), problem.prompt("qp"), problem.solution),
        igsm.retry(problem, 0.4, seed=1),
        f"<problem>{problem.prompt()}<solution>{problem.solution}<answer> {problem.answer}<end>",
        f"<start> {problem.name(problem.query)}<mid> {problem.name(problem.params[0])}<stop>",
    ]


def test_texts_come_back_to_the_letter(kind, problems, market):
    some = [(igsm.MED, problems["med"][:40]), (market, igsm.sample(market, 3, 0, 40))]
    for spec, found in some:
        vocabulary = igsm.tokenizer(spec, kind)
        for problem in found:
            for text in texts(problem):
                ids = vocabulary.encode(text)
                assert ids.dtype == np.int32 and ids.min() >= 0 and ids.max() < len(vocabulary)
                assert vocabulary.decode(ids) == text


def test_a_text_has_the_ids_of_training_data(kind, market):
    for spec in (igsm.MED, market):
        vocabulary = igsm.tokenizer(spec, kind)
        retry = igsm.Retry(0.3)
        for order in ("pq", "qp"):
            for ids in igsm.tokens(spec, vocabulary, 8, 0, 40, order=order, retry=retry):
                np.testing.assert_array_equal(vocabulary.encode(vocabulary.decode(ids)), ids)


def test_tokens_of_every_vocabulary_say_the_same(kind, market):
    vocabulary = igsm.tokenizer(market, kind)
    plain = igsm.tokenizer(market)
    retry = igsm.Retry(0.4, mask="name")
    found = igsm.tokens(market, vocabulary, 8, 0, 30, retry=retry)
    items = igsm.tokens(market, plain, 8, 0, 30, retry=retry)
    for n in range(30):
        a, b = found.slice(n, n + 1), items.slice(n, n + 1)
        assert vocabulary.decode(a.tokens) == plain.decode(b.tokens)
        hidden = [v.decode(x.tokens[x.weights == 0]) for v, x in ((vocabulary, a), (plain, b))]
        assert hidden[0] == hidden[1]


@pytest.mark.parametrize("second", ["Bb Dd", "Bb"])
def test_prompts_have_the_ids_of_training_where_a_text_leaves_them_open(tmp_path, second):
    """ "Aa's Bb" is a name, and may also be "Aa" with what follows; see `IgsmWorld.prompt`."""
    layers = [
        {"name": "Cata", "subcategories": {"All": ["Aa", "Aa's Bb", "Ace", "Add"]}},
        {"name": "Catb", "subcategories": {"All": [second, "Bed", "Box", "Bud"]}},
    ]
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"chains": [{"name": "Chain", "categories": layers}]}))
    spec = igsm.Spec(op_max=4, depths=(2,), names=str(path))
    world, open_ids = igsm.IgsmWorld(spec), 0
    solution = world.vocabulary.role(language.SOLUTION)
    for n, problem in enumerate(igsm.sample(spec, 5, 0, 60)):
        (ids,) = world.examples(5, n, 1)
        cut = ids.tolist().index(solution) + 1
        assert world.prompt(problem) == ids[:cut].tolist()
        assert world.solution(problem) == ids[cut:-3].tolist()
        assert world.size(problem) == len(ids)
        assert world.vocabulary.decode(ids[1 : cut - 1]) == problem.prompt()
        for place, param in enumerate(problem.params):
            name = world.name(problem, place)
            assert len(name) == 3 and world.vocabulary.decode(name) == f" {problem.name(param)}"
            open_ids += "Aa's Bb" in problem.name(param)
    assert open_ids > 10


def test_problems_of_other_names_are_spelled_by_their_text(market):
    problem = igsm.sample(market, 3, 0, 1)[0]
    assert igsm.IgsmWorld(market).prompt(problem)
    with pytest.raises(InputError, match=r"is outside the vocabulary"):
        igsm.IgsmWorld(igsm.MED).prompt(problem)


def test_names_with_hyphens_and_owners(market):
    words, items = (igsm.tokenizer(market, kind) for kind in ("words", "items"))
    text = " Define Farmer's Best's Miller's Daughter's Basket as x;"
    parts = "Farmer|'s| Best|'s| Miller|'s| Daughter|'s| Basket"
    assert [words.decode([i]) for i in words.encode(text)] == (
        [" Define", *(" " + parts).split("|"), " as", " x", ";"]
    )
    assert [items.decode([i]) for i in items.encode(text)] == [
        *(" Define", " Farmer's Best", "'s", " Miller's Daughter's Basket", " as", " x", ";")
    ]
    assert len(words.encode(" Well-Worn Stall's Egg-Basket")) == 4


def test_sizes_of_the_closed_vocabularies():
    names = igsm.MED.name_lists
    fixed = len(language.PIECES)
    assert fixed <= 120
    items, words = igsm.tokenizer(igsm.MED), igsm.tokenizer(igsm.MED, "words")
    assert len(items) == fixed + len(set(names.categories) | set(names.items))
    distinct = {w for name in (*names.categories, *names.items) for w in re.split(" |'s", name)}
    assert len(words) == fixed + len(distinct - {"", *(w.strip() for w in language.WORDS)})
    mini = igsm.tokenizer(igsm.MINI)
    assert len(mini) == fixed + 4 * 8 + 4
    assert len({items.bos, items.eos, items.pad}) == 3
    assert items.bos == items.role(language.PROBLEM) and items.eos == items.role(language.END)


def test_letters_and_numbers_are_one_token_each():
    vocabulary = igsm.tokenizer(igsm.MED, "words")
    for text in [f" {n}" for n in range(23)] + [f" {c}" for c in "abzABZ"] + [" BACK", "'s", "?"]:
        assert len(vocabulary.encode(text)) == 1


@pytest.mark.parametrize(
    "text",
    [" Unicorn", " asas", "Define", "  Define", " 23", " 007", " é", "\n", " Define\u00a0", " __"],
)
@pytest.mark.parametrize("kind", ["items", "words"])
def test_texts_outside_the_language(kind, text):
    vocabulary = igsm.tokenizer(igsm.MED, kind)
    with pytest.raises(InputError, match=r"is outside the vocabulary") as error:
        vocabulary.encode(" Define" + text)
    assert "at character" in str(error.value)


def test_a_vocabulary_of_other_names(market):
    with pytest.raises(InputError, match=r"made for another specification's names"):
        igsm.tokens(igsm.MED, igsm.tokenizer(market), 0, 0, 1)
    with pytest.raises(InputError, match=r"made for another specification's names"):
        igsm.tokens(igsm.MINI, igsm.tokenizer(igsm.MED), 0, 0, 1)
    hard = igsm.tokenizer(igsm.MED)  # the same names
    assert len(igsm.tokens(igsm.HARD, hard, 0, 0, 3)) == 3


def test_an_unknown_vocabulary(tmp_path):
    with pytest.raises(InputError, match=r"vocabulary 'item' is neither one of items, words"):
        igsm.tokenizer(igsm.MED, "item")
    with pytest.raises(InputError, match=r"holds no byte-pair vocabulary"):
        igsm.tokenizer(igsm.MED, str(tmp_path))
