"""The lists of values: sizes, shapes, the rules on all of them, a user's own, every rule broken."""

import itertools
import json
import math
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physlm_jax.data.bios.pool_rules import check_list
from physlm_jax.data.bios.pools import DAYS, LISTS, MINI, MONTHS, PRONOUNS, YEARS, pools
from physlm_jax.data.bios.templates import templates
from physlm_jax.data.bios.words import words
from physlm_jax.errors import InputError

FULL = pools()
FIELDS = (*LISTS, "company_city")
SMALL = {
    "first": ["Mara", "Joel"],
    "middle": ["Quill", "Ann"],
    "last": ["Tennant", "Ash", "Pike"],
    "birth_city": ["Duluth, MN", "St. Cloud, MN"],
    "university": ["Northgate College", "St. Olan College"],
    "major": ["Hydrology", "Art History"],
    "employer": [
        ["Larkspur Systems", "Akron, OH"],
        ["Bell & Harrow", "Dayton, OH"],
        ["Hobb's Mill", "Akron, OH"],
    ],
}


@pytest.mark.parametrize(
    ("name", "sizes", "names", "values", "bits"),
    [
        (
            "full",
            (400, 400, 1000, 200, 300, 100, 263, 133),
            160_000_000,
            212_083_200_000_000,
            (27.2535, 47.5916),
        ),
        ("mini", (40, 40, 100, 50, 50, 25, 60, 30), 160_000, 504_000_000_000, (17.288, 38.875)),
    ],
)
def test_sizes(name, sizes, names, values, bits):
    got = pools(name)
    assert tuple(got.sizes[field] for field in FIELDS) == sizes
    assert tuple(len(got.values_of(field)) for field in FIELDS) == sizes
    assert (got.names, got.values) == (names, values)
    assert math.log2(got.names) == pytest.approx(bits[0], abs=5e-4)
    assert math.log2(got.values) == pytest.approx(bits[1], abs=5e-4)


def test_dates_and_pronouns():
    assert len(MONTHS) == 12 and PRONOUNS == ("He", "She")
    assert [int(day) for day in DAYS] == [*range(1, 29)]
    assert (YEARS[0], YEARS[-1], len(YEARS)) == ("1900", "2099", 200)
    assert FULL.values_of("month") is MONTHS and FULL.values_of("pronoun") is PRONOUNS
    with pytest.raises(InputError, match=r"^unknown field 'city' in the pools; did you mean"):
        FULL.values_of("city")


def test_names():
    for part in ("first", "middle", "last"):
        names = FULL.values_of(part)
        assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in names)
        assert not set(names) & set(MONTHS)
    first, middle, last = set(FULL.first), set(FULL.middle), set(FULL.last)
    assert (len(first & middle), len(first & last), len(middle & last)) == (286, 64, 70)


def test_cities():
    for city in (*FULL.birth_city, *FULL.company_city):
        assert re.fullmatch(r"[A-Z][A-Za-z. ]+, [A-Z]{2}", city)
        assert 2 <= len(city.split()) <= 4
    assert len({city[-2:] for city in FULL.birth_city}) == 42
    lengths = [len(city.split()) for city in FULL.birth_city]
    assert sum(lengths) / 200 == pytest.approx(2.3, abs=0.05) and max(lengths) == 4
    assert len(set(FULL.birth_city) & set(FULL.company_city)) == 44


def test_lengths():
    def length(values):
        return [len(value.split()) for value in values]

    universities, majors, employers = map(length, (FULL.university, FULL.major, FULL.employer))
    assert sum(u.startswith("University of ") for u in FULL.university) == 109
    assert max(universities) == 9 and sum(universities) / 300 == pytest.approx(3.6, abs=0.15)
    assert max(majors) == 3 and sum(majors) / 100 == pytest.approx(1.5, abs=0.1)
    assert max(employers) == 4 and sum(employers) / 263 == pytest.approx(1.6, abs=0.1)
    stopped = [v for f in FIELDS for v in FULL.values_of(f) if "." in v]
    assert 10 <= len(stopped) <= 25


def test_headquarters():
    counts = Counter(FULL.headquarters)
    assert len(FULL.headquarters) == 263 and set(counts) == set(range(133))
    multiplicities = Counter(counts.values())
    assert multiplicities == {1: 90, 2: 24, 3: 7, 4: 4, 5: 3, 7: 1, 8: 1, 11: 2, 36: 1}
    place = FULL.employer.index("Larkspur Systems")
    assert FULL.company_city[FULL.headquarters[place]] == "Richmond, VA"
    assert list(dict.fromkeys(FULL.headquarters)) == list(range(133))  # by first appearance


def test_mini_is_the_beginning_of_full():
    mini = pools("mini")
    assert list(MINI) == list(LISTS)
    for field in LISTS:
        assert mini.values_of(field) == FULL.values_of(field)[: MINI[field]]
    assert mini.headquarters == FULL.headquarters[:60] and set(mini.headquarters) == set(range(30))
    assert mini.company_city == FULL.company_city[:30]


def test_mini_has_688_atomic_tokens():
    """Every value, word of a template and full stop is another one; with EOS and pad 688."""
    mini = pools("mini")
    tokens = [v for field in mini.sizes for v in mini.values_of(field)]
    template_words = {w for ts in templates("mini").values() for t in ts for w in t.before}
    tokens += [*template_words, "."]
    assert len(tokens) == len(set(tokens)) == 686


def begins(short, long):
    """As strings or as words."""
    a, b = words(short), words(long)
    return long.startswith(short) or b[: len(a)] == a


@pytest.mark.parametrize("field", FIELDS)
def test_no_value_begins_another(field):
    values = FULL.values_of(field)
    cut = [words(value) for value in values]
    assert len(set(values)) == len(set(cut)) == len(values)
    for (i, a), (j, b) in itertools.permutations(enumerate(values), 2):
        assert not b.startswith(a), (a, b)
        assert cut[j][: len(cut[i])] != cut[i], (a, b)
    check_list(values, field, is_name=field in ("first", "middle", "last"))


@given(
    st.lists(st.sampled_from(["A", "Ab", "A b", "Ab c", "Abc", "Ba", "Ba, C", "B & A"]), min_size=2)
)
def test_beginnings_against_all_pairs(values):
    pairs = itertools.permutations(values, 2)
    is_free = not any(begins(a, b) for a, b in pairs)
    try:
        check_list(values, "list")
        passed = True
    except InputError:
        passed = False
    assert passed == is_free


def write(tmp_path, content):
    path = tmp_path / "own.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_a_file_of_ones_own(tmp_path):
    path = write(tmp_path, SMALL)
    own = pools(path)
    assert own.last == ("Tennant", "Ash", "Pike") and own.names == 2 * 2 * 3
    assert own.employer[2] == "Hobb's Mill" and own.headquarters == (0, 1, 0)
    assert own.company_city == ("Akron, OH", "Dayton, OH")
    assert own.values == 2 * 12 * 28 * 200 * 2 * 2 * 2 * 3
    assert pools(path) is own and pools("full") is pools()


def test_unknown_name():
    with pytest.raises(InputError, match=r"^unknown pools 'ful'; did you mean 'full'\? \(known: P"):
        pools("ful")


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("first", ["Mara"], r"first: 1 values; at least 2 needed"),
        ("major", [], r"major: 0 values; at least 2"),
        ("major", ["Law", ""], r"major\[1\]: an empty value"),
        ("major", ["Law", 7], r"major\[1\]: expected a string, got 7"),
        ("major", ["Law", "Art", "Law"], r"major\[2\]: 'Law' is also major\[0\]"),
        ("major", ["Law", "Art History", "Art"], r"major\[2\]: 'Art' is the beginning of 'Art Hi"),
        ("last", ["Woods", "Wood"], r"last\[1\]: 'Wood' is the beginning of 'Woods', last\[0\]"),
        ("first", ["Mara", "Ann Lee"], r"first\[1\]: a part of a name must be one word of letters"),
        ("last", ["Ash", "O'Dell"], r"last\[1\]: a part of a name must be one word of letters"),
        ("last", ["Ash", "Co"], r"last\[1\]: 'Co' ends in 'Co', which runs into the full stop"),
        ("birth_city", ["Reno, NV", "Erie: PA"], r"birth_city\[1\]: 'Erie: PA' has the character"),
        ("birth_city", ["Reno, NV", "Erie , PA"], r"birth_city\[1\]: 'Erie , PA' is not words"),
        ("birth_city", ["Reno, NV", "Erie  PA"], r"birth_city\[1\]: 'Erie  PA' is not words"),
        ("birth_city", ["Reno, NV", "Erie\tPA"], r"birth_city\[1\]: 'Erie\\tPA' has the character"),
        ("birth_city", ["Reno, NV", "Erie,"], r"birth_city\[1\]: 'Erie,' ends in ','"),
        ("university", ["Mere", "the Hall"], r"university\[1\]: 'the Hall' must begin with a cap"),
        ("university", ["Mere", "-Hall"], r"university\[1\]: '-Hall' must begin with a capital"),
        ("university", ["Mere", " Hall"], r"university\[1\]: ' Hall' must begin with a capital"),
        ("university", ["Mere", "Hall. B"], r"university\[1\]: 'Hall\. B' has a full stop in ano"),
        ("university", ["Mere", "D.C. Hall"], r"university\[1\]: 'D\.C\. Hall' has a full stop in"),
        ("university", ["Mere", "Hall."], r"university\[1\]: 'Hall\.' ends in '\.', which runs"),
        ("university", ["Mere", "A Dr."], r"university\[1\]: 'A Dr\.' ends in 'Dr\.', which runs"),
        ("university", ["Mere", "Ash St"], r"university\[1\]: 'Ash St' ends in 'St', which runs"),
        ("employer", [["Bell", "Reno"], "Ash"], r"employer\[1\]: expected \[employer, city of its"),
        ("employer", [["Bell", "Reno"], ["Ash"]], r"employer\[1\]: expected \[employer, city of"),
        ("employer", [["Bell", "Reno"], ["Ash", ""]], r"employer\[1\], the city of 'Ash': an empt"),
        ("employer", [["Bell", "Reno"], ["Ash", None]], r"employer\[1\], the city: expected a str"),
        ("employer", [["Bell", "Reno"], ["", "Erie"]], r"employer\[1\]: an empty value"),
        ("employer", [["Ash", "Reno"], ["Ash", "Erie"]], r"employer\[1\]: 'Ash' is also emp"),
        ("employer", [["Bell", "Reno"], ["Ash", "Reno"]], r"cities of the employers: 1 values"),
        ("employer", [["B", "Reno"], ["A", "Reno, NV"]], r"employers\[0\]: 'Reno' is the beginn"),
    ],
)
def test_every_rule_broken(tmp_path, field, values, message):
    with pytest.raises(InputError, match=r"own\.json: .*" + message) as error:
        pools(write(tmp_path, {**SMALL, field: values}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"line 1: not JSON"),
        ("[]", r"expected an object of lists, got \[\]"),
        ("{}", r"first: expected a list, got nothing"),
        ({**SMALL, "major": "Law"}, r"major: expected a list, got \"Law\""),
        ({**SMALL, "majors": []}, r"unknown list 'majors' in the file; did you mean 'major'\?"),
        ('{"major": [], "major": []}', r"the key 'major' occurs 2 times in one object"),
    ],
)
def test_malformed_files(tmp_path, content, message):
    with pytest.raises(InputError, match=r"own\.json: " + message):
        pools(write(tmp_path, content))


def test_unreadable_files(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: not readable as text"):
        pools(str(tmp_path / "none.json"))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary\.json: not readable as text"):
        pools(str(tmp_path / "binary.json"))
