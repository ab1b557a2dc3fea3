"""Solutions that do not read as solutions: which part does not, and why."""

import igsm_edits as edits
import pytest

from physlm_jax.data import igsm


@pytest.fixture(scope="module", params=["med", "hard", "med op 21", "reask", "mini"])
def cases(request, problems, records):
    return list(zip(problems[request.param], records[request.param], strict=True))[:60]


def test_a_number_above_22(cases):
    def change(match):
        return f"{match[0].rsplit(' ', 1)[0]} {int(match[7]) + 23}"

    edits.each_sentence(cases, lambda s: edits.in_equation(s, change), "undefined")


def test_a_number_with_a_leading_zero_or_sign(cases):
    for prefix in ("0", "-", "+"):

        def change(match, prefix=prefix):
            return f"{match[0].rsplit(' ', 1)[0]} {prefix}{match[7]}"

        edits.each_sentence(cases, lambda s: edits.in_equation(s, change), "undefined")


def test_three_operands(cases):
    def change(match):
        left, sign, right, a, _, b, total = match.groups()
        return f"{left} {sign} {right} {sign} {right} = {a} {sign} {b} {sign} {b} = {total}"

    edits.each_sentence(cases, lambda s: edits.in_equation(s, change), "binary")


def test_a_missing_calculation(cases):
    def change(match):
        return f"{match[1]} {match[2]} {match[3]} = {match[7]}"

    edits.each_sentence(cases, lambda s: edits.in_equation(s, change), "binary")


def test_a_missing_hint(cases):
    def change(match):
        return f"{match[4]} {match[5]} {match[6]} = {match[7]}"

    edits.each_sentence(cases, lambda s: edits.in_equation(s, change), "binary")


def test_two_signs_that_differ(cases):
    def change(match):
        other = "+" if match[5] == "*" else "*"
        return f"{match[1]} {match[2]} {match[3]} = {match[4]} {other} {match[6]} = {match[7]}"

    edits.each_sentence(cases, lambda s: edits.in_equation(s, change), "binary")


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("Define ", "Let ", "define"),
        (" as ", " is ", "define"),
        ("; so ", "; and ", "define"),
        ("; so ", "; ", "define"),
    ],
)
def test_a_broken_frame(cases, old, new, kind):
    def edit(sentence):
        return sentence.replace(old, new, 1)

    edits.each_sentence(cases, edit, kind)


def test_a_symbol_that_is_no_letter(cases):
    for symbol in ("ab", "1", "?"):

        def edit(sentence, symbol=symbol):
            own = edits.symbol(sentence)
            return sentence.replace(f" as {own};", f" as {symbol};").replace(
                f"so {own} ", f"so {symbol} "
            )

        edits.each_sentence(cases, edit, "symbol")


def test_another_symbol_than_announced(cases):
    def edit(sentence):
        own = edits.symbol(sentence)
        other = "q" if own != "q" else "r"
        return sentence.replace(f" as {own};", f" as {other};")

    edits.each_sentence(cases, edit, "symbol")


def test_a_letter_twice(cases):
    count = 0
    for problem, _ in cases:
        whole = edits.steps(problem.solution)
        first = edits.symbol(whole[0])
        for n, sentence in enumerate(whole[1:], 1):
            own = edits.symbol(sentence)
            other = sentence.replace(f" as {own};", f" as {first};")
            other = other.replace(f"so {own} ", f"so {first} ")
            edits.refused(problem, edits.joined([*whole[:n], other, *whole[n + 1 :]]), "twice", n)
            count += 1
    assert count


@pytest.mark.parametrize("strict", [False, True])
def test_every_beginning_of_a_solution(cases, strict):
    for problem, _ in cases[:12]:
        for end in range(len(problem.solution)):
            verdict = igsm.verify(problem, problem.solution[:end], strict)
            assert not verdict.correct
        last = len(edits.steps(problem.solution)) - 1
        assert verdict.error[:2] == ("unfinished", last)


@pytest.mark.parametrize("text", ["", " ", ".", " .", "  . . ."])
def test_nothing(problems, text):
    edits.refused(problems["mini"][0], text, "empty", 0)


def test_nothing_but_sentences_taken_back(problems):
    verdict = igsm.verify(problems["mini"][0], " Define X as BACK. Define Y as BACK.")
    assert (verdict.correct, verdict.error.kind, verdict.retries) == (False, "empty", 2)
