"""Slow, obvious twins of what is said of one problem, in plain Python on its record.

Written from the grammar and the definitions of arXiv 2407.20311 and 2408.16293 alone. A parameter
is its id (t, i, j, k), a problem is its record (`Problem.facts`); nothing of the fast code is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Id = tuple[int, ...]
Facts = dict[str, Any]


def entries(facts: Facts) -> dict[Id, dict[str, Any]]:
    return {tuple(entry["id"]): entry for entry in facts["params"]}


def deps(facts: Facts) -> dict[Id, list[Id]]:
    return {p: [tuple(d) for d in entry["deps"]] for p, entry in entries(facts).items()}


def name(facts: Facts, p: Id) -> str:
    t, i, j, k = p
    return (
        facts["items"][i][j] + "'s " + (facts["items"][i + 1] if t == 0 else facts["categories"])[k]
    )


def implied(facts: Facts, p: Id) -> list[Id]:
    """What an abstract parameter is made of: children, or pairs of a child and its abstract."""
    _, i, j, k = p
    children = sorted(c for a, b, c in facts["structure_edges"] if (a, b) == (i, j))
    if k == i + 1:
        return [(0, i, j, c) for c in children]
    return [part for c in children for part in ((0, i, j, c), (1, i + 1, c, k))]


# Values


def value(facts: Facts, p: Id) -> int:
    """The value modulo 23, by recursion."""
    entry = entries(facts)[p]
    if p[0] == 1:
        parts = [value(facts, d) for d in implied(facts, p)]
        if p[3] > p[1] + 1:
            parts = [a * b for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return sum(parts) % 23
    formula = entry["formula"]
    kind, constant = formula["kind"], formula.get("const")
    if kind == "const":
        return constant
    args = [value(facts, tuple(a)) for a in formula["args"]]
    base_kind = formula.get("inner", kind)
    base = args[0] - args[1] if base_kind == "diff" else sum(args)
    return {"add_const": base + (constant or 0), "mul_const": base * (constant or 0)}.get(
        kind, base
    ) % 23


def op(facts: Facts) -> int:
    """Operations: max(1, in-degree - 1) of every necessary parameter, the constant counted."""
    total = 0
    for entry in facts["params"]:
        if entry["necessary"]:
            total += max(1, len(entry["deps"]) + entry["uses_rng"] - 1)
    return total


# Text


def base(facts: Facts, kind: str, args: list[Id]) -> str:
    refs = ["each " + name(facts, tuple(a)) for a in args]
    if kind == "single":
        return refs[0]
    word = {"sum": "sum", "diff": "difference"}[kind]
    return f"the {word} of " + ", ".join(refs[:-1]) + " and " + refs[-1]


def sentence(facts: Facts, p: Id) -> str:
    """One sentence of the statement, without its full stop."""
    formula = entries(facts)[p]["formula"]
    kind = formula["kind"]
    if kind == "const":
        right = str(formula["const"])
    elif kind in ("add_const", "mul_const"):
        link = "more than" if kind == "add_const" else "times as much as"
        right = f"{formula['const']} {link} {base(facts, formula['inner'], formula['args'])}"
    else:
        right = base(facts, kind, formula["args"])
    return f"The number of each {name(facts, p)} equals {right}"


def statement(facts: Facts, order: list[Id]) -> str:
    return ". ".join(sentence(facts, p) for p in order) + "."


def question(facts: Facts) -> str:
    t, i, j, k = facts["query"]
    what = (facts["items"][i + 1] if t == 0 else facts["categories"])[k]
    return f"How many {what} does {facts['items'][i][j]} have?"


@dataclass
class Renderer:
    """Writes a solution with given letters, remembering symbols and values."""

    facts: Facts
    letters: list[str]

    def text(self) -> str:
        self.left = list(self.letters)
        self.symbols: dict[Id, str] = {}
        steps = [self.step(tuple(p)) for p in self.facts["solution_order"]]
        return " " + ". ".join(steps) + "."

    def step(self, p: Id) -> str:
        self.symbols[p] = own = self.left.pop(0)
        self.parts: list[str] = []
        last = self.final(p)
        between = "".join(part + "; " for part in self.parts)
        return f"Define {name(self.facts, p)} as {own}; {between}so {own} = {last}"

    def final(self, p: Id) -> str:
        if p[0] == 1:
            terms = [self.term(d) for d in implied(self.facts, p)]
            if not terms:
                return "0"
            if p[3] > p[1] + 1:
                return self.products(terms)
            return self.folded("+", terms)
        formula = entries(self.facts)[p]["formula"]
        kind = formula["kind"]
        if kind == "const":
            return str(formula["const"])
        terms = [self.term(tuple(a)) for a in formula["args"]]
        sign = "-" if formula.get("inner", kind) == "diff" else "+"
        if kind not in ("add_const", "mul_const"):
            return self.folded(sign, terms)
        total = terms[0]
        for term in terms[1:]:
            total = self.between(sign, total, term)
        constant = (str(formula["const"]), formula["const"])
        return self.binary("+" if kind == "add_const" else "*", constant, total)

    def term(self, p: Id) -> tuple[str, int]:
        return self.symbols[p], value(self.facts, p)

    def folded(self, sign: str, terms: list[tuple[str, int]]) -> str:
        if len(terms) == 1:
            return f"{terms[0][0]} = {terms[0][1]}"
        total = terms[0]
        for term in terms[1:-1]:
            total = self.between(sign, total, term)
        return self.binary(sign, total, terms[-1])

    def products(self, terms: list[tuple[str, int]]) -> str:
        pairs = list(zip(terms[::2], terms[1::2], strict=True))
        if len(pairs) == 1:
            return self.binary("*", *pairs[0])
        total = self.between("*", *pairs[0])
        for pair in pairs[1:-1]:
            product = self.between("*", *pair)
            total = self.between("+", total, product)
        product = self.between("*", *pairs[-1])
        return self.binary("+", total, product)

    def between(self, sign: str, a: tuple[str, int], b: tuple[str, int]) -> tuple[str, int]:
        letter = self.left.pop(0)
        self.parts.append(f"{letter} = {self.binary(sign, a, b)}")
        return letter, result(sign, a[1], b[1])

    def binary(self, sign: str, a: tuple[str, int], b: tuple[str, int]) -> str:
        calculation = f"{a[1]} {sign} {b[1]} = {result(sign, a[1], b[1])}"
        return f"{a[0]} {sign} {b[0]} = {calculation}"


def result(sign: str, a: int, b: int) -> int:
    return {"+": a + b, "-": a - b, "*": a * b}[sign] % 23


def solution(facts: Facts, letters: list[str]) -> str:
    return Renderer(facts, letters).text()


# Labels


def needs(facts: Facts, a: Id, b: Id) -> bool:
    """Whether a depends on b, however indirectly."""
    uses = deps(facts)

    def search(p: Id) -> bool:
        return any(d == b or search(d) for d in uses[p])

    return search(a)


def necessary(facts: Facts) -> set[Id]:
    uses, found = deps(facts), set()

    def visit(p: Id) -> None:
        found.add(p)
        for d in uses[p]:
            visit(d)

    visit(tuple(facts["query"]))
    return found


def ready(facts: Facts, done: set[Id]) -> set[Id]:
    """The parameters that are not defined and all of whose dependencies are."""
    return {p for p, used in deps(facts).items() if p not in done and done.issuperset(used)}


# Mistakes


def wrong(facts: Facts, step: int, kind: str) -> set[Id]:
    """The parameters that a mistake before a step can name."""
    order = [tuple(p) for p in facts["solution_order"]]
    done = set(order[:step])
    if kind == "retry_weak":
        return set(order[step + 1 :])
    if kind == "retry_weak_same":
        return set(order[step:])
    if kind == "retry_miss":
        stated = {p for p in entries(facts) if p[0] == 0}
        stated |= {d for p in stated for d in deps(facts)[p]}
        return stated - done
    return set(entries(facts)) - done - ready(facts, done)
