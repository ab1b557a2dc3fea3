"""The runs of claims: trains what is missing, finds again what is finished."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from physlm_jax.models import transformer
from physlm_jax.training import config as configs
from physlm_jax.training.checkpoint import Checkpoints, Run, load_run
from physlm_jax.training.loop import train
from physlm_jax.training.plan import make_plan
from physlm_jax.training.population import seeds as seed_keys
from physlm_jax.training.workdir import claim_workdir

LOG = logging.getLogger(__name__)
TOGETHER = 100_000_000  # parameters of a population, all members together


class Stopped(Exception):
    """A run was asked to stop (SIGTERM) and has saved where it is."""


def finished(study: str, argument: str, seeds: Sequence[int], folder: Path) -> tuple[Run, ...]:
    """Returns the finished runs of a configuration, trained now where they are not there yet.

    Args and errors are those of `complete`.
    """
    complete(study, argument, seeds, folder)
    return tuple(_opened(folder / study, argument, seed) for seed in seeds)


def complete(study: str, argument: str, seeds: Sequence[int], folder: Path) -> None:
    """Trains the runs of a configuration that are not there yet; returns nothing.

    What is missing is trained as one population where the models are small. A configuration whose
    `base.run` is "@<argument>" starts, seed by seed, from the runs of that argument, which are
    trained first.

    Args:
        argument: of `configs/<study>.py`; runs live in folders of that name under `folder`.
        seeds: of the parameters and of the training data (and of a world's facts).
    Raises:
        InputError: a folder belongs to another configuration.
        Stopped: training was asked to stop; the same call goes on.
    """
    config = _load(study, argument)
    if config.base.run.startswith("@"):
        complete(study, config.base.run[1:], seeds, folder)
    places = folder / study
    missing = [s for s in seeds if _place(places, _name(argument), s, config.steps) is None]
    for group in _groups(missing, _at_once(config), lambda s: _base(places, config, s)):
        name = f"seed-{group[0]}" if len(group) == 1 else f"seeds-{group[0]}-{group[-1]}"
        workdir = places / f"{_name(argument)}_{name}"
        LOG.info("training %s, %s, in %s", argument, name.replace("-", " ", 1), workdir)
        if train(_configured(places, argument, group), workdir) is None:
            raise Stopped(argument)


def _load(study: str, argument: str) -> ConfigDict:
    return configs.load(f"configs/{study}.py:{argument}")


def _name(argument: str) -> str:
    """Of the folders of an argument's runs."""
    return "_".join(re.sub(r"[^\w.,-]", "-", argument.replace("/", ".")).split(","))


def _configured(places: Path, argument: str, group: Sequence[int]) -> ConfigDict:
    """The configuration of the runs of some seeds, as one population if there are several."""
    config = _load(places.name, argument)
    base, first, last = _base(places, config, group[0]), group[0], group[-1]
    keys = seed_keys(config)
    config.update_from_flattened_dict(dict.fromkeys(keys, first))
    config.population = len(group)
    if base is None:
        return config
    workdir, member = base
    config.base.run = str(workdir)
    if len(group) == 1:
        config.base.member = -1 if member is None else member
    else:  # members of one population, so that `member` is a number
        varied = {**dict.fromkeys(keys, first), "base.member": member or 0}
        config.members = ";".join(f"{k}={v}..{v + last - first}" for k, v in varied.items())
    return config


def _base(places: Path, config: ConfigDict, seed: int) -> tuple[Path, int | None] | None:
    """The finished run that a seed's run starts from, and which member of it; None: none."""
    if not config.base.run.startswith("@"):
        return None
    argument = config.base.run[1:]
    return _place(places, _name(argument), seed, _load(places.name, argument).steps)


def _opened(places: Path, argument: str, seed: int) -> Run:
    """The run of a seed, once it is sure that its folder is of this configuration."""
    steps = _load(places.name, argument).steps
    place = _place(places, _name(argument), seed, steps)
    assert place is not None
    workdir, member = place
    first, last = _numbers(workdir)
    claim_workdir(workdir, _configured(places, argument, range(first, last + 1)))
    return load_run(workdir, steps, member)


def _at_once(config: ConfigDict) -> int:
    """How many runs of a configuration to train as one population."""
    return max(1, TOGETHER // transformer.parameter_count(make_plan(config).program.model))


def _groups(
    seeds: Sequence[int],
    most: int,
    base: Callable[[int], tuple[Path, int | None] | None] = lambda seed: None,
) -> list[list[int]]:
    """Seeds that follow one another, at most so many together, from one population if from any."""
    groups: list[list[int]] = []
    for seed in seeds:
        last = groups[-1] if groups else []
        if (
            last
            and len(last) < most
            and seed == last[-1] + 1
            and _mates(base(last[-1]), base(seed))
        ):
            last.append(seed)
        else:
            groups.append([seed])
    return groups


def _mates(a: tuple[Path, int | None] | None, b: tuple[Path, int | None] | None) -> bool:
    """True if both have no base, or neighbours in one population."""
    if a is None or b is None:
        return a is b
    return a[0] == b[0] and a[1] is not None and b[1] == a[1] + 1


def _place(folder: Path, name: str, seed: int, steps: int) -> tuple[Path, int | None] | None:
    """The folder of a seed's finished run, and which member of it it is."""
    for workdir in sorted(folder.glob(f"{name}_seed*-*")):
        first, last = _numbers(workdir)
        if first <= seed <= last and _is_finished(workdir, steps):
            return workdir, None if first == last else seed - first
    return None


def _numbers(workdir: Path) -> tuple[int, int]:
    """First and last seed in the name of a folder."""
    numbers = [int(n) for n in workdir.name.rpartition("_")[2].split("-")[1:]]
    return numbers[0], numbers[-1]


def _is_finished(workdir: Path, steps: int) -> bool:
    if not (workdir / "checkpoints" / str(steps)).is_dir():
        return False
    checkpoints = Checkpoints(workdir)
    try:
        return steps in checkpoints.steps()
    finally:
        checkpoints.close()


def base_of(study: str, argument: str) -> tuple[str, ...]:
    """Returns the argument whose runs those of this argument start from, if any."""
    base = _load(study, argument).base.run
    return (base[1:],) if base.startswith("@") else ()


def with_bases(study: str, arguments: Iterable[str]) -> Iterator[str]:
    """Yields the arguments, each after those that it starts from."""
    for argument in arguments:
        yield from with_bases(study, base_of(study, argument))
        yield argument
