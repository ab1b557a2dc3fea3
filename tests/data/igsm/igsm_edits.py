"""Changes of a solution's text and of what it says, and the checks that they are refused."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import igsm_reference as reference

from physlm_jax.data import igsm
from physlm_jax.data.igsm.parsing import KINDS

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
BINARY = re.compile(r"(\w+) ([-+*]) (\w+) = (\d+) ([-+*]) (\d+) = (\d+)")


def steps(text: str) -> list[str]:
    """The sentences of a solution, without full stops."""
    return text[1:-1].split(". ")


def joined(sentences: list[str]) -> str:
    return " " + ". ".join(sentences) + "."


def symbol(sentence: str) -> str:
    """The letter that a sentence defines for its parameter."""
    return re.search(r" as (\w);", sentence)[1]


def used(sentence: str) -> set[str]:
    """The letters in a sentence's equations that it does not define itself."""
    found = set(re.findall(r"(?<=[ ])[a-zA-Z](?=[ ;]|$)", sentence.split("; ", 1)[1]))
    own = {part.removeprefix("so ")[0] for part in sentence.split("; ")[1:]}
    return found - own


def free_letter(text: str) -> str:
    """A letter that a solution does not use."""
    taken = set(re.findall(r"(?<= )[a-zA-Z](?=[ ;])", text))
    return next(letter for letter in LETTERS if letter not in taken)


def rendered(facts: dict, order: list) -> str:
    """The solution that defines these parameters in this order, with letters a, b, .."""
    return reference.solution({**facts, "solution_order": order}, list(LETTERS))


def changed(facts: dict, p, **formula) -> dict:
    """The record with another formula of one parameter; its values stay the old ones."""
    found = copy.deepcopy(facts)
    reference.entries(found)[tuple(p)]["formula"].update(formula)
    return found


def in_equation(sentence: str, change: Callable[[re.Match], str], last: bool = False) -> str | None:
    """The sentence with its first (or last) calculation changed; None if there is none."""
    found = list(BINARY.finditer(sentence))
    if not found:
        return None
    match = found[-1 if last else 0]
    return sentence[: match.start()] + change(match) + sentence[match.end() :]


def extras(facts: dict) -> list:
    """Unnecessary parameters that can be computed from the statement, in an order that works."""
    done = {tuple(p) for p in facts["solution_order"]} - {tuple(facts["query"])}
    needed, found = done | {tuple(facts["query"])}, []
    while options := sorted(reference.ready(facts, done) - needed):
        done.add(options[0])
        found.append(options[0])
    return found


def refused(problem: igsm.Problem, text: str, kind: str, sentence: int) -> None:
    """Checks that both modes refuse a text, for this reason at this sentence."""
    for strict in (False, True):
        verdict = igsm.verify(problem, text, strict)
        assert not verdict.correct and verdict.error is not None
        assert (verdict.error.kind, verdict.error.sentence) == (kind, sentence), text
        assert verdict.error.kind in KINDS
        assert (verdict.unnecessary_op, verdict.unnecessary_params) == (0, 0)


def each_sentence(cases: list, change: Callable[[str], str | None], kind: str) -> None:
    """Applies a change to every sentence that it applies to."""
    count = 0
    for problem, _ in cases:
        whole = steps(problem.solution)
        for n, sentence in enumerate(whole):
            other = change(sentence)
            if other is not None:
                assert other != sentence
                text = joined([*whole[:n], other, *whole[n + 1 :]])
                refused(problem, text, kind, n)
                count += 1
    assert count
