"""Sweeps: a grid of runs, trained as populations where they are one program.

`sweep()` of a configuration file names the cells: one mapping of overrides each. Cells that differ
only in what may vary inside a population become one run of K members; the rest are runs of their
own. `sweep.json` in the sweep's folder remembers which cell lies where, so that a longer sweep in
the same folder trains what is new alone.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from physlm_jax.data import open_world
from physlm_jax.errors import InputError, unknown
from physlm_jax.files import write_text
from physlm_jax.training import config as configs
from physlm_jax.training.checkpoint import FOLDER
from physlm_jax.training.optimizer import recipe
from physlm_jax.training.population import VARY

INDEX = "sweep.json"


@dataclasses.dataclass(frozen=True)
class Group:
    """Cells that one run trains.

    Attributes:
        name: of the run's folder.  overrides: of the configuration, `population` and `members`
            among them.  cells: each member's own overrides, in order.
    """

    name: str
    overrides: dict[str, Any]
    cells: tuple[dict[str, Any], ...]

    def flags(self) -> list[str]:
        """The overrides as flags of `physlm_jax.train`."""
        return [f"--config.{key}={value}" for key, value in self.overrides.items()]

    def is_finished(self, folder: Path, steps: int) -> bool:
        """Whether the run's last checkpoint is there."""
        return (folder / self.name / FOLDER / str(steps)).is_dir()


def cells_of(spec: str) -> list[dict[str, Any]]:
    """Returns what `sweep()` of the file of a spec `path.py:arguments` lists.

    Raises:
        InputError: the file has no `sweep`, or it lists no cell.
    """
    module = configs.load_module(spec)
    if not hasattr(module, "sweep"):
        raise InputError(f"{spec.partition(':')[0]} has no function sweep() that lists overrides")
    cells = [dict(cell) for cell in module.sweep()]
    if not cells:
        raise InputError(f"sweep() of {spec.partition(':')[0]} lists no cell")
    return cells


def plan_sweep(
    spec: str, cells: Sequence[Mapping[str, Any]], folder: Path, at_most: int
) -> list[Group]:
    """Returns the groups of a sweep: those of before as they are, then those of new cells.

    Args:
        spec: `path.py:arguments` of the configuration that the cells override.
        folder: of the sweep; its `sweep.json` is read, not written.
        at_most: members of one population.
    Raises:
        InputError: an unknown key, a value of a wrong type or out of range; the folder of another
            sweep.
    """
    if at_most < 1:
        raise InputError(f"a population has at least 1 member, got at most {at_most}")
    known = read_index(spec, folder)
    seen = [cell for group in known for cell in group.cells]
    new: dict[str, list[dict[str, Any]]] = {}
    for cell in map(dict, cells):
        signature = _signature(overridden(spec, cell))
        if cell not in seen:
            seen.append(cell)
            new.setdefault(signature, []).append(cell)
    groups = list(known)
    for alike in new.values():
        for start in range(0, len(alike), at_most):
            members = tuple(alike[start : start + at_most])
            groups.append(_group(f"{len(groups):03d}", spec, members))
    return groups


def overridden(spec: str, overrides: Mapping[str, Any]) -> ConfigDict:
    """Returns the configuration with a cell's overrides.

    Raises:
        InputError: an unknown key or a value of a wrong type.
    """
    config = configs.load(spec)
    flat = configs.flat(configs.as_dict(config))
    for key, value in overrides.items():
        if key not in flat:
            raise unknown("key", key, flat, "sweep()")
        try:
            config.update_from_flattened_dict({key: value})
        except (TypeError, ValueError) as error:
            raise InputError(f"sweep(): {key}={value!r}: {error}") from None
    return config


def _signature(config: ConfigDict) -> str:
    """What all members of a population have in common; refuses what a run would refuse."""
    configs.validate(config)
    configs.packing_config(config)
    flat = configs.flat(configs.as_dict(config))
    fixed = {k: v for k, v in flat.items() if not any(fnmatch.fnmatch(k, v) for v in VARY)}
    structure = recipe(config.optimizer, config.steps)
    model = configs.model_config(config, open_world(config.data))
    return json.dumps([fixed, repr(structure), repr(model)], sort_keys=True)


def _group(name: str, spec: str, cells: tuple[dict[str, Any], ...]) -> Group:
    if len(cells) == 1:
        return Group(name, dict(cells[0]), cells)
    flats = [configs.flat(configs.as_dict(overridden(spec, cell))) for cell in cells]
    differ = [key for key in flats[0] if len({json.dumps(flat[key]) for flat in flats}) > 1]
    named = {key for cell in cells for key in cell}
    common = {key: flats[0][key] for key in sorted(named) if key not in differ}
    for key in differ:
        for text in (str(flat[key]) for flat in flats):
            if set(text) & set(",;"):
                raise InputError(f"sweep(): {key}={text!r}: a population's values hold no , or ;")
    varied = differ or ["seed"]  # the same cell in other words
    listed = (f"{key}={','.join(str(flat[key]) for flat in flats)}" for key in varied)
    members = {"population": len(cells), "members": ";".join(listed)}
    return Group(name, {**common, **members}, cells)


def read_index(spec: str, folder: Path) -> list[Group]:
    """Returns the groups that `sweep.json` remembers; none where there is no such file.

    Raises:
        InputError: it is another configuration's sweep, or damaged.
    """
    path = folder / INDEX
    if not path.exists():
        return []
    try:
        index = json.loads(path.read_text())
        theirs = index["config"]
        groups = [Group(g["name"], g["overrides"], tuple(g["cells"])) for g in index["groups"]]
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path} is damaged; without it the sweep is planned anew, and numbered anew"
        ) from None
    if theirs != spec:
        raise InputError(f"{folder} holds a sweep of {theirs}; choose another --workdir")
    return groups


def write_index(spec: str, folder: Path, groups: Iterable[Group]) -> None:
    """Writes `sweep.json`: where each cell's run lies (folder, member)."""
    listed = [dataclasses.asdict(group) for group in groups]
    text = json.dumps({"config": spec, "groups": listed}, indent=1)
    write_text(folder / INDEX, text + "\n")
