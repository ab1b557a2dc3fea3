"""Is a solution right? The official rules, and a strict mode that also compares formulas.

A text is read into equations (`parsing`); here they are held against the problem. The official
rules do not look at which formula or constant is used: a wrong constant passes if the sums and the
answer still come out. Source: arXiv 2407.20311, section 3 and appendix, and the authors' verifier.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from physlm_jax.data.igsm.formulas import DIFFERENCE, MODULUS, MORE, PLAIN
from physlm_jax.data.igsm.parsing import Equation, Mistake, Sentence, parse
from physlm_jax.data.igsm.problem import Id, Problem
from physlm_jax.data.igsm.structure import INSTANCE

_BEYOND = 10_000  # bits of pairs of items without an edge

Expression = tuple[tuple[int, int], ...]
"""In normal form: the terms of a sum, as numbers in their order, and how often each is in it."""


@dataclass(frozen=True)
class Verdict:
    """What is said of a solution.

    Attributes:
        correct: whether it is right.
        error: the first mistake, with its kind and sentence; None if it is right.
        wrong: the first wrong parameter: its equations do not use what it depends on.
        wrong_sentence: which sentence that is, from 0, those taken back included; -1: none.
        retries: sentences taken back.
        defined: the parameters that are defined, in order (None: no parameter of the problem).
        unnecessary_op, unnecessary_params: of a right solution, its equations beyond the
            problem's, and its parameters that the query does not need; else 0.
    """

    correct: bool
    error: Mistake | None
    wrong: Id | None
    retries: int
    defined: tuple[Id | None, ...]
    unnecessary_op: int = 0
    unnecessary_params: int = 0
    wrong_sentence: int = -1


def verify(problem: Problem, solution: str, strict: bool = False) -> Verdict:
    """Returns the verdict on a solution's text; it never raises for what a model writes.

    Args:
        solution: with or without its leading space.
        strict: formulas and constants must be the problem's, too, up to the order of what is
            added or multiplied.
    """
    found = parse(solution)
    if found.mistake is not None:
        return Verdict(False, found.mistake, None, found.retries, ())
    judge = _Judge(problem, strict)
    for sentence in found.sentences:
        judge.read(sentence)
    last = found.sentences[-1]
    judge.end(last)
    defined = tuple(judge.defined)
    if judge.mistake is not None:
        wrong, number = judge.wrong or (None, -1)
        return Verdict(False, judge.mistake, wrong, found.retries, defined, wrong_sentence=number)
    needed = set(problem.arrays.order.tolist())
    extra = judge.found - needed
    equations = sum(len(s.equations) for s in found.sentences)
    return Verdict(True, None, None, found.retries, defined, equations - problem.op, len(extra))


class _Judge:
    """Goes through a solution's sentences, remembering what each letter stands for."""

    def __init__(self, problem: Problem, strict: bool) -> None:
        self.problem, self.strict = problem, strict
        self.places: dict[str, tuple[int, int]] = {}  # of items
        self.layers: dict[str, int] = {}  # of categories
        for i, row in enumerate(problem.arrays.names.tolist()):  # nothing is kept on the problem
            for j, name in enumerate(row[:-1]):
                if name >= 0:
                    self.places[problem.names[name]] = i, j
            self.layers[problem.names[row[-1]]] = i
        deps = problem.arrays.deps
        self.used, self.counts = deps.used.tolist(), deps.counts.tolist()
        self.values: dict[str, int] = {}
        self.behind = {"": 0}  # the parameters behind a letter, bit n for the n-th
        self.meanings: dict[str, Expression] = {}  # of letters, in strict mode
        self.terms: dict[Any, int] = {}  # the numbers of parameters, constants, products, ...
        self.defined: list[Id | None] = []
        self.found: set[int] = set()  # places of these, those of pairs without an edge beyond
        self.mistake: Mistake | None = None
        self.wrong: tuple[Id, int] | None = None

    def fail(self, kind: str, sentence: int, detail: str) -> None:
        if self.mistake is None:
            self.mistake = Mistake(kind, sentence, detail)

    def read(self, sentence: Sentence) -> None:
        """Checks one sentence."""
        for equation in sentence.equations:
            self._calculate(sentence.number, equation)
        param = self.param(sentence.name)
        self.defined.append(param)
        symbol = sentence.equations[-1].symbol
        if param is None:
            self.fail("name", sentence.number, f"'{sentence.name}' is no parameter of the problem")
            self.behind[symbol] = 0
        else:
            self._check_uses(sentence, param, symbol)
        if self.strict:
            self.meanings[symbol] = self._single(param)

    def _calculate(self, number: int, equation: Equation) -> None:
        symbol, left, operation, right, a, b, result = equation
        known = self.values.get(left, a)
        if operation:
            other = self.values.get(right, b)
            if known != a or other != b:
                self._compare(number, left, known, a)
                self._compare(number, right, other, b)
            found = a + b if operation == "+" else a - b if operation == "-" else a * b
            if found % MODULUS != result:
                self.fail("arithmetic", number, f"{symbol} = {result} is miscalculated")
            self.behind[symbol] = self.behind.get(left, 0) | self.behind.get(right, 0)
        else:
            if left in self.values:
                self._compare(number, left, known, result)
            self.behind[symbol] = self.behind.get(left, 0)
        self.values[symbol] = result
        if self.strict:
            self._note(number, equation)

    def _compare(self, number: int, operand: str, value: int, printed: int) -> None:
        if value != printed:
            self.fail("reference", number, f"{operand} is {value}, not {printed}")

    def _note(self, number: int, equation: Equation) -> None:
        """Strict mode: numbers must be those of the calculation; keeps the expression."""
        symbol, left, operation, right, a, b, _ = equation
        for operand, printed in ((left, a), (right, b)) if operation else ():
            if operand not in self.values:
                self._compare(number, operand, int(operand), printed)
        x, y = (
            self.meanings[word] if word in self.meanings else self._single(int(word))
            for word in (left, right or left)
        )
        self.meanings[symbol] = self._combined(operation, x, y) if operation else x

    def _check_uses(self, sentence: Sentence, param: Id, symbol: str) -> None:
        place, wanted = self.problem.place(param), 0
        if place >= 0:
            for used in self.used[place][: self.counts[place]]:
                wanted |= 1 << used
        if self.behind[symbol] != wanted:
            if self.wrong is None:
                self.wrong = param, sentence.number
            self.fail("dependencies", sentence.number, f"'{sentence.name}' depends on other things")
        elif self.strict and (place < 0 or self.meanings[symbol] != self._formula(place)):
            self.fail("formula", sentence.number, f"'{sentence.name}' has another formula")
        if place < 0:
            _, i, j, k = param
            place = _BEYOND + (i * 99 + j) * 99 + k
        self.found.add(place)
        self.behind[symbol] = 1 << place

    def end(self, last: Sentence) -> None:
        """Checks that the right parameter was found out last, and its value."""
        query = self.problem.query
        if self.defined[-1] != query:
            self.fail("query", last.number, f"'{self.problem.name(query)}' is asked for")
        if last.equations[-1].result != self.problem.answer:
            self.fail("answer", last.number, f"the answer is {self.problem.answer}")

    def param(self, name: str) -> Id | None:
        """The parameter of a name: a pair of items of neighbouring layers, or item and category."""
        at = name.find("'s ")
        while at >= 0:
            owner, what = self.places.get(name[:at]), name[at + 3 :]
            if owner is not None:
                i, j = owner
                if what in self.places and self.places[what][0] == i + 1:
                    return (0, i, j, self.places[what][1])
                if self.layers.get(what, -1) > i:
                    return (1, i, j, self.layers[what])
            at = name.find("'s ", at + 1)
        return None

    def _single(self, term: Any) -> Expression:
        """The sum of one term: a parameter, a constant, or two expressions and a "-" or "*"."""
        return ((self.terms.setdefault(term, len(self.terms)), 1),)

    def _combined(self, operation: str, x: Expression, y: Expression) -> Expression:
        """The normal form of x + y, x - y or x * y; no longer than there are different terms."""
        if operation == "+":
            found = dict(x)
            for term, count in y:
                found[term] = found.get(term, 0) + count
            return tuple(sorted(found.items()))
        return self._single((operation, x, y) if operation == "-" else ("*", min(x, y), max(x, y)))

    def _formula(self, n: int) -> Expression:
        """The normal form of a parameter's formula."""
        problem, arrays = self.problem, self.problem.arrays
        param = problem.params[n]
        parts = [self._single(problem.params[u]) for u in self.used[n][: self.counts[n]]]
        constant = self._single(int(arrays.constant[n]))
        if not parts:
            return constant
        if param[0] != INSTANCE and param[3] > param[1] + 1:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self._combined("*", a, b) for a, b in pairs]
        if param[0] == INSTANCE and arrays.inner[n] == DIFFERENCE:
            inner = self._combined("-", *parts)
        else:
            inner = functools.reduce(functools.partial(self._combined, "+"), parts)
        if param[0] != INSTANCE or arrays.outer[n] == PLAIN:
            return inner
        return self._combined("+" if arrays.outer[n] == MORE else "*", constant, inner)
