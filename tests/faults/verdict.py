"""What is asked of a run after a fault."""

import dataclasses
from pathlib import Path

from trial import Bench, Trial, close, complete, ending, same_bits


class Broken(Exception):
    """An expectation that did not hold, in words."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Steps lost beyond the last whole checkpoint, whether the bits are right, what happened."""

    lost: int
    bitwise: bool | None
    note: str
    faults: int = 1


def expect(fact: bool, words: str, trial: Trial | None = None) -> None:
    """Raises Broken, with the end of what the run said, unless the fact holds."""
    if not fact:
        raise Broken(words + (f"; it said: {trial.said()[-1500:]}" if trial else ""))


def one_line(trial: Trial, *words: str) -> str:
    """Returns the one line of error, which must hold the words and come without a traceback."""
    lines = trial.errors()
    expect(len(lines) == 1 and "Traceback" not in trial.said(), "not one clear line", trial)
    for word in words:
        expect(word in lines[0], f"'{word}' is not in its line", trial)
    return lines[0]


def finish(
    bench: Bench, workdir: Path, layout: str = "one", note: str = "", known: int | None = None
) -> Verdict:
    """Starts the command (again) and compares its end with the reference.

    Args:
        known: the newest checkpoint that is whole; default: the newest in place.
    """
    before = max(complete(workdir), default=0) if known is None else known
    trial = bench.start(layout, workdir)
    with ending(trial):
        code = trial.wait()
        expect(code == 0, f"{note}; started again it ended with exit code {code}", trial)
        expect("Traceback" not in trial.said(), f"{note}; a traceback in a run that is fine", trial)
    lost = max(before - trial.resumed(), 0)
    right = same_bits(workdir, bench.reference(layout))
    return Verdict(lost, right, f"{note}; went on from {trial.resumed()}")


def finish_elsewhere(bench: Bench, workdir: Path, layout: str, origin: str, note: str) -> Verdict:
    """The same on other devices than those of `origin`: the same data, numbers nearly the same."""
    before = max(complete(workdir), default=0)
    trial = bench.start(layout, workdir)
    with ending(trial):
        code = trial.wait()
        expect(code == 0, f"{note}; on {layout} it ended with exit code {code}", trial)
    expect(close(workdir, bench.reference(origin)), f"{note}; on {layout} the losses differ")
    lost = max(before - trial.resumed(), 0)
    return Verdict(lost, None, f"{note}; went on from {trial.resumed()} as '{layout}'")
