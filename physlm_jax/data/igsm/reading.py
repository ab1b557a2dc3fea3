"""Problems from records: every entry is checked on the way, and named where it is wrong.

Reading says nothing about letters and the order of sentences: these are drawn. See `facts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from physlm_jax.data.hashing import stream_key
from physlm_jax.data.igsm.facts import INNER, OUTER
from physlm_jax.data.igsm.formulas import (
    DIFFERENCE,
    LETTERS,
    MODULUS,
    NONE,
    PLAIN,
    SINGLE,
    evaluate,
    permutation,
)
from physlm_jax.data.igsm.formulas import Problem as Arrays
from physlm_jax.data.igsm.necessary import implied_dependencies, mark
from physlm_jax.data.igsm.problem import Id, Problem
from physlm_jax.data.igsm.structure import INSTANCE, lay_out
from physlm_jax.errors import InputError


def read(record: Mapping[str, Any], seed: int = 0) -> Problem:
    """Returns the problem of a record: see `Problem.from_facts`."""
    return _Reader(record).problem(seed)


class _Reader:
    """Builds the arrays of a record, checking every entry on the way."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        if not isinstance(record, Mapping):
            raise InputError(f"iGSM facts: expected an object, got {type(record).__name__}")
        self.record = record
        self.items = self._names()
        self.widths = np.array([len(layer) for layer in self.items], np.int32)
        self.structure = lay_out(self.widths, self._edges())
        self.ids: list[Id] = [tuple(row) for row in self.structure.ids.tolist()]
        self.index = {p: n for n, p in enumerate(self.ids)}
        self.entries = self._entries()

    def problem(self, seed: int) -> Problem:
        """Returns the problem."""
        count = len(self.ids)
        used = [self._used(n) for n in range(count)]
        deps = implied_dependencies(self.structure, max(4, *map(len, used)))
        inner, outer = np.zeros(count, np.int32), np.zeros(count, np.int32)
        constant = np.zeros(count, np.int32)
        for n, parts in enumerate(used):
            deps.used[n, : len(parts)], deps.counts[n] = parts, len(parts)
            if self.ids[n][0] == INSTANCE:
                inner[n], outer[n], constant[n] = self._formula(n, parts)
                deps.constant[n] = inner[n] == NONE or outer[n] != PLAIN
            self._agrees(n, "uses_rng", bool(deps.constant[n]))
        in_graph = np.array([self._flag(n, "in_dependency_graph") for n in range(count)], bool)
        self._check_closed(used, in_graph)
        value = evaluate(self.structure, deps, (inner, outer, constant), in_graph)
        self._check_values(value)
        order = self._order(used, in_graph)
        necessary = np.zeros(count, bool)
        mark(deps, necessary, order[-1])
        for n in range(count):
            self._agrees(n, "necessary", bool(necessary[n]))
        if sorted(order) != np.flatnonzero(necessary).tolist():
            raise self._error("solution_order", "must define each necessary parameter once")
        names, places = self._numbered()
        drawn = (deps.used, inner, outer, constant)
        own = json.dumps([self.items, self.categories, order, *(a.tolist() for a in drawn)])
        state = np.array([stream_key(seed, "facts", own)], np.uint64)
        arrays = Arrays(
            self.structure,
            deps,
            inner,
            outer,
            constant,
            value,
            in_graph,
            necessary,
            np.array(order, np.int32),
            permutation(state, self.structure.instances),
            permutation(state, LETTERS),
            places,
        )
        problem = Problem(arrays, names)
        if problem.op > LETTERS:
            raise self._error("op", f"{problem.op} operations need more than {LETTERS} letters")
        for key, found in (("op", problem.op), ("answer", problem.answer)):
            if self._get(self.record, key, int, key) != found:
                raise self._error(key, f"is {self.record[key]}, but the problem has {found}")
        return problem

    def _names(self) -> list[list[str]]:
        items = self._get(self.record, "items", list, "items")
        self.categories = self._get(self.record, "categories", list, "categories")
        depth = self._get(self.record, "depth", int, "depth")
        widths = self._get(self.record, "widths", list, "widths")
        if depth < 2 or not depth == len(items) == len(self.categories) == len(widths):
            raise self._error(
                "depth", f"{depth} layers: expected 2 or more, with categories, items and widths"
            )
        for i, layer in enumerate(items):
            if not isinstance(layer, list) or not layer or len(layer) != widths[i]:
                raise self._error(f"items[{i}]", f"expected a list of widths[{i}] names")
            for name in (*layer, self.categories[i]):
                if not isinstance(name, str) or not name or not _is_plain(name):
                    raise self._error(
                        f"items[{i}]",
                        f"{name!r} is no name that a sentence can hold: printable, with single "
                        "inner spaces, no word that ends in . or ; or begins with BACK",
                    )
        known = [name for layer in items for name in layer] + self.categories
        if len(set(known)) != len(known):
            raise self._error("items", "two items or categories have one name")
        self._check_phrases(items)
        return items

    def _check_phrases(self, items: list[list[str]]) -> None:
        """No "X's Y", an item and one of the next layer or a later category, says two things."""
        phrases: dict[str, str] = {}
        for i, layer in enumerate(items[:-1]):
            for owner in layer:
                for owned in (*items[i + 1], *self.categories[i + 1 :]):
                    phrase, said = f"{owner}'s {owned}", f"{owned!r} of {owner!r}"
                    if phrases.setdefault(phrase, said) != said:
                        raise self._error(
                            "items", f"{phrase!r} can be {said} and {phrases[phrase]}"
                        )

    def _edges(self) -> np.ndarray:
        width = int(self.widths.max())
        edges = np.zeros((len(self.widths) - 1, width, width), bool)
        for n, edge in enumerate(self._get(self.record, "structure_edges", list, "edges")):
            where = f"structure_edges[{n}]"
            if not _are_ints(edge, 3):
                raise self._error(where, f"expected [i, j, k], got {edge}")
            i, j, k = edge
            inside = 0 <= i < len(edges) and 0 <= j < self.widths[i]
            if not inside or not 0 <= k < self.widths[i + 1] or edges[i, j, k]:
                raise self._error(where, f"{edge} is no pair of items, or is there twice")
            edges[i, j, k] = True
        if not edges.any():
            raise self._error("structure_edges", "there is none")
        return edges

    def _entries(self) -> list[Mapping[str, Any]]:
        found: dict[int, Mapping[str, Any]] = {}
        for n, entry in enumerate(self._get(self.record, "params", list, "params")):
            where = f"params[{n}]"
            if not isinstance(entry, Mapping):
                raise self._error(where, "expected an object")
            place = self._place(entry.get("id"), where)
            if place in found:
                raise self._error(where, f"{entry['id']} is there twice")
            found[place] = entry
        missing = [list(p) for n, p in enumerate(self.ids) if n not in found]
        if missing:
            raise self._error("params", f"{missing[0]} is missing")
        for n, p in enumerate(self.ids):
            kind = "instance" if p[0] == INSTANCE else "abstract"
            if found[n].get("type", kind) != kind:
                raise self._error(self._where(n), f"is of type {kind}")
            name = self._name(p)
            if found[n].get("name", name) != name:
                raise self._error(f"{self._where(n)}.name", f"should be {name!r}")
        return [found[n] for n in range(len(self.ids))]

    def _name(self, param: Id) -> str:
        t, i, j, k = param
        what = self.items[i + 1][k] if t == INSTANCE else self.categories[k]
        return f"{self.items[i][j]}'s {what}"

    def _used(self, n: int) -> list[int]:
        """The places of what a parameter uses, in the order of its formula or of its parts."""
        where = self._where(n)
        given = self._get(self.entries[n], "deps", list, f"{where}.deps")
        used = [self._place(d, f"{where}.deps") for d in given]
        if len(set(used)) != len(used):
            raise self._error(f"{where}.deps", "one parameter is there twice")
        if self.ids[n][0] == INSTANCE:
            formula = self._get(self.entries[n], "formula", Mapping, f"{where}.formula")
            args = self._get({"args": [], **formula}, "args", list, f"{where}.formula.args")
            args = [self._place(a, f"{where}.formula") for a in args]
            if sorted(args) != sorted(used):
                raise self._error(f"{where}.formula", "its args are not the deps")
            return args
        parts = implied_dependencies(self.structure, 4)
        implied = parts.used[n, : parts.counts[n]].tolist()
        if sorted(used) != sorted(implied):
            raise self._error(f"{where}.deps", "are not what an abstract parameter implies")
        if self.ids[n][3] == self.ids[n][1] + 1:
            return used
        second = dict(zip(implied[::2], implied[1::2], strict=True))
        return [u for a in used if a in second for u in (a, second[a])]

    def _formula(self, n: int, used: Sequence[int]) -> tuple[int, int, int]:
        where = f"{self._where(n)}.formula"
        formula = self.entries[n]["formula"]
        kind, base = str(formula.get("kind")), str(formula.get("inner"))
        if kind in INNER:
            inner, outer, constant = INNER[kind], PLAIN, 0
        else:
            constant = self._get(formula, "const", int, f"{where}.const")
            if kind == "const":
                inner, outer = NONE, PLAIN
            elif kind in OUTER and base in INNER:
                inner, outer = INNER[base], OUTER[kind]
            else:
                raise self._error(where, f"unknown kind {kind!r} or inner {base!r}")
        if not 0 <= constant < MODULUS:
            raise self._error(f"{where}.const", f"must be in 0..22, got {constant}")
        right = {NONE: len(used) == 0, SINGLE: len(used) == 1, DIFFERENCE: len(used) == 2}
        if not right.get(inner, len(used) >= 2):
            raise self._error(where, f"{len(used)} args do not fit its kind")
        return inner, outer, constant

    def _check_closed(self, used: Sequence[Sequence[int]], in_graph: np.ndarray) -> None:
        for n, parts in enumerate(used):
            outside = [u for u in parts if not in_graph[u]]
            if self.ids[n][0] == INSTANCE and not in_graph[n]:
                raise self._error(self._where(n), "instance parameters are always in the graph")
            if in_graph[n] and outside:
                raise self._error(
                    self._where(n), f"uses {list(self.ids[outside[0]])}, which is not in the graph"
                )

    def _check_values(self, value: np.ndarray) -> None:
        cyclic = np.flatnonzero(value == -2)
        if len(cyclic):
            raise self._error(self._where(int(cyclic[0])), "is on or behind a cycle of deps")
        for n, entry in enumerate(self.entries):
            given, found = entry.get("value"), int(value[n]) if value[n] >= 0 else None
            if given != found or isinstance(given, bool):
                raise self._error(
                    f"{self._where(n)}.value", f"is {given!r}, but its formula gives {found}"
                )

    def _order(self, used: Sequence[Sequence[int]], in_graph: np.ndarray) -> list[int]:
        given = self._get(self.record, "solution_order", list, "solution_order")
        order = [self._place(p, f"solution_order[{n}]") for n, p in enumerate(given)]
        known: set[int] = set()
        for n, p in enumerate(order):
            if p in known or not in_graph[p] or not known.issuperset(used[p]):
                raise self._error(
                    f"solution_order[{n}]",
                    f"{given[n]} is defined twice, before what it uses, or outside the graph",
                )
            known.add(p)
        query = self._place(self.record.get("query"), "query")
        if not order or order[-1] != query:
            raise self._error("query", "must be the last of solution_order")
        return order

    def _numbered(self) -> tuple[tuple[str, ...], np.ndarray]:
        """All names, and for each layer which of them its items and its category have."""
        names = tuple([name for layer in self.items for name in layer] + self.categories)
        width = int(self.widths.max())
        places = np.full((len(self.widths), width + 1), -1, np.int32)
        first = 0
        for i, layer in enumerate(self.items):
            places[i, : len(layer)] = np.arange(first, first + len(layer))
            places[i, width] = len(names) - len(self.categories) + i
            first += len(layer)
        return names, places

    def _place(self, param: Any, where: str) -> int:
        if not _are_ints(param, 4) or tuple(param) not in self.index:
            raise self._error(where, f"unknown parameter id {param!r}")
        return self.index[tuple(param)]

    def _where(self, n: int) -> str:
        return f"parameter {list(self.ids[n])}"

    def _flag(self, n: int, key: str) -> bool:
        return self._get(self.entries[n], key, bool, f"{self._where(n)}.{key}")

    def _agrees(self, n: int, key: str, found: bool) -> None:
        if self._flag(n, key) != found:
            raise self._error(f"{self._where(n)}.{key}", f"should be {found}")

    def _get(self, of: Mapping[str, Any], key: str, kind: Any, where: str) -> Any:
        value = of.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            name = "object" if kind is Mapping else kind.__name__
            raise self._error(where, f"expected a value of type {name}, got {value!r}")
        return value

    def _error(self, where: str, what: str) -> InputError:
        return InputError(f"iGSM facts: {where}: {what}")


def _is_plain(name: str) -> bool:
    """Whether the sentences around a name can be told from it."""
    around = f" {name} "
    return name.isprintable() and not any(s in around for s in ("  ", ". ", "; ", " BACK"))


def _are_ints(value: Any, count: int) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == count
        and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
    )
