"""A lower bound on the time of a step: the slowest of compute, memory and network.

Each of the three is taken to run at its data sheet's peak, perfectly overlapped with the others;
a real step takes longer. A collective over a group that spans d dimensions of the torus sends
along 2 d links at once (one instead of two along a dimension that is not closed into a ring), a
permutation along 2; what it sends is `Collective.wire`. Latency is left out.

Source: the usual model of rings on a torus, e.g. "How to Scale Your Model", chapter on sharding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from physlm_jax.parallel.hlo_costs import Collective, Costs
from physlm_jax.parallel.topology import Topology


@dataclass(frozen=True)
class Roofline:
    """Seconds that one step spends at least on each resource of a chip."""

    compute: float
    memory: float
    network: float

    @property
    def step(self) -> float:
        """Seconds per step if the three overlap perfectly."""
        return max(self.compute, self.memory, self.network)

    @property
    def bound(self) -> str:
        """The resource that decides."""
        return max(("compute", "memory", "network"), key=lambda name: getattr(self, name))


def roofline(costs: Costs, topology: Topology, order: Sequence[int]) -> Roofline:
    """Returns the bound for a program of these costs.

    Args:
        order: for each place in the mesh (row-major), the device of `topology.devices`.
    """
    places = [topology.devices[i].coords for i in order]
    network = sum(
        one.times * one.wire / network_bandwidth(one, topology, places)
        for one in costs.collectives
        if one.wire
    )
    chip = topology.chip
    return Roofline(costs.flops / chip.flops, costs.hbm / chip.hbm_bandwidth, network)


def network_bandwidth(
    one: Collective, topology: Topology, places: Sequence[Sequence[int]]
) -> float:
    """Bytes/s at which a chip can take part in a collective.

    Args:
        places: coordinates on the torus of each place in the mesh.
    """
    link, coordinates = topology.chip.link_bandwidth, [places[i] for i in one.group]
    if one.kind == "collective-permute":
        return 2 * link  # the compiler sends half of a ring's permutations each way
    spanned = [d for d in range(len(topology.shape)) if len({c[d] for c in coordinates}) > 1]
    return link * sum(2 if topology.wraps[d] else 1 for d in spanned) or link
