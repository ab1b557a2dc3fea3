"""Finds the probes that can be run on a trained run, and runs one.

Their contract is in `measurement`: a module of this package, or of a folder in it, with `Settings`
and `measure`. Nothing else has to know about a new one.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import typing
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from physlm_jax import probes
from physlm_jax.data.hashing import stream_key
from physlm_jax.errors import InputError, unknown
from physlm_jax.files import write_text
from physlm_jax.models import transformer
from physlm_jax.probes.measurement import Measurement
from physlm_jax.training.checkpoint import load_run


@dataclasses.dataclass(frozen=True)
class Option:
    """One setting of a probe as the command line sees it.

    Attributes:
        flag: its flag. field: the field of `Settings`. type: int, float, bool, str, or
            tuple[int, ...] or tuple[str, ...] for lists with commas. help: one line.
    """

    flag: str
    field: str
    type: Any
    default: Any
    help: str
    least: int
    everything: bool

    def value(self, given: Any) -> Any:
        """Returns the flag's value as the field's: lists become tuples, "all" the empty one.

        Raises:
            InputError: a number is too small; a list is empty, or "all" where there is no such
                choice, or an item is not of its type.
        """
        if self.type in (int, float) and self.flag != "seed" and not given >= self.least:
            raise InputError(f"--{self.flag} must be at least {self.least}, got {given}")
        if typing.get_origin(self.type) is not tuple:
            return given
        if not given or (given == ["all"] and not self.everything):
            raise InputError(
                f"--{self.flag}={','.join(given)}: expected one or more, with commas between: "
                f"{self.help}"
            )
        convert = typing.get_args(self.type)[0]
        try:
            return () if given == ["all"] else tuple(convert(item) for item in given)
        except ValueError:
            raise InputError(
                f"--{self.flag}: expected {convert.__name__}s with commas between, or 'all'; "
                f"got '{','.join(given)}'"
            ) from None


def modules() -> dict[str, ModuleType]:
    """Returns the probes on offer by name, those in folders of this package too."""
    names = [m.name for m in pkgutil.walk_packages(probes.__path__, f"{probes.__name__}.")]
    found = {name.rpartition(".")[2]: importlib.import_module(name) for name in names}
    return {n: m for n, m in found.items() if hasattr(m, "Settings") and hasattr(m, "measure")}


def options(module: ModuleType) -> dict[str, Option]:
    """Returns the settings of a probe by flag."""
    types = typing.get_type_hints(module.Settings)
    found = {}
    for field in dataclasses.fields(module.Settings):
        flag = field.metadata["flag"] or field.name
        kind, about = types[field.name], field.metadata
        least = 0 if kind is float else about["least"]
        found[flag] = Option(
            flag, field.name, kind, field.default, about["help"], least, about["everything"]
        )
    return found


def run_probe(
    workdir: str | Path,
    probe: str,
    step: int | None = None,
    control: bool = False,
    given: Mapping[str, Any] | None = None,
    member: int | None = None,
) -> tuple[Measurement, Path]:
    """Runs a probe on a run and writes `probes/<name>-step<n>[-member<m>][-control].json` there.

    Args:
        workdir: the run's folder. probe: the probe's name. step: which checkpoint, None: the last.
        control: probe an untrained model of the same shape instead.
        given: settings by flag.
        member: of a population.

    Returns:
        The measurement and the file.

    Raises:
        InputError: an unknown probe, a setting it does not have or a wrong value; no such run;
            the file cannot be written.
    """
    available = modules()
    if probe not in available:
        raise unknown("probe", probe, available, "--probe")
    module = available[probe]
    known = options(module)
    for flag in given or {}:
        if flag not in known:
            raise unknown("option", flag, known, f"probe '{probe}'")
    chosen = {known[flag].field: known[flag].value(v) for flag, v in (given or {}).items()}
    settings = module.Settings(**chosen)
    run = load_run(workdir, step, member)
    if control:
        key = jax.random.key(stream_key(getattr(settings, "seed", 0), "control") >> 33)
        run = dataclasses.replace(run, params=transformer.init(run.model, key))
    measured = module.measure(run, settings)
    suffix = f"-step{run.step}" + ("" if member is None else f"-member{member}")
    suffix += "-control" if control else ""
    path = Path(workdir) / "probes" / f"{measured.name}{suffix}.json"
    about = {"probe": probe, "step": run.step, "member": member, "control": control}
    write_text(path, json.dumps({**about, **measured.data}, allow_nan=False))
    return measured, path
