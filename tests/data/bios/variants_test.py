"""The names of variants: what each is, and names that are none."""

import bios_twin as twin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physlm_jax.data.bios.variants import COUPLED, FIXED, PERMUTED, Variant, as_variant
from physlm_jax.errors import InputError

ORDERS = {"fixed": FIXED, "permuted": PERMUTED, "coupled": COUPLED}


@pytest.mark.parametrize("name", twin.VARIANTS)
def test_every_variant_is_its_definition(name):
    entries, reworded, order, fullname, name_at = twin.VARIANTS[name]
    found = as_variant(name)
    assert found.entries == entries and found.reworded == reworded
    assert (found.order, found.fullname, found.name_at) == (ORDERS[order], fullname, name_at)
    assert found.rewritten == name.startswith("bioR")


def test_there_are_sixteen_data_sets_of_part_3_1():
    assert len(twin.SIXTEEN) == 16
    assert (
        len({(v.entries, v.reworded, v.order, v.fullname) for v in map(_named, twin.SIXTEEN)}) == 16
    )


def _named(name):
    return as_variant(name)


def test_the_names_of_part_3_3():
    assert _plain("bioS") == _plain("multi-infinity+permute")
    assert _plain("bioS-simple") == _plain("single+permute1") != _plain("single")


def _plain(name):
    found = as_variant(name)
    return Variant("", *(getattr(found, field) for field in list(found.__dataclass_fields__)[1:]))


def test_parts_may_come_in_any_order():
    assert _plain("multi5+fullname+permute") == _plain("multi5+permute+fullname")
    assert _plain("single+permute3") == Variant("", entries=3, order=PERMUTED)
    assert _plain("multi-infinity+fullname").entries == 0
    assert _plain("couple7+fullname").fullname


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *[
            (name, rf"^unknown variant '{name}' in bios")
            for name in ("", "multi", "multi0", "double5")
        ],
        ("singel", r"^unknown variant 'singel' in bios; did you mean 'single'\?"),
        ("multi05", r"^unknown variant 'multi05'"),
        ("bioS+fullname", r"^unknown variant 'bioS\+fullname'"),
        ("bioR-couple5", r"^unknown variant 'bioR-couple5'"),
        ("multi5+permute+permute", r"^unknown variant 'multi5\+permute\+permute'"),
        (
            "single+permute",
            r"^unknown part of variant 'single\+permute' 'permute' in bios; did you",
        ),
        ("multi5+permute5", r"^unknown part of variant 'multi5\+permute5' 'permute5' in bios"),
        ("single+permute0", r"'permute0' in bios; did you mean"),
        ("couple5+permute", r"^unknown part of variant 'couple5\+permute' 'permute'"),
        ("couple5+reverse1", r"^unknown part .* 'reverse1'"),
        ("bioR-single+permute1", r"^unknown part .* 'permute1'"),
        ("multi5+reverse3", r"^unknown part of variant 'multi5\+reverse3' 'reverse3' in bios"),
        ("multi5+", r"^unknown part of variant 'multi5\+' '' in bios"),
        ("multi5+fullname+reverse1", r"reverse moves the one name, fullname has six"),
        (
            "single+permute1+permute5",
            r"'single\+permute1\+permute5' has two parts that say permute$",
        ),
        (
            "multi5+reverse1+reverse2",
            r"'multi5\+reverse1\+reverse2' has two parts that say reverse$",
        ),
    ],
)
def test_names_of_no_variant(name, message):
    with pytest.raises(InputError, match=message) as error:
        as_variant(name)
    assert "\n" not in str(error.value)


PARTS = ("permute", "permute1", "permute5", "fullname", "reverse1", "reverse2", "reverse6")


@given(
    st.sampled_from(["single", "multi5", "multi-infinity", "couple2", "bioR-multi2"]),
    st.lists(st.sampled_from(PARTS), max_size=3),
)
def test_parts_are_refused_or_all_heard(base, parts):
    try:
        found = as_variant("+".join([base, *parts]))
    except InputError:
        return
    assert len(parts) == len(set(parts))
    assert found.fullname == ("fullname" in parts)
    permuting = [part for part in parts if part.startswith("permute")]
    reversing = [part for part in parts if part.startswith("reverse")]
    assert len(permuting) <= 1 and len(reversing) <= 1
    assert found.name_at == sum(int(part[-1]) for part in reversing)
    if permuting:
        assert found.order == PERMUTED
        assert base != "single" or found.entries == int(permuting[0][-1])
