"""What is measured for a claim: figures, and exhibits that a page can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from physlm_jax.studies.statistics import Estimate

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

    @classmethod
    def of(cls, name: str, figures: Sequence[Figure | None], **rest: Any) -> Series:
        """Returns the series of figures with their intervals; None leaves a gap."""
        y, low, high = (
            tuple(getattr(f, part, None) for f in figures) for part in ("value", "low", "high")
        )
        return cls(name, y, low=low, high=high, **rest)

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
KINDS = {Curve: "curve", Bars: "bars", Table: "table", Tree: "tree", Text: "text"}


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
