"""Biographies: the slow twin of every variant, spans, what the variants are, literal texts."""

import itertools
import re

import bios_twin as twin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physlm_jax.data.bios import Biographies, Population, biography
from physlm_jax.data.bios.pools import ATTRIBUTES
from physlm_jax.data.bios.writing import ROLES
from physlm_jax.errors import InputError

FULL, MINI = Population(40, 3), Population(40, 3, "mini")
VALUES = ROLES[2:8]  # birth date .. company city


def entry(pools, variant, number, k, seed=5):
    """The k-th entry of a person, slowly, as (text, role)."""
    return twin.biography(pools, twin.person(pools, 3, number), variant, seed, k)


@pytest.mark.parametrize("variant", twin.VARIANTS)
@pytest.mark.parametrize("pools", ["full", "mini", "own"])
def test_texts_and_spans_are_those_of_the_slow_twin(pools, variant, own):
    pools = own if pools == "own" else pools
    people = Population(6, 3, pools)
    for number, k in itertools.product(range(6), (0, 1, 4, 7)):
        found, slow = biography(people[number], variant, 5, k), entry(pools, variant, number, k)
        assert found.text == twin.text(slow)
        assert [tuple(span) for span in found.spans] == twin.spans(slow)


@pytest.mark.parametrize("variant", twin.VARIANTS)
def test_examples_are_those_of_the_slow_twin_token_by_token(variant, kind, pools):
    if kind.endswith("-plain") and variant.startswith("bioR"):
        return
    people = Population(30, 3, pools)
    world = Biographies((people,), (variant,), kind)
    found, speller = world.examples(5, 17, 8), world.vocabulary
    assert found.tokens.dtype == np.int32 and found.role.dtype == np.uint8
    for i, (_, number, k) in enumerate(world.presented(5, 17, 8).tolist()):
        said = entry(pools, variant, number, k)
        ids = [speller.encode(text) for text, _ in said]
        roles = [[ROLES.index(role)] * len(x) for x, (_, role) in zip(ids, said, strict=True)]
        one = found.slice(i, i + 1)
        assert one.tokens.tolist() == [speller.eos, *np.concatenate(ids).tolist(), speller.eos]
        assert one.role.tolist() == [0, *itertools.chain(*roles), 0]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([v for v in twin.VARIANTS if twin.VARIANTS[v][0] == 0]),
    st.integers(0, 2**63),
    st.integers(0, 39),
    st.integers(0, 2**40),
)
def test_any_presentation_of_what_never_ends(variant, seed, number, k):
    found = biography(MINI[number], variant, seed, k)
    assert found.text == twin.text(entry("mini", variant, number, k, seed))


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("variant", ["multi5+permute", "single+fullname", "couple2", "bioS"])
def test_names_and_values_are_found_by_their_roles(variant, marked, kind, pools):
    people = Population(25, 3, pools)
    world = Biographies((people,), (variant,), kind, marked)
    shown = world.presented(1, 0, 60)
    found, speller = world.entries(shown, 1), world.vocabulary
    for i, (_, number, _) in enumerate(shown.tolist()):
        one, person = found.slice(i, i + 1), people[number]
        spans: dict[str, list[str]] = {}
        ends = [0, *np.flatnonzero(np.diff(one.role)) + 1, len(one.role)]
        for start, end in itertools.pairwise(ends):
            role = ROLES[one.role[start]]
            spans.setdefault(role, []).append(speller.decode(one.tokens[start:end]))
        names = 6 if "fullname" in variant else 1
        assert spans["name"] == [" " + person.name] * names
        for role, attribute in zip(VALUES, ATTRIBUTES, strict=True):
            assert spans[role] == [" " + getattr(person, attribute)]
        if names == 1:
            assert len(spans["pronoun"]) == 5 and set(spans["pronoun"]) <= {
                f" {word}" for word in {"He": ("He", "His"), "She": ("She", "Her")}[person.pronoun]
            }
        whole = speller.decode(one.tokens)
        assert whole.startswith("<eos><domain> " if marked else "<eos> ")


def texts(variant, count, people=MINI):
    return [[biography(person, variant, 5, k) for k in range(count)] for person in people]


def order(text):
    return [span.role for span in text.spans if span.role in VALUES]


def sentences(text):
    """What each sentence says of its attribute: without subject and value."""
    skeleton, end = "", 0
    for span in text.spans:
        skeleton += text.text[end : span.start] + f"<{span.role}>"
        end = span.end
    found = {}
    for sentence in re.findall(r"[^.]+\.", skeleton + text.text[end:]):
        rest = re.sub(r"^ ?(The person|<name>|<pronoun>)('s)?", "", sentence)
        found[re.search(r"<(.*)>", rest)[1]] = rest
    return found


@pytest.mark.parametrize("variant", twin.SIXTEEN)
def test_entries_names_and_orders(variant):
    entries, reworded, kind, fullname, _ = twin.VARIANTS[variant]
    different = []
    for some in texts(variant, 2 * entries):
        assert [t.text for t in some[:entries]] == [t.text for t in some[entries:]]
        different.append(len({t.text for t in some}))
        for text in some:
            assert len(text.of("name")) == (6 if fullname else 1)
            assert text.spans[0].role == "name" and text.spans[0].start == 1
            assert sorted(order(text)) == sorted(VALUES)
            assert kind == "permuted" or order(text) == list(VALUES)
            assert kind == "permuted" or order(text).index("employer") == 4
        wordings = [tuple(sorted(sentences(text).items())) for text in some]
        assert (len(set(wordings)) == 1) == (not reworded or entries == 1)
    assert np.mean(different) == pytest.approx(entries, abs=0.06)  # orders may agree, 1 in 720
    orders = {tuple(order(text)) for some in texts(variant, entries) for text in some}
    assert (len(orders) > 30) == (kind == "permuted")


@pytest.mark.parametrize("permutations", [1, 2, 5])
def test_permuted_single_has_the_six_sentences_of_single(permutations):
    one, shuffled = texts("single", 1), texts(f"single+permute{permutations}", permutations)
    for (alone,), some in zip(one, shuffled, strict=True):
        for text in some:
            assert sentences(text) == sentences(alone)


def test_simple_has_an_order_of_its_own_for_each_person():
    for plain, simple in zip(texts("single", 2), texts("bioS-simple", 2), strict=True):
        assert order(plain[0]) == list(VALUES) and simple[0] == simple[1]
    orders = [order(simple) for simple, _ in texts("bioS-simple", 2)]
    assert len(set(map(tuple, orders))) > 30


@pytest.mark.parametrize("entries", [1, 2, 5])
def test_couples_stay_together(entries):
    seen = set()
    for text in itertools.chain(*texts(f"couple{entries}", entries)):
        pairs = [tuple(order(text)[k : k + 2]) for k in (0, 2, 4)]
        assert sorted(pairs) == sorted(VALUES[k : k + 2] for k in (0, 2, 4))
        seen.add(tuple(pairs))
        assert len(text.of("name")) == 1 and text.spans[0].role == "name"
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("variant", "sentence"),
    [("multi5+reverse1", 1), ("multi5+reverse2", 2), ("multi5+permute+reverse6", 6)],
)
def test_reversed_biographies_name_the_person_late(variant, sentence):
    for person, some in zip(MINI, texts(variant, 5), strict=True):
        for text in some:
            assert text.text.startswith(" The person") and text.of("name") == [person.name]
            name = next(s for s in text.spans if s.role == "name")
            before = [s for s in text.spans if s.role in VALUES and s.end < name.start]
            assert len(before) == sentence and len(text.of("pronoun")) == 4 + (sentence == 6)
            if sentence == 6:
                assert text.text.endswith(f". The person's name is {person.name}.")
            assert ("permute" in variant) or order(text) == list(VALUES)


def test_rewritten_biographies():
    joined = idle = turned = in_full = 0
    people = Population(15, 3)
    made = zip(people, texts("bioR-multi40", 40, people), strict=True)
    for person, text in ((person, text) for person, some in made for text in some):
        assert sorted(order(text)) == sorted(VALUES) and len(text.of("name")) == 1
        joined += len(re.findall(r", and (?:he|she|his|her) ", text.text))
        idle += text.text.count(".") - text.text.count("St.") - 6 + text.text.count(", and ")
        turned += bool(re.fullmatch(r"\d+ [A-Z][a-z]+ \d{4}", text.of("birth date")[0]))
        in_full += text.of("birth city") != [person.birth_city]
    assert turned / 600 == pytest.approx(0.5, abs=0.07)
    assert in_full / 600 == pytest.approx(0.5, abs=0.07)
    assert 1.2 < joined / 600 < 2  # 5 chances of 0.4, less where idle talk is between
    assert 1.8 < idle / 600 < 2.3


TEXTS = {  # of two people each of seed 0, by the slow twin
    ("single", "full"): [
        (
            " Sawyer Igor Gaines surprised two nervous parents by arriving early on December 25,"
            " 2086. He still feels most at home in Silver Spring, MD. He sat through four years of"
            " lectures at University of Fine Arts and Design at Merrow Falls. He holds a diploma"
            " in Neuroscience. He spent the best years of their career at Garnetix. He held a"
            " position in Chicago, IL."
        ),
        (
            " Abraham Julia Troutman entered this world on November 24, 2073. He claims Bowling"
            " Green, KY as their home town. He received an excellent education at College of the"
            " Quiet Harbor. He picked Electrical Engineering for their degree. He applied for and"
            " got a job with Cendrel. He held a position in Nashville, TN."
        ),
    ],
    ("single", "mini"): [
        (
            " Thomas Javier Odell safely emerged December 25, 2086. He formerly graced Syracuse,"
            " NY. He eventually entered University of Orchard Plains. He diligently read"
            " Economics. He presently serves Merrivane. He daily visits Dallas, TX."
        ),
        (
            " Lars Helena Albright loudly appeared November 24, 2073. He long brightened"
            " Gainesville, FL. He eventually entered Marlstone State University. He keenly"
            " explored Social Work. He loyally supports Junivex. He daily visits Sarasota, FL."
        ),
    ],
    ("bioS", "full"): [
        (
            " Sawyer Igor Gaines mastered Neuroscience after years of practice. He devoted several"
            " years of their life to coursework at University of Fine Arts and Design at Merrow"
            " Falls. He claims Silver Spring, MD as their home town. He collected a monthly"
            " paycheck in Chicago, IL. He helped Garnetix grow into a stronger company. He first"
            " saw the light of day on December 25, 2086."
        ),
        (
            " Abraham Julia Troutman has a background in Electrical Engineering. He worked side by"
            " side with talented people in Nashville, TN. His date of birth is November 24, 2073."
            " He entered professional life as a trainee at Cendrel. He walked across the stage to"
            " collect a diploma from College of the Quiet Harbor. He claims Bowling Green, KY as"
            " their home town."
        ),
    ],
    ("bioS", "mini"): [
        (
            " Thomas Javier Odell mainly explored Economics. He later attended University of"
            " Orchard Plains. He long brightened Syracuse, NY. He usually visits Dallas, TX. He"
            " ably assists Merrivane. He loudly appeared December 25, 2086."
        ),
        (
            " Lars Helena Albright eagerly read Social Work. He usually crosses Sarasota, FL. He"
            " loudly debuted November 24, 2073. He presently assists Junivex. He eventually"
            " finished Marlstone State University. He long brightened Gainesville, FL."
        ),
    ],
}


@pytest.mark.parametrize(("variant", "lists"), TEXTS)
def test_literal_texts_of_seed_0(variant, lists):
    """Nobody's biography may ever change."""
    people = Population(2, pools=lists)
    assert [biography(person, variant).text for person in people] == TEXTS[variant, lists]


@pytest.mark.parametrize(
    ("groups", "variants", "message"),
    [
        ((), (), r"every group of people needs one variant"),
        ((FULL,), ("single", "multi2"), r"every group of people needs one variant"),
        ((FULL, MINI), ("single",) * 2, r"groups must share their pools and their seed"),
        ((FULL, Population(9, 4, start=40)), ("single",) * 2, r"groups must share their pools and"),
        ((FULL, Population(9, 3, start=39)), ("single",) * 2, r"groups must not share people"),
        ((Population(9, 3, start=39), FULL), ("single",) * 2, r"groups must not share people"),
        ((FULL, Population(9, 3, start=40)), ("single", "bioS"), r"multi-infinity has no entries"),
        ((FULL,), ("singles",), r"unknown variant 'singles'"),
        ((FULL,), ("multi" + "9" * 18,), r"2\*\*62 entries or more"),
    ],
)
def test_groups_that_cannot_be_one_pool(groups, variants, message):
    with pytest.raises(InputError, match=message):
        Biographies(groups, variants)


def test_plain_vocabularies_cannot_be_rewritten_with():
    with pytest.raises(InputError, match=r"vocabulary 'word-plain' has no words to rewrite with"):
        Biographies((FULL,), ("bioR-single",), "word-plain")
    with pytest.raises(
        InputError, match=r"vocabulary 'wird' is neither one of word, atomic, word-"
    ):
        Biographies((FULL,), ("single",), "wird")
    with pytest.raises(InputError, match=r"unknown variant 'singel'"):
        biography(FULL[0], "singel")
