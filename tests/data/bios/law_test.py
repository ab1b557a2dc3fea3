"""What is drawn for a biography: each wording and order as likely, none knows of another.

So the loss of a perfect model on online bioS is ln N + ln 6! and the logarithm of the number of
templates of each attribute: what is counted here is that entropy.
"""

import itertools
import math

import numpy as np
import pytest
from chi_square import chi_square

from physlm_jax.data.bios import Biographies, Population
from physlm_jax.data.bios.templates import TWO_WORDS, templates

N = 30_000
PEOPLE = Population(N, 1, "mini")
ORDERS = {order: i for i, order in enumerate(itertools.permutations(range(6)))}


def drawn(variant, turn=0, seed=0):
    """Everybody's order, [N, 6], and templates, [N, 6], of one entry of mini biographies."""
    world = Biographies((PEOPLE,), (variant,), "atomic")
    shown = np.stack([np.zeros(N), np.arange(N), np.full(N, turn)], 1).astype(np.int64)
    found = world.entries(shown, seed)
    tokens, roles = found.tokens.reshape(N, 36), found.role.reshape(N, 36)
    first = (roles[:, 1:] != roles[:, :-1]) & (roles[:, 1:] >= 2) & (roles[:, 1:] <= 7)
    rows, places = np.nonzero(first)
    order = roles[rows, places + 1].reshape(N, 6).astype(np.int64) - 2
    closing = tokens[rows, places].reshape(N, 6)
    opening = tokens[rows, places - 1].reshape(N, 6)
    chosen = np.empty((N, 6), np.int64)
    for attribute, pair in enumerate(TWO_WORDS.values()):
        a, b = ([world.vocabulary.encode(f" {w}")[0] for w in words.split()] for words in pair)
        found_at = np.nonzero(order == attribute)
        chosen[:, attribute] = 4 * _place(opening[found_at], a) + _place(closing[found_at], b)
    return order, chosen


def _place(ids, known):
    matches = ids[:, None] == np.array(known)
    assert (matches.sum(1) == 1).all()
    return matches.argmax(1)


def check_uniform(cells, size):
    counts = np.bincount(cells, minlength=size)
    assert counts.size == size and abs(chi_square(counts, np.full(size, len(cells) / size))) < 4.5


def entropy(cells):
    """Nats, with Miller and Madow's correction of what few samples miss."""
    counts = np.unique(cells, return_counts=True)[1]
    shares = counts / counts.sum()
    return -(shares * np.log(shares)).sum() + (len(counts) - 1) / (2 * counts.sum())


@pytest.fixture(scope="module")
def online():
    return drawn("bioS")


def test_orders_are_uniform(online):
    check_uniform(np.array([ORDERS[tuple(o)] for o in online[0].tolist()]), 720)


def test_templates_are_uniform_and_do_not_know_of_each_other(online):
    order, chosen = online
    for a in range(6):
        check_uniform(chosen[:, a], 16)
        check_uniform(16 * order[:, 0] + chosen[:, a], 96)
    for a, b in itertools.combinations(range(6), 2):
        check_uniform(16 * chosen[:, a] + chosen[:, b], 256)


def test_wordings_do_not_know_of_the_person(online):
    order, chosen = online
    fields = PEOPLE.fields(np.arange(N))
    for field, size in ((3, 12), (8, 25), (11, 2)):
        check_uniform(16 * fields[:, field] + chosen[:, 0], 16 * size)
        check_uniform(16 * fields[:, field] + chosen[:, 3], 16 * size)
        check_uniform(6 * fields[:, field] + order[:, 0], 6 * size)


@pytest.mark.parametrize(
    ("variant", "turn", "seed"),
    [("bioS", 1, 0), ("bioS", 0, 1), ("multi2+permute", 0, 0), ("bioS", 2**40, 0)],
)
def test_presentations_and_seeds_do_not_know_of_each_other(variant, turn, seed, online):
    order, chosen = drawn(variant, turn, seed)
    for a in range(6):
        check_uniform(16 * online[1][:, a] + chosen[:, a], 256)
    check_uniform(6 * online[0][:, 0] + order[:, 0], 36)


def test_entries_do_not_know_of_each_other():
    (_, one), (_, two) = drawn("multi5"), drawn("multi5", 4)
    for a in range(6):
        check_uniform(16 * one[:, a] + two[:, a], 256)
    (one, same), (two, again) = (drawn("single+permute5", turn) for turn in (0, 4))
    check_uniform(6 * one[:, 0] + two[:, 0], 36)
    np.testing.assert_array_equal(same, again)


def test_pairs_of_couples_are_in_any_order():
    order, _ = drawn("couple5")
    check_uniform(np.unique(order[:, ::2] @ [36, 6, 1], return_inverse=True)[1], 6)


def test_entropy_floor_of_mini(online):
    order, chosen = online
    orders = entropy(order @ 6 ** np.arange(6))
    assert orders == pytest.approx(math.log(720), abs=0.01)
    total = orders + sum(entropy(chosen[:, a]) for a in range(6))
    assert total == pytest.approx(math.log(720) + 6 * math.log(16), abs=0.01)


def test_entropy_floor_of_the_papers():
    """ln 6! + 23.28 nats besides ln N: with the papers' numbers of templates."""
    world = Biographies((Population(12_000, 2),), ("bioS",), "word")
    found, speller = world.examples(0, 0, 12_000), world.vocabulary
    stop, own = (speller.encode(text)[0] for text in (".", "'s"))
    orders, wordings = [], [[] for _ in range(6)]
    for i in range(len(found)):
        start, stop_at = found.offsets[i], found.offsets[i + 1]
        tokens, roles = found.tokens[start:stop_at], found.role[start:stop_at]
        edges = np.flatnonzero(np.diff(roles)) + 1
        order = []
        for begin, end in itertools.pairwise([*edges, len(roles)]):
            role = roles[begin]
            if not 2 <= role <= 7:
                before = tokens[begin:end]
                continue
            rest = tokens[end : end + np.flatnonzero(tokens[end:] == stop)[0]]
            before = before[int(before[0] == own) :]
            wordings[role - 2].append(before.tobytes() + b"/" + rest.tobytes())
            order.append(role - 2)
        orders.append(ORDERS[tuple(order)])
    names = [np.unique(some, return_inverse=True)[1] for some in wordings]
    counts = [len(found) for found in templates().values()]
    for cells, size in zip(names, counts, strict=True):
        check_uniform(cells, size)
    total = entropy(np.array(orders)) + sum(map(entropy, names))
    assert total == pytest.approx(math.log(720) + 23.28, abs=0.02)
