"""Asks a frozen model of a trained run what it knows.

python -m physlm_jax.probe --workdir=runs/cfg3b --probe=ancestors
python -m physlm_jax.probe --workdir=runs/cfg3b --probe=ancestors --mask=full,diagonal --layer=all
python -m physlm_jax.probe --workdir=runs/cfg3b --probe=ancestors --target=boundaries --control

Prints a small table and writes probes/<name>-step<n>[-control].json in the run's folder. A probe is
a module of physlm_jax/probes (its contract: probes/measurement.py); its settings are flags here.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

from absl import flags

from physlm_jax import cli
from physlm_jax.probes import running

_WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run", required=True)
_PROBE = flags.DEFINE_string("probe", "ancestors", f"one of {', '.join(running.modules())}")
_STEP = flags.DEFINE_integer("step", None, "checkpoint to read; default: the last")
_MEMBER = flags.DEFINE_integer("member", None, "of a population: which run, from 0")
_CONTROL = flags.DEFINE_bool("control", False, "probe an untrained model of the same shape")

_DEFINE: dict[type, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_list,
}


def _define_settings() -> dict[str, flags.FlagHolder]:
    """Defines the flags of all probes' settings; those of the same name are one flag."""
    found: dict[str, dict[str, running.Option]] = {}
    for name, module in running.modules().items():
        for option in running.options(module).values():
            found.setdefault(option.flag, {})[name] = option
    return {flag: _define(flag, of) for flag, of in found.items()}


def _define(flag: str, of: dict[str, running.Option]) -> flags.FlagHolder:
    """Defines one flag, whose help tells what it is to each probe that has it, and the default."""
    texts: dict[str, list[str]] = {}
    for probe, option in of.items():
        default = option.default
        if isinstance(default, tuple):
            default = ",".join(map(str, default))
        known = f", default {default}" if default != "" else ""
        texts.setdefault(f"{option.help}{known}", []).append(probe)
    told = "; ".join(f"{', '.join(probes)}: {text}" for text, probes in texts.items())
    kind = next(iter(of.values())).type
    return _DEFINE[typing.get_origin(kind) or kind](flag, None, told)


_SETTINGS = _define_settings()


def main(argv: list[str]) -> None:
    """Runs the probe that the flags describe."""
    del argv
    given = {flag: holder.value for flag, holder in _SETTINGS.items() if holder.present}
    measured, path = running.run_probe(
        _WORKDIR.value, _PROBE.value, _STEP.value, _CONTROL.value, given, _MEMBER.value
    )
    print(f"{measured.table()}\n\n{path}")


if __name__ == "__main__":
    cli.run(main)
