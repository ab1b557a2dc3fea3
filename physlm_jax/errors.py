"""Errors that are the user's to mend: one clear line, exit code 2, nothing written."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A wrong name, shape, file or value given by the user.

    The message is one line: what was wrong, where, what is allowed. Entry points print it alone
    (no traceback) and exit with code 2.
    """

    code = 2


class Interrupted(InputError):
    """Something outside ended a part of the program; the same command goes on: exit code 75."""

    code = 75


def unknown(kind: str, name: object, allowed: Iterable[str], where: str = "") -> InputError:
    """Returns the error for a name outside a closed set, with the nearest valid name first."""
    names = sorted(str(a) for a in allowed)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    place = f" in {where}" if where else ""
    return InputError(f"unknown {kind} '{name}'{place}{hint} (known: {', '.join(names)})")
