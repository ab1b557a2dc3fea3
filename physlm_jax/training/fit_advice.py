"""What makes a configuration fit, found out by compiling the changed configuration.

Changes are tried from the one that costs least speed to the one that changes the run, each alone
first, then together.
"""

import logging
from collections.abc import Iterator

from ml_collections import ConfigDict

from physlm_jax.parallel.chips import GIB
from physlm_jax.parallel.mesh import AXES, row_groups
from physlm_jax.parallel.topology import Topology
from physlm_jax.training.fit import Report, check

LOG = logging.getLogger(__name__)
Changes = dict[str, int | str]
ROWS = "rows-per-chip"  # a flag of its own, not a key of the configuration


def advise(config: ConfigDict, topology: Topology, report: Report) -> str:
    """Returns the first change that makes the configuration fit, as flags; "" if none does."""
    if report.memory is None:
        return ""  # the batch is at fault, and the reason names the one to take
    for changes in candidates(config, report):
        LOG.info("does not fit (%s); trying %s", report.reason, flags(changes))
        tried = config.copy_and_resolve_references()
        rows = int(changes.get(ROWS, report.rows_per_chip))
        tried.update_from_flattened_dict({k: v for k, v in changes.items() if k != ROWS})
        found = check(tried, topology, rows)
        if found.fits and found.memory:
            used, limit = found.memory.total / GIB, found.memory.limit / GIB
            return f"try {flags(changes)} (fits: {used:.2f} of {limit:.2f} GiB)"
    return ""


def candidates(config: ConfigDict, report: Report) -> Iterator[Changes]:
    """Yields changes to try: sharding, rematerialisation, accumulation, all three, fewer rows."""
    rows = int(report.rows_per_chip)
    together: Changes = {}
    mesh = {axis: size for axis, size in config.mesh.items() if axis not in ("data", "fsdp")}
    if _axes(report).get("data", 1) > 1 and -1 not in mesh.values():
        together |= {"mesh.data": 1, "mesh.fsdp": -1}
        yield dict(together)
    for policy in ("dots", "full")[("none", "dots", "full").index(config.model.remat) :]:
        yield {"model.remat": policy}
        together["model.remat"] = policy
    most = report.batch // _cut(report)
    if most > config.accumulation:
        for accumulation in _doublings(config.accumulation, most):
            yield {"accumulation": accumulation}
        together["accumulation"] = most
    yield dict(together)
    together.pop("accumulation", None)
    while rows > 1:
        rows //= 2
        yield {**together, "accumulation": 1, ROWS: rows}


def _axes(report: Report) -> dict[str, int]:
    """Sizes of the mesh axes that are larger than 1."""
    pairs = (pair.split("=") for pair in report.mesh.split() if "=" in pair)
    return {axis: int(size) for axis, size in pairs}


def _cut(report: Report) -> int:
    """Into how many pieces the mesh cuts a micro-batch."""
    return row_groups(dict.fromkeys(AXES, 1) | _axes(report))


def _doublings(start: int, most: int) -> list[int]:
    found = []
    while (start := start * 2) <= most:
        if most % start == 0:
            found.append(start)
    return found


def flags(changes: Changes) -> str:
    """The changes as a user types them."""
    return " ".join(
        f"--{key}={value}" if key == ROWS else f"--config.{key}={value}"
        for key, value in changes.items()
    )
