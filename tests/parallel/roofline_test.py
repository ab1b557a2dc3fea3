"""The bound on a step's time, on numbers that a reader can check by hand."""

from types import SimpleNamespace

import pytest

from physlm_jax.parallel.chips import CHIPS, chip_of
from physlm_jax.parallel.hlo_costs import Collective, Costs
from physlm_jax.parallel.roofline import network_bandwidth, roofline
from physlm_jax.parallel.topology import Topology, parse_name


def topology(name):
    chip, shape = parse_name(name)
    sizes = (*shape, 1)[:3]
    x, y, z = (range(n) for n in sizes)
    devices = tuple(SimpleNamespace(coords=(a, b, c)) for c in z for b in y for a in x)
    return Topology(name, chip, shape, devices)


def collective(kind, size, group, times=1):
    return Collective(kind, "f32", size, tuple(group), times, "")


def test_each_resource_by_hand():
    v5e = topology("v5e:4x4")
    gather = collective("all-gather", 16e9, range(16), times=2)
    bound = roofline(Costs(flops=197e12, hbm=819e9 / 2, collectives=[gather]), v5e, range(16))
    assert bound.compute == pytest.approx(1.0)
    assert bound.memory == pytest.approx(0.5)
    # two gathers of 15 GB each over two open dimensions of 50 GB/s
    assert bound.network == pytest.approx(2 * 15 / 100)
    assert (bound.step, bound.bound) == (pytest.approx(1.0), "compute")


@pytest.mark.parametrize(
    ("name", "group", "links"),
    [
        ("v5e:4x4", range(4), 1),  # one row, open
        ("v5e:4x4", range(16), 2),
        ("v5e:16x16", range(16), 2),  # one row, a ring
        ("v5e:16x16", range(256), 4),
        ("v5e:8x16", range(128), 3),  # open one way, a ring the other
        ("v5p:4x4x4", range(64), 6),
        ("v5p:2x2x2", range(8), 3),
        ("v5p:4x4x4", range(4), 2),
    ],
)
def test_links_that_a_group_can_use(name, group, links):
    slice_ = topology(name)
    places = [d.coords for d in slice_.devices]
    found = network_bandwidth(collective("all-gather", 1.0, group), slice_, places)
    assert found == links * slice_.chip.link_bandwidth


def test_what_crosses_the_wire():
    group = range(4)
    assert collective("all-gather", 8, group).wire == 6
    assert collective("reduce-scatter", 8, group).wire == 6
    assert collective("all-reduce", 8, group).wire == 12
    assert collective("collective-permute", 8, (0, 1)).wire == 8
    assert collective("all-reduce", 8, (0,)).wire == 0


def test_one_table_of_chips():
    assert chip_of("TPU v5 lite").name == "v5e"
    assert chip_of("TPU v5").name == chip_of("TPU v5p").name == "v5p"
    assert chip_of("NVIDIA H100 80GB HBM3").name == "H100"
    assert chip_of("cpu") is None
    assert len({c.name for c in CHIPS}) == len(CHIPS)
