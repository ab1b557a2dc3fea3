"""The names of the iGSM world: our own list, every rule broken once, smaller worlds, own files."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physlm_jax.data.igsm.names import Category, Chain, Names, check, load_names
from physlm_jax.errors import InputError

SMALL = {
    "chains": [
        {
            "name": "Street",
            "categories": [
                {"name": "House", "subcategories": {"Big": ["Villa", "Manor", "Hall", "Castle"]}},
                {
                    "name": "Pet",
                    "subcategories": {
                        "Furry": ["Cat", "Dog", "Guinea Pig", "Old Hare"],
                        "Winged": ["Parrot", "Finch", "Dove", "Barn-Owl"],
                    },
                },
            ],
        }
    ]
}


def small():
    return json.loads(json.dumps(SMALL))


def write(tmp_path, content):
    path = tmp_path / "own.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def named(*layers, name="Street"):
    """A chain of layers (category name, items of the one sub-category), filled up to 4 items."""
    spare = iter([f"Spare {a}{b}" for a in ("Ab", "Bc", "Cd", "De") for b in "efghijkl"])
    categories = []
    for title, items in layers:
        filled = (*items, *(next(spare) for _ in range(4 - len(items))))
        categories.append(Category(title, (filled,), ("Only",)))
    return Names((Chain(name, tuple(categories)),))


def test_shape():
    names = load_names()
    assert len(names.chains) == 4 and len(names.categories) == len(set(names.categories)) == 16
    for chain in names.chains:
        for category in chain.categories:
            assert len(category.labels) == len(set(category.labels)) == 5
            assert [len(group) for group in category.subcategories] == [20] * 5
    check(names)


def test_items_are_distinct_in_the_whole_list():
    names = load_names()
    every = [i for chain in names.chains for c in chain.categories for i in c.items]
    assert len(every) == 1600 and tuple(every) == names.items
    assert not set(every) & set(names.categories)
    assert len({name.lower() for name in (*every, *names.categories)}) == 1616


def test_shares_of_lengths_and_letters():
    names = load_names()
    counts = Counter(min(len(item.split()), 4) for item in names.items)
    for words, percent in ((1, 30), (2, 50), (3, 15), (4, 3)):
        assert abs(counts[words] / 16 - percent) < 2, (words, counts)
    words = [word for name in (*names.items, *names.categories) for word in name.split()]
    assert all(word[0].isupper() and word[1:] == word[1:].lower() for word in words)
    assert sum("'s" in item for item in names.items) <= 6
    first = names.select(chains=1, subcategories=1, items=8).items
    assert len(first) == 32 and not any(" " in item for item in first)


def test_a_file_of_ones_own(tmp_path):
    path = write(tmp_path, SMALL)
    names = load_names(path)
    pets = names.chains[0].categories[1]
    assert names.categories == ("House", "Pet") and pets.labels == ("Furry", "Winged")
    assert pets.subcategories[1] == ("Parrot", "Finch", "Dove", "Barn-Owl")
    assert names.items[:5] == ("Villa", "Manor", "Hall", "Castle", "Cat")
    assert load_names(path) is names and load_names("") is load_names()


def test_select():
    names = load_names()
    chosen = names.select(chains=2, subcategories=3, items=5)
    assert len(chosen.chains) == 2 and len(chosen.items) == 2 * 4 * 3 * 5
    for old, new in zip(names.chains, chosen.chains, strict=False):
        for a, b in zip(old.categories, new.categories, strict=True):
            assert (a.name, a.labels[:3]) == (b.name, b.labels)
            assert tuple(group[:5] for group in a.subcategories[:3]) == b.subcategories
    assert names.select() == names == names.select(4, 4, 5, 20)
    smallest = names.select(chains=1, categories=2, subcategories=1, items=2)
    assert [c.items for c in smallest.chains[0].categories] == [
        c.subcategories[0][:2] for c in names.chains[0].categories[:2]
    ]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"chains": 5}, r"^the list: 5 chains asked for, allowed are 0 \(all\) to 4$"),
        ({"chains": -1}, r"-1 chains asked for"),
        ({"subcategories": 6}, r"^category 'Ship': 6 sub-categories asked for"),
        ({"items": 21}, r"^category 'Ship', sub-category 'Sailing Ships': 21 items asked for"),
        ({"items": 1}, r"sub-category 'Sailing Ships': 1 items; at least 2 needed"),
        ({"categories": 5}, r"^chain 'Voyage': 5 categories asked for, allowed are 0"),
        ({"categories": 1}, r"^chain 'Voyage': 1 categories; at least 2 needed$"),
    ],
)
def test_select_refuses(counts, message):
    with pytest.raises(InputError, match=message):
        load_names().select(**counts)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", r"exactly one space"),
        ("Two  Spaces", r"exactly one space"),
        (" Lead", r"exactly one space"),
        ("Trail ", r"exactly one space"),
        ("A.B", r"'A\.B' in the name"),
        ("Ab;", r"not a word of letters"),
        ("Ab, Cd", r"not a word of letters"),
        ("Ab = Cd", r"'=' in the name"),
        ("Who?", r"not a word of letters"),
        ("Item 17", r"'17' in the name"),
        ("Café", r"not a word of letters"),
        ("Tab\tbed", r"not a word of letters"),
        ("Line\n", r"not a word of letters"),
        ("Boys' Room", r"not a word of letters"),
        ("O'Hara", r"not a word of letters"),
        ("Baker's", r"any but the last word"),
        ("-Ab", r"not a word of letters"),
        ("Plan B", r"word of one letter, 'B'"),
        ("X's Mark", r"word of one letter, \"X's\""),
        ("Back Door", r"contains 'Back', a word of the solutions"),
        ("Just So", r"contains 'So'"),
        ("Each", r"contains 'Each'"),
        ("Well define", r"contains 'define'"),
        ("As Good", r"contains 'As'"),
        ("Difference", r"'Difference' is a word that the sentences are built of"),
        ("THE", r"'THE' is a word"),
        ("many", r"'many' is a word"),
    ],
)
def test_form_of_a_name(tmp_path, name, message):
    entry = small()
    entry["chains"][0]["categories"][1]["subcategories"]["Winged"][2] = name
    place = r"own\.json: chain 'Street', category 'Pet', sub-category 'Winged': "
    with pytest.raises(InputError, match=place) as error:
        load_names(write(tmp_path, entry))
    assert error.match(message)
    with pytest.raises(InputError, match=r"^chain 'Street', category .*: "):
        check(named((name, ["Villa"]), ("Pet", ["Cat"])))


@pytest.mark.parametrize("name", ["Back-Door Gate", "Baker's Shop", "More Bread", "Number Plate"])
def test_names_near_the_forbidden_ones(name):
    check(named(("House", [name]), ("Pet", ["Cat"])))


def test_distinct_within_a_chain():
    with pytest.raises(InputError, match=r"category 'Pet'.*'Cat' occurs before, in.*'House'"):
        check(named(("House", ["Cat"]), ("Pet", ["Dog", "Cat"])))
    with pytest.raises(InputError, match=r"sub-category 'Only': the name 'House' occurs before"):
        check(named(("House", ["Villa"]), ("Pet", ["House"])))


def test_distinct_over_chains():
    one = named(("House", ["Villa"]), ("Pet", ["Cat"])).chains
    two = named(("Farm", ["Villa"]), ("Tool", ["Cat"]), name="Land").chains
    check(Names(one + two))  # the same items in another chain are no harm
    with pytest.raises(
        InputError, match=r"^chain 'Land': the name 'House' occurs before, in chain"
    ):
        check(Names(one + named(("House", []), ("Tool", []), name="Land").chains))
    with pytest.raises(InputError, match=r"^the list: the name 'Street' occurs before"):
        check(Names(one + named(("Farm", []), ("Tool", [])).chains))


def test_sizes():
    names = named(("House", []), ("Pet", []))
    (chain,) = names.chains
    house, pet = chain.categories
    with pytest.raises(InputError, match=r"^no chain; at least 1 is needed$"):
        check(Names(()))

    def refused(message, *categories):
        with pytest.raises(InputError, match=message):
            check(Names((replace(chain, categories=categories),)))

    refused(r"^chain 'Street': 1 categories; at least 2 needed$", house)
    none = Category("Pet", (), ())
    refused(r"^chain 'Street', category 'Pet': 0 sub-categories; at least 1 needed$", house, none)
    few = replace(pet, subcategories=(pet.items[:3],))
    refused(r"category 'Pet', sub-category 'Only': 3 items; at least 4 needed$", house, few)
    refused(r"category 'Pet': 2 labels for 1 sub-cat", house, replace(pet, labels=("One", "Two")))


@pytest.mark.parametrize(
    "layers",
    [
        [("House", ["Lady", "Lady's Mantle"]), ("Pet", ["Cat", "Mantle's Cat"])],
        [("House", ["Lady", "Lady's Mantle"]), ("Pet", ["Mantle's Pet"])],
        [("House", ["Lady"]), ("Pet", ["Lady's Mantle"]), ("Toy", ["Mantle's Doll", "Doll"])],
        [("House", ["Al", "Al's Bo's Cy"]), ("Pet", ["Bo's Cy's Di", "Di"])],
    ],
)
def test_phrases_of_two_readings(layers):
    with pytest.raises(InputError, match=r"^chain 'Street': .* can be read as .* with .* and"):
        check(named(*layers))


def phrases(names):
    """Counts every phrase of a chain by going through all pairs."""
    (chain,) = names.chains
    found = Counter()
    for k, coarse in enumerate(chain.categories):
        for x in coarse.items:
            for fine in chain.categories[k + 1 :]:
                found.update(f"{x}'s {y}" for y in (*fine.items, fine.name))
    return found


@given(st.lists(st.lists(st.sampled_from(["Al", "Bo", "Cy"]), min_size=1, max_size=3), max_size=9))
def test_phrases_against_all_pairs(drawn):
    unique = list(dict.fromkeys("'s ".join(words) for words in drawn))
    cut = len(unique) // 3
    layers = (unique[:cut], unique[cut : 2 * cut], unique[2 * cut :][:4])
    names = named(*zip(("House", "Pet", "Toy"), layers, strict=True))
    try:
        check(names)
        is_clear = True
    except InputError:
        is_clear = False
    assert is_clear == (max(phrases(names).values()) == 1)


def changed(change):
    entry = small()
    change(entry, entry["chains"][0], entry["chains"][0]["categories"][1])
    return entry


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"line 1: not JSON"),
        ("", r"line 1: not JSON"),
        ("[]", r"the file: expected an object, got \[\]"),
        ({}, r"the file: the key 'chains' is missing"),
        ({"chains": {}}, r"chains: expected a list, got \{\}"),
        ({"chains": []}, r"no chain; at least 1"),
        ({"chains": [7]}, r"chains\[0\]: expected an object, got 7"),
        ('{"chains": [], "chains": []}', r"the key 'chains' occurs 2 times in one object"),
        (
            changed(lambda e, chain, pet: e.update(chain=[])),
            r"unknown key 'chain' in the file; did you mean 'chains'",
        ),
        (
            changed(lambda e, chain, pet: chain.update(name=None)),
            r"chains\[0\]\.name: expected a string, got null",
        ),
        (
            changed(lambda e, chain, pet: chain.pop("categories")),
            r"chains\[0\]: the key 'categories' is missing",
        ),
        (
            changed(lambda e, chain, pet: pet.update(subcategories=[])),
            r"chains\[0\]\.categories\[1\]\.subcategories: expected an object, got \[\]",
        ),
        (
            changed(lambda e, chain, pet: pet["subcategories"].update(Furry="Cat")),
            r"chains\[0\]\.categories\[1\]\.subcategories\['Furry'\]: expected a list, got \"Cat\"",
        ),
        (
            changed(lambda e, chain, pet: pet["subcategories"]["Furry"].append(3)),
            r"chains\[0\]\.categories\[1\]\.subcategories\['Furry'\]\[4\]: expected a string",
        ),
    ],
)
def test_malformed_files(tmp_path, content, message):
    with pytest.raises(InputError, match=r"own\.json: " + message):
        load_names(write(tmp_path, content))


def test_unreadable_files(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: not readable as text"):
        load_names(str(tmp_path / "none.json"))
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary\.json: not readable as text"):
        load_names(str(binary))
