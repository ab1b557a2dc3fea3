"""Reading a solution's text into sentences and equations.

What does not parse is a `Mistake` with its kind and sentence, never an exception: models write
anything. Source: the authors' verifier (arXiv 2407.20311).
"""

from __future__ import annotations

from typing import NamedTuple

from physlm_jax.data.igsm.formulas import MODULUS
from physlm_jax.data.igsm.language import LETTERS

KINDS = {
    "empty": "no sentence at all",
    "unfinished": "the last sentence has no full stop",
    "define": "a sentence is not 'Define <name> as <letter>; ...'",
    "symbol": "a symbol is not one letter, or is not the one being defined",
    "twice": "a symbol is defined twice",
    "undefined": "a symbol is used before it is defined, or a number is outside 0..22",
    "binary": "an equation is not x = 1, x = a = 1 or x = a + b = 1 + 2 = 3",
    "name": "a name is no parameter of the problem",
    "reference": "a printed number is not the value of its symbol",
    "arithmetic": "a calculation is wrong",
    "dependencies": "a parameter is computed from other parameters than it depends on",
    "formula": "a parameter has another formula or constant (strict mode)",
    "query": "the last sentence defines another parameter than the question asks for",
    "answer": "the last value is not the answer",
    "unmarked": "tokens without the marks of a solution's end, or another answer than its value",
}

_LETTERS = frozenset(letter.strip() for letter in LETTERS)
_NUMBERS = {str(n): n for n in range(MODULUS)}


class Mistake(NamedTuple):
    """What is wrong with a solution.

    Attributes:
        kind: one of `KINDS`.  sentence: which, from 0, sentences taken back included.
        detail: in words.
    """

    kind: str
    sentence: int
    detail: str


class Equation(NamedTuple):
    """One ";"-part: `symbol = left operation right = a operation b = result`.

    `x = a = 5` has the operation "" and left "a"; `x = 5` has left "5", a number.
    """

    symbol: str
    left: str
    operation: str
    right: str
    a: int
    b: int
    result: int


class Sentence(NamedTuple):
    """A step: the name it defines, and its equations, the last one for the name itself."""

    number: int
    name: str
    equations: list[Equation]


class Parsed(NamedTuple):
    """A solution's sentences but those taken back, which are counted; or what stopped it."""

    sentences: list[Sentence]
    retries: int
    mistake: Mistake | None


class _Stop(Exception):
    def __init__(self, kind: str, detail: str) -> None:
        self.kind, self.detail = kind, detail


def parse(text: str) -> Parsed:
    """Returns what a text says.

    Args:
        text: of a solution, with or without its leading space.
    """
    body = text.removeprefix(" ")
    sentences: list[Sentence] = []
    if not body.strip(" ."):
        return Parsed([], 0, Mistake("empty", 0, "there is no sentence"))
    retries = 0
    known: set[str] = set()
    parts = body.removesuffix(".").split(". ")
    for number, part in enumerate(parts):
        if " BACK" in part:
            retries += 1
            continue
        try:
            sentences.append(_sentence(number, part, known))
        except _Stop as stop:
            return Parsed(sentences, retries, Mistake(stop.kind, number, stop.detail))
    if not body.endswith("."):
        return Parsed(sentences, retries, Mistake("unfinished", len(parts) - 1, "no full stop"))
    if not sentences:
        return Parsed([], retries, Mistake("empty", 0, "there is no sentence but taken back ones"))
    return Parsed(sentences, retries, None)


def _sentence(number: int, text: str, known: set[str]) -> Sentence:
    """Reads one sentence; the letters it defines join those known."""
    first, *parts = text.split("; ")
    head, found, symbol = first.rpartition(" as ")
    if not found or not parts or not head.startswith("Define ") or len(head) == 7:
        raise _Stop("define", f"'{first[:60]}'")
    if symbol not in _LETTERS:
        raise _Stop("symbol", f"'{symbol}'")
    last = parts[-1]
    if not last.startswith("so "):
        raise _Stop("define", "no final 'so'")
    parts[-1] = last[3:]
    equations = [_equation(part, known) for part in parts]
    if equations[-1].symbol != symbol:
        raise _Stop("symbol", f"'{equations[-1].symbol}' instead of '{symbol}'")
    return Sentence(number, head[7:], equations)


def _equation(text: str, known: set[str]) -> Equation:
    words = text.split(" ")
    symbol = words[0]
    if symbol not in _LETTERS:
        raise _Stop("symbol", f"'{symbol}'")
    if symbol in known:
        raise _Stop("twice", f"'{symbol}'")
    found = _right_side(symbol, words, known)
    known.add(symbol)
    return found


def _right_side(symbol: str, words: list[str], known: set[str]) -> Equation:
    """Reads what stands after a symbol."""
    if len(words) == 11:
        _, e1, left, operation, right, e2, a, again, b, e3, result = words
        if e1 == e2 == e3 == "=" and operation == again and operation in ("+", "-", "*"):
            for operand in (left, right):
                if operand not in known and operand not in _NUMBERS:
                    raise _Stop("undefined", f"'{operand}'")
            return Equation(symbol, left, operation, right, _number(a), _number(b), _number(result))
    elif len(words) == 5 and words[1] == words[3] == "=":
        if words[2] not in known:
            raise _Stop("undefined", f"'{words[2]}'")
        return Equation(symbol, words[2], "", "", 0, 0, _number(words[4]))
    elif len(words) == 3 and words[1] == "=":
        number = _number(words[2])
        return Equation(symbol, words[2], "", "", 0, 0, number)
    raise _Stop("binary", f"'{' '.join(words)[:60]}'")


def _number(word: str) -> int:
    if word not in _NUMBERS:
        raise _Stop("undefined", f"'{word}'")
    return _NUMBERS[word]
