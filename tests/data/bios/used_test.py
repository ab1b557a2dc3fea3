"""Used ids: those that a long stream has, no more and no less."""

import numpy as np
import pytest

from physlm_jax.data import cfg
from physlm_jax.data.bios import Biographies, Population, Tasks, world
from physlm_jax.data.bios.lexicon import DOMAIN, lexicon
from physlm_jax.data.bios.used import used_ids
from physlm_jax.data.mixture import Mixture
from physlm_jax.errors import InputError

VARIANTS = (
    "bioS",
    "multi-infinity",
    "multi-infinity+fullname",
    "multi-infinity+reverse1",
    "multi-infinity+permute+reverse2",
    "multi-infinity+reverse6",
    "bioR-multi-infinity",
    "bioR-multi-infinity+fullname",
    "bioS-simple",
    "single",
    "couple2",
    "multi2+permute+fullname",
    "bioR-multi2",
)


def seen(stream, examples):
    return np.unique(stream.examples(7, 0, examples).tokens)


@pytest.mark.parametrize("kind", ["word", "atomic"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_used_ids_are_those_of_a_long_stream(variant, kind):
    stream = Biographies((Population(15, 3),), (variant,), kind)
    examples = stream.size if not stream.fresh else 30_000 if variant == "bioS" else 60_000
    np.testing.assert_array_equal(used_ids(stream), seen(stream, examples))


def test_marks_groups_and_junk_count():
    few, others = Population(10, 3, "mini"), Population(12, 3, "mini", 10)
    plain, marked = (Biographies((few,), ("bioS",), "atomic", m) for m in (False, True))
    domain = plain.vocabulary.role(lexicon("mini").special(DOMAIN))
    assert set(used_ids(marked)) - set(used_ids(plain)) == {domain}
    both = Biographies((few, others), ("multi2+permute", "single"), "atomic")
    np.testing.assert_array_equal(used_ids(both), seen(both, both.size))
    mixed = Mixture((plain, Biographies((others,), ("bioS",), "atomic")), (1, 7))
    expected = np.union1d(*(used_ids(part) for part in mixed.parts))
    np.testing.assert_array_equal(used_ids(mixed), expected)


def test_large_groups_use_all_of_their_pools():
    stream = Biographies((Population(30_000, 0, "mini"),), ("bioS",), "atomic-plain")
    unused = len(stream.vocabulary) - len(used_ids(stream))
    names = {stream.vocabulary.names[i] for i in range(len(stream.vocabulary))}
    used = {stream.vocabulary.names[i] for i in used_ids(stream)}
    assert unused == len(names - used) and "<pad>" in names - used and "<eos>" in used


@pytest.mark.parametrize("hints", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("task", ["extraction", "dual", "classification", "comparison", "inverse"])
def test_questions_use_what_they_can_say(task, hints):
    asked = world(40, pools="mini", tasks=task, hints=hints, question_share=1.0).tasks
    assert isinstance(asked, Tasks)
    used, found = used_ids(asked), seen(asked, 20 * asked.size)
    assert set(found) <= set(used)
    if task in ("extraction", "dual", "inverse"):
        np.testing.assert_array_equal(used, found)


def test_other_worlds_are_refused():
    other = cfg.world(grammar="cfg3b")
    with pytest.raises(InputError, match=r"CfgWorld is no stream of people"):
        used_ids(other)


def test_differences_of_many_majors(hundred):
    """They reach beyond the papers' -99..99."""
    tasks = Tasks(Population(40, 3, hundred), ("major subtract", "major %100"), "atomic")
    used, ids = set(used_ids(tasks).tolist()), seen(tasks, 40_000)
    assert set(ids.tolist()) <= used
    numbers = {tasks.vocabulary.encode(f" {n}")[0] for n in range(-149, 150)}
    assert {*ids.tolist()} & numbers and numbers <= used
