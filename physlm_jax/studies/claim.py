"""What a paper claims, what was measured for it, and the verdict: the type that every study speaks.

A study lists `Claim`s. `reproduce` trains a claim's `runs`, hands them to `measure`, and applies
`rule`, a pure function of the measurement: no verdict is ever set by hand. The result is an
`Outcome`, plain data with its provenance, which the ledger keeps as JSON and the page draws.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import physlm_jax
from physlm_jax.errors import InputError, unknown
from physlm_jax.studies.exhibits import Measurement
from physlm_jax.studies.plain import decode, encode

SCHEMA, VERSION = "physlm_jax.outcome", 1
VERDICTS = ("reproduced", "partly", "not reproduced", "not run")
REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_RUN = VERDICTS
PACKAGES = ("jax", "jaxlib", "flax", "numpy")  # and this one, which may not be installed


@dataclass(frozen=True)
class Claim:
    """A statement of a paper that a command can test.

    Attributes:
        id: name within its study and of its file: lower case, digits, '-', '_', '.'.
        paper: title and number; statement: one sentence; source: table, figure or section.
        paper_value: the paper's headline figure in words ('99.8 %'; 'not given').
        metric: what `headline` measures, in words.
        rule: measurement -> REPRODUCED, PARTLY or NOT_REPRODUCED; see `decide`.
        rule_text: the same in words.
        scales: where it can be run, of 'laptop', 'gpu', 'paper'.
        runs: scale -> config arguments of the runs to train, e.g. ("cfg3b/4,laptop",).
        measure: (config argument -> finished runs, one per seed; scale) -> measurement.
        tags: to choose subsets, e.g. ('demo',).
    """

    id: str
    paper: str
    statement: str
    source: str
    paper_value: str
    metric: str
    rule: Callable[[Measurement], str]
    rule_text: str
    scales: tuple[str, ...]
    runs: Callable[[str], tuple[str, ...]]
    measure: Callable[[Mapping[str, tuple[Any, ...]], str], Measurement]
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", self.id):
            raise ValueError(f"claim id '{self.id}': use a-z, 0-9, '-', '_', '.'")


def decide(*conditions: bool) -> str:
    """Returns the verdict of a rule made of conditions: all hold, some do, none does.

    Raises:
        ValueError: no conditions; a rule that finds no figure must not pass.
    """
    if not conditions:
        raise ValueError("a rule without conditions: none of its figures was measured")
    return REPRODUCED if all(conditions) else PARTLY if any(conditions) else NOT_REPRODUCED


@dataclass(frozen=True)
class Provenance:
    """Where a measurement comes from; `configs` by run, `date` ISO 8601 in UTC, `seconds` wall."""

    configs: Mapping[str, Any]
    seeds: tuple[int, ...]
    commit: str
    device: str
    date: str
    versions: Mapping[str, str]
    command: str
    seconds: float


def collect(
    configs: Mapping[str, Any], seeds: Sequence[int], seconds: float, command: str
) -> Provenance:
    """Returns the provenance of what this process has just measured on its devices.

    `configs`: config argument of a run -> its config (ConfigDict or dict); `seconds`: wall time of
    training and measuring; `command`: what to type to repeat it.
    """
    versions = {"physlm_jax": physlm_jax.__version__}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    return Provenance(
        configs={run: _anonymous(config) for run, config in configs.items()},
        seeds=tuple(int(seed) for seed in seeds),
        commit=_commit(),
        device=_device(),
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        versions={"python": platform.python_version(), **versions},
        command=_anonymous(command),
        seconds=round(float(seconds), 1),
    )


def _anonymous(value: Any) -> Any:
    """The value as JSON data, without leading folders of absolute paths and this host's name."""
    value = value.to_dict() if hasattr(value, "to_dict") else value
    if isinstance(value, Mapping):
        return {str(key): _anonymous(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_anonymous(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = re.sub(r"(?<![\w.:/~])~?/(?:[^\s/'\"=,:]+/)+", ".../", str(value))
    return re.sub(rf"\b{re.escape(socket.gethostname())}[\w.-]*(?=:\d)", "HOST", text)


def _device() -> str:
    import jax  # here, so that reading a ledger does not start a back end

    device = jax.devices()[0]
    name = device.device_kind
    if device.platform == "cpu":
        info = Path("/proc/cpuinfo")
        models = re.findall(r"model name\s*: (.*)", info.read_text() if info.exists() else "")
        name = f"{models[0] if models else platform.machine()} CPU, {os.cpu_count()} cores"
    return f"{jax.device_count()} x {name}"


def _commit() -> str:
    """The commit of the code that runs, '-dirty' if package or configs differ; else 'unknown'."""
    home = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(home), *arguments]
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # fails in a foreign repository
        dirty = git("status", "--porcelain", "--", ":/physlm_jax", ":/configs")
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@dataclass(frozen=True)
class Outcome:
    """A claim tested at a scale: its words, the verdict, and what the verdict rests on.

    Where it was not run, `reason` says why, and measurement and provenance are None.
    """

    study: str
    scale: str
    id: str
    paper: str
    statement: str
    source: str
    paper_value: str
    metric: str
    rule_text: str
    verdict: str
    reason: str = ""
    measurement: Measurement | None = None
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise unknown("verdict", self.verdict, VERDICTS)
        if (self.verdict == NOT_RUN) != (self.measurement is None):
            raise ValueError(f"verdict '{self.verdict}' does not go with measurement")

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON data, with the schema's name and version."""
        return {"schema": SCHEMA, "version": VERSION, **encode(self)}

    @classmethod
    def from_json(cls, data: Any) -> Outcome:
        """Returns the outcome of `to_json`; InputError in one line where the data is not one."""
        head = (data.get("schema"), data.get("version")) if isinstance(data, dict) else (None, None)
        if head != (SCHEMA, VERSION):
            raise InputError(f"expected schema {SCHEMA} version {VERSION}, got {head[0]} {head[1]}")
        return decode(cls, {k: data[k] for k in data if k not in ("schema", "version")}, "outcome")


def judge(
    claim: Claim, study: str, scale: str, measurement: Measurement, provenance: Provenance
) -> Outcome:
    """Returns the outcome of a measurement; the verdict is the claim's rule's."""
    seen = {"measurement": measurement, "provenance": provenance}
    return _outcome(claim, study, scale, claim.rule(measurement), **seen)


def not_run(claim: Claim, study: str, scale: str, reason: str) -> Outcome:
    """Returns the outcome of a claim that was not run, with the reason in words."""
    return _outcome(claim, study, scale, NOT_RUN, reason=reason)


def _outcome(claim: Claim, study: str, scale: str, verdict: str, **rest: Any) -> Outcome:
    shared = ("id", "paper", "statement", "source", "paper_value", "metric", "rule_text")
    words: dict[str, Any] = {name: getattr(claim, name) for name in shared}
    return Outcome(study=study, scale=scale, verdict=verdict, **words, **rest)
