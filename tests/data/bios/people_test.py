"""People: names, marginals, independence, the slow twin, whoever asks for them."""

import bios_twin as twin
import numpy as np
import pytest
from chi_square import chi_square
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data.bios import Population, pools
from physlm_jax.data.bios.people import (
    CITY,
    COMPANY_CITY,
    EMPLOYER,
    FIRST,
    LAST,
    MAJOR,
    MIDDLE,
    MONTH,
    NAMED,
    PRONOUN,
)
from physlm_jax.errors import InputError

FULL = Population(100_000)
MINI = Population(160_000, pools="mini")


@pytest.fixture(scope="module")
def full():
    return FULL.fields(np.arange(FULL.n))


@pytest.fixture(scope="module")
def mini():
    return MINI.fields(np.arange(MINI.n))


def test_a_hundred_thousand_names_are_unique(full):
    names = full[:, [FIRST, MIDDLE, LAST]]
    assert len(np.unique(names, axis=0)) == 100_000


def test_all_names_of_mini_are_used_once(mini):
    places = mini[:, FIRST] + 40 * (mini[:, MIDDLE] + 40 * mini[:, LAST].astype(np.int64))
    assert sorted(places.tolist()) == list(range(160_000))


@pytest.mark.parametrize("name", ["full", "mini"])
@pytest.mark.parametrize("field", [f for f in range(PRONOUN + 1) if f != COMPANY_CITY])
def test_every_field_is_uniform(name, field, full, mini):
    found, size = {"full": full, "mini": mini}[name][:, field], pools(name).sizes[NAMED[field]]
    counts = np.bincount(found, minlength=size)
    assert counts.size == size
    if name == "mini" and field <= LAST:
        assert (counts == len(found) / size).all()  # all names there are
    else:
        assert abs(chi_square(counts, np.full(size, len(found) / size))) < 4


@pytest.mark.parametrize(
    ("one", "other"),
    [(f, f + 1) for f in range(MONTH, EMPLOYER)]
    + [(EMPLOYER, PRONOUN), (MONTH, PRONOUN), (FIRST, MONTH), (LAST, MAJOR), (MIDDLE, CITY)],
)
def test_fields_do_not_know_of_each_other(one, other, mini):
    sizes = [pools("mini").sizes[NAMED[field]] for field in (one, other)]
    counts = np.bincount(mini[:, one] * sizes[1] + mini[:, other], minlength=sizes[0] * sizes[1])
    assert abs(chi_square(counts, np.full(counts.size, len(mini) / counts.size))) < 4


def test_the_company_city_is_a_function_of_the_employer(full, mini):
    for name, found in (("full", full), ("mini", mini)):
        headquarters = np.array(pools(name).headquarters)
        np.testing.assert_array_equal(found[:, COMPANY_CITY], headquarters[found[:, EMPLOYER]])
    for i in range(300):
        person = FULL[i]
        place = pools().employer.index(person.employer)
        assert person.company_city == pools().company_city[pools().headquarters[place]]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["full", "mini"]), st.integers(0, 2**63), st.integers(0, 159_999))
def test_a_person_is_that_of_the_slow_twin(name, seed, number):
    found = Population(1, seed, name, number)[0]
    slow = twin.person(name, seed, number)
    assert (found.name, found.pronoun, found.luckiness) == (slow.name, slow.pronoun, slow.major)
    stated = (found.birth_date, found.birth_city, found.university, found.major, found.employer)
    assert (*stated, found.company_city) == tuple(slow.values.values())
    assert (found.number, found.key) == (number, slow.key)


def test_people_of_seed_0():
    """Literals: nobody's record may ever change."""
    records = [
        (p.name, p.birth_date, p.birth_city, p.university, p.major, p.employer, p.company_city)
        for p in (FULL[0], MINI[0])
    ]
    assert records == [
        (
            "Sawyer Igor Gaines",
            "December 25, 2086",
            "Silver Spring, MD",
            "University of Fine Arts and Design at Merrow Falls",
            "Neuroscience",
            "Garnetix",
            "Chicago, IL",
        ),
        (
            "Thomas Javier Odell",
            "December 25, 2086",
            "Syracuse, NY",
            "University of Orchard Plains",
            "Economics",
            "Merrivane",
            "Dallas, TX",
        ),
    ]
    assert [FULL[0].pronoun, FULL[1].pronoun, MINI[1].name] == ["He", "He", "Lars Helena Albright"]


def test_people_are_computed_one_by_one(full):
    some = np.array([99_999, 0, 512, 512])
    np.testing.assert_array_equal(FULL.fields(some), full[some])
    assert FULL[-1] == FULL[99_999] and FULL[5].fields == tuple(full[5].tolist())
    assert len(FULL) == 100_000 and FULL[7].number == 7
    for i in (100_000, -100_001):
        with pytest.raises(IndexError, match=rf"person {i} of 100000"):
            FULL[i]


def test_a_group_that_starts_later_is_the_rest_of_a_longer_one(full):
    later = Population(500, start=99_500)
    np.testing.assert_array_equal(later.fields(np.arange(500)), full[99_500:])
    assert later[3] == FULL[99_503]


def test_seeds_have_other_people(full):
    other = Population(1000, seed=1).fields(np.arange(1000))
    assert (other == full[:1000]).mean() < 0.12  # pronouns agree half the time


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (
            {"n": 0},
            r"people must be 1\.\.160000000, as many as pools 'full' have full names, got 0$",
        ),
        ({"n": 160_001, "pools": "mini"}, r"1\.\.160000, .* 'mini' have full names, got 160001$"),
        ({"n": 2, "pools": "mini", "start": 159_999}, r"got 2 from 159999 on$"),
        ({"n": 2, "start": -1}, r"got 2 from -1 on$"),
        ({"n": 2, "pools": "fulll"}, r"^unknown pools 'fulll'; did you mean 'full'\?"),
    ],
)
def test_people_that_there_are_not(people, message):
    with pytest.raises(InputError, match=message):
        Population(**people)
