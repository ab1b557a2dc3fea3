"""What a paper claims, what was measured for it, and the verdict: the type that every study speaks.

A study lists `Claim`s. `reproduce` trains a claim's `runs`, hands them to `measure`, and applies
`rule`, a pure function of the measurement: no verdict is ever set by hand. The result is an
`Outcome`, plain data with its provenance, which the ledger keeps as JSON and the page draws.
Values cross into JSON by their declared types alone, so a damaged file is told from a sound one.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import os
import platform
import re
import socket
import subprocess
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from physlm_jax.errors import InputError, unknown
from physlm_jax.studies.statistics import Estimate

SCHEMA, VERSION = "physlm_jax.outcome", 1
VERDICTS = ("reproduced", "partly", "not reproduced", "not run")
REPRODUCED, PARTLY, NOT_REPRODUCED, NOT_RUN = VERDICTS
PACKAGES = ("physlm_jax", "jax", "jaxlib", "flax", "numpy")
ROLES = ("ours", "baseline", "control", "truth", "paper")

Cell = str | bool | int | float | None
Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class Figure:
    """One measured number: a row of a claim's table.

    Attributes:
        value: in `unit`, as `low` and `high` (95 % interval; None where there is none).
        n: what the interval rests on (samples, strings, people); None for an exact value.
        seeds: how many seeds were trained; 0 where nothing was (a truth, a closed form).
        paper: the paper's figure for this row, same unit; None where the paper gives none.
        unit: '%', 'bits', 'nats/token', ...
        role: 'ours', or what ours is compared with: 'baseline', 'control', 'truth'.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    seeds: int = 1
    paper: float | None = None
    unit: str = ""
    role: str = "ours"

    @classmethod
    def of(cls, label: str, estimate: Estimate, factor: float = 1.0, **rest: Any) -> Figure:
        """Returns the figure of an estimate; `factor` 100 turns a share into per cent."""
        e = estimate.scaled(factor)
        return cls(label, e.value, e.low, e.high, e.n, **rest)

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role '{self.role}' of figure '{self.label}' is not one of {ROLES}")


@dataclass(frozen=True)
class Series:
    """One line of a `Curve`, over its x, or one bar in each group of `Bars`, where x is ().

    Attributes:
        y: float[n]; None = nothing drawn there. x, low, high, paper: float[n], or () for none.
        low, high: a band or error bars; paper: the paper's values at the same places.
    """

    name: str
    y: Numbers
    x: Numbers = ()
    low: Numbers = ()
    high: Numbers = ()
    paper: Numbers = ()
    role: str = "ours"

    def __post_init__(self) -> None:
        for name in ("y", "x", "low", "high", "paper"):
            values = getattr(self, name)
            values = tuple(v.item() if isinstance(v, np.generic) else v for v in values)
            object.__setattr__(self, name, values)
            if len(values) not in (0, len(self.y)):
                raise ValueError(f"series {self.name}: {name} has {len(values)} values")


@dataclass(frozen=True)
class Level:
    """A horizontal line across a `Curve` or `Bars`: chance, a floor, the paper's figure."""

    name: str
    y: float


@dataclass(frozen=True)
class Curve:
    """Series over a common axis; the first x_name and y_name carry the units."""

    title: str
    series: tuple[Series, ...]
    x_name: str
    y_name: str
    x_log: bool = False
    y_log: bool = False
    levels: tuple[Level, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Bars:
    """Groups of bars: groups[g] holds y[g] of every series."""

    title: str
    groups: tuple[str, ...]
    series: tuple[Series, ...]
    y_name: str
    levels: tuple[Level, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(series.y) != len(self.groups) for series in self.series):
            raise ValueError(f"{self.title}: a series does not match groups {self.groups}")


@dataclass(frozen=True)
class Table:
    """Rows of cells under column names."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"{self.title}: a row does not match columns {self.columns}")


@dataclass(frozen=True)
class Node:
    """A node over tokens start..stop-1 in row `level` (0 = top), with a probe's verdict on it."""

    label: str
    level: int
    start: int
    stop: int
    right: bool | None = None
    hover: str = ""


@dataclass(frozen=True)
class Tree:
    """A parse tree over tokens; `levels` names its rows from the top, the leaves not counted."""

    title: str
    tokens: tuple[str, ...]
    nodes: tuple[Node, ...]
    levels: tuple[str, ...]
    note: str = ""

    def __post_init__(self) -> None:
        for node in self.nodes:
            inside = 0 <= node.start < node.stop <= len(self.tokens)
            if not inside or not 0 <= node.level < len(self.levels):
                raise ValueError(f"{self.title}: {node} lies outside the tree")


@dataclass(frozen=True)
class Sample:
    """A text that was generated or shown, with a verdict and a word on it."""

    text: str
    right: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Text:
    """Texts to read: samples, problems with solutions, biographies."""

    title: str
    samples: tuple[Sample, ...]
    note: str = ""


Exhibit = Curve | Bars | Table | Tree | Text
_KINDS = {Curve: "curve", Bars: "bars", Table: "table", Tree: "tree", Text: "text"}


@dataclass(frozen=True)
class Measurement:
    """What was measured for a claim: all that its rule sees, and all that its page draws."""

    figures: tuple[Figure, ...]
    exhibits: tuple[Exhibit, ...] = ()

    def __getitem__(self, label: str) -> Figure:
        """The figure with this label."""
        return {f.label: f for f in self.figures}[label]

    @property
    def headline(self) -> Figure | None:
        """The figure that stands for the claim in a summary: the first of role 'ours'."""
        return next((f for f in self.figures if f.role == "ours"), None)


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
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
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


def encode(value: Any) -> Any:
    """Returns dataclasses, tuples and numbers as JSON data; an exhibit also names its `kind`."""
    if isinstance(value, np.ndarray | np.generic):
        return encode(value.tolist())
    if dataclasses.is_dataclass(value):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        kind = _KINDS.get(type(value))
        return {"kind": kind, **fields} if kind else fields
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # 'nan', 'inf': JSON has no such numbers
    return value


def decode(kind: Any, data: Any, where: str) -> Any:
    """Returns JSON data as the type `kind`, or raises an InputError that says where it is not."""
    arguments = typing.get_args(kind)
    if kind is Any or (data is None and type(None) in arguments):
        return data
    if typing.get_origin(kind) is tuple:
        if isinstance(data, list):
            return tuple(decode(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(data))
    elif typing.get_origin(kind) is Mapping:
        if isinstance(data, dict):
            return {k: decode(arguments[1], v, f"{where}.{k}") for k, v in data.items()}
    elif arguments:  # a union: the first member that takes the data; None was dealt with
        for member in (a for a in arguments if _takes(a, data)):
            return decode(member, data, where)
    elif _takes(kind, data):
        return _decode_fields(kind, data, where) if isinstance(data, dict) else kind(data)
    raise InputError(f"{where}: {str(data)[:40]!r} is not {getattr(kind, '__name__', kind)}")


def _takes(kind: Any, data: Any) -> bool:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return isinstance(data, dict) and data.get("kind") == _KINDS.get(kind)
    if kind is float:
        return type(data) in (int, float) or data in ("nan", "inf", "-inf")
    return type(data) is kind


def _decode_fields(kind: Any, data: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    odd = sorted(map(str, (data.keys() - {"kind"}) ^ hints.keys()))
    if odd:
        raise InputError(f"{where}: missing or unexpected field: {', '.join(odd)}")
    values = {name: decode(hints[name], data[name], f"{where}.{name}") for name in hints}
    try:
        return kind(**values)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
