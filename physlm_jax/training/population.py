"""Populations: K runs that differ in seeds or numbers alone, trained by one program.

A configuration with `population = K` describes K runs. `members` says what differs between them, a
list of K values per key: "optimizer.learning_rate=1e-3,3e-4;seed=0..1". Without it the seeds count
up from the configuration's own (`SEEDS`). Member i alone is the run of `member_config(config, i)`.
"""

from __future__ import annotations

import json
from typing import Any

from ml_collections import ConfigDict

from physlm_jax.errors import InputError, unknown
from physlm_jax.training.optimizer import NUMBERS

# What may differ inside one program: numbers that flow through it, and what is read from the host.
SEEDS = ("seed", "data_seed", "data.seed")  # the last: of worlds whose facts are drawn
VARY = ("seed", "data_seed", "base.member", *(f"optimizer.{name}" for name in NUMBERS), "data.*")


def member_configs(config: ConfigDict) -> tuple[ConfigDict, ...]:
    """Returns the configuration of each member as a run of its own.

    A configuration without a population is its own only member.

    Raises:
        InputError: a key that cannot vary inside one program, or not K values for it.
    """
    count = config.population
    if count < 1:
        raise InputError(f"config.population must be at least 1 (no population), got {count}")
    varied = _parse(config, count)
    if count > 1 and not varied:
        varied = {key: [_get(config, key) + i for i in range(count)] for key in seeds(config)}
    return tuple(_member(config, {k: v[i] for k, v in varied.items()}) for i in range(count))


def seeds(config: ConfigDict) -> list[str]:
    """Returns the keys of a configuration that hold a seed."""
    return [key for key in SEEDS if key != "data.seed" or "seed" in config.data]


def member_config(config: ConfigDict, member: int | None) -> ConfigDict:
    """Returns the configuration of one member.

    Args:
        member: 0..K-1; None where there is no population.
    Raises:
        InputError: no such member, or none named in a population.
    """
    count = config.population
    if count == 1 and member in (None, 0):
        return config
    if member is None:
        raise InputError(f"this run is a population of {count}: name a member, 0..{count - 1}")
    if not 0 <= member < count:
        raise InputError(f"no member {member} (the population has members 0..{count - 1})")
    return member_configs(config)[member]


def differences(config: ConfigDict, member: int) -> str:
    """Returns what tells a member from the others: "seed=3, optimizer.learning_rate=0.001"."""
    keys = _parse(config, config.population) or ("seed",)
    one = member_configs(config)[member]
    return ", ".join(f"{key}={_get(one, key)}" for key in keys)


def _member(config: ConfigDict, values: dict[str, Any]) -> ConfigDict:
    one = ConfigDict(json.loads(config.to_json()))
    one.population, one.members, one.mesh.population = 1, "", 1
    for key, value in values.items():
        *folders, last = key.split(".")
        target = one
        for folder in folders:
            target = target[folder]
        target[last] = value
    return one.lock()


def _parse(config: ConfigDict, count: int) -> dict[str, list[Any]]:
    """{key: K values} of config.members, of the type that the key has."""
    varied: dict[str, list[Any]] = {}
    for part in filter(None, (p.strip() for p in config.members.split(";"))):
        key, _, listed = (x.strip() for x in part.partition("="))
        _check_key(config, key)
        kind = type(_get(config, key))
        try:
            values = [v for text in listed.split(",") for v in _values(text.strip(), kind)]
        except ValueError:
            raise InputError(
                f"config.members: {key} needs values of type {kind.__name__}, got '{listed}'"
            ) from None
        if len(values) != count:
            raise InputError(
                f"config.members gives {key} {len(values)} value(s) but config.population is "
                f"{count}; the lists go together, member by member"
            )
        varied[key] = values
    return varied


def _check_key(config: ConfigDict, key: str) -> None:
    options = [f"data.{name}" for name in config.data if name != "world"]
    allowed = [key for key in VARY if "*" not in key] + options
    if key in allowed:
        return
    try:
        _get(config, key)
    except (KeyError, AttributeError, TypeError):
        raise unknown("key", key, allowed, "config.members") from None
    raise InputError(
        f"config.members cannot vary {key} inside one program (can: {', '.join(allowed)}); "
        "runs that differ in it are separate: launch/sweep"
    )


def _values(text: str, kind: type) -> list[Any]:
    first, dots, last = text.partition("..")
    if kind is int and dots:
        return list(range(int(first), int(last) + 1))
    if kind is bool:
        if text not in ("True", "False"):
            raise ValueError(text)
        return [text == "True"]
    return [kind(text)]


def _get(config: ConfigDict, key: str) -> Any:
    for name in key.split("."):
        config = config[name]
    return config
