"""The data sets of biographies: how many entries a person has, and what differs between them.

A variant is named as in the papers, "multi5+permute": `single`, `multiM`, `multi-infinity`,
`coupleM`, or `bioR-single`, `bioR-multiM` (rewritten freely), and after plus signs `permuteP` (of
single) or `permute`, `fullname`, `reverseK`. `bioS` is multi-infinity+permute and `bioS-simple` is
single+permute1; `bioR` is bioR-multi40, as many rewritings as Part 3.3 has.

Sources: arXiv 2309.14316, section 2.1; 2309.14402, section 6; 2404.05405, section 2; sections 1.3
and 1.4 of knowledge.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from physlm_jax.errors import InputError, unknown

FIXED, PERMUTED, COUPLED = range(3)  # orders of the six sentences
LAST = 6  # reverse6: the name in a closing sentence
ALIASES = {
    "bioS": "multi-infinity+permute",
    "bioS-simple": "single+permute1",
    "bioR": "bioR-multi40",
}
_BASE = re.compile(r"(bioR-)?(single|multi-infinity|multi([1-9]\d*)|couple([1-9]\d*))")
_EXAMPLES = (
    "single",
    "single+permute1",
    "single+permute5+fullname",
    "multi5",
    "multi5+permute",
    "multi5+permute+fullname",
    "multi-infinity+permute",
    "couple5",
    "multi5+reverse1",
    "multi5+permute+reverse6",
    "bioR-single",
    "bioR-multi40",
    *ALIASES,
)


@dataclass(frozen=True)
class Variant:
    """How a person's entries are made.

    Attributes:
        name: as written.
        entries: entries of a person; 0: a new one at every presentation.
        reworded: sentences are drawn anew for each entry (else all have the same six).
        order: FIXED, PERMUTED or COUPLED (pairs of sentences stay together).
        fullname: the full name in every sentence, for the pronoun.
        name_at: sentences before the one that names the person: 0, 1, 2, or `LAST`.
        rewritten: sentences merged, values worded in other ways, idle talk between (bioR).
    """

    name: str
    entries: int = 1
    reworded: bool = False
    order: int = FIXED
    fullname: bool = False
    name_at: int = 0
    rewritten: bool = False


@lru_cache
def as_variant(name: str) -> Variant:
    """Returns the variant of a name.

    Raises:
        InputError: there is none, or its parts exclude each other.
    """
    base, *parts = ALIASES.get(name, name).split("+")
    match = _BASE.fullmatch(base)
    if not match or len(set(parts)) < len(parts):
        raise unknown("variant", name, _EXAMPLES, "bios")
    rewritten, kind, entries, couples = match.groups()
    if rewritten and couples:
        raise unknown("variant", name, _EXAMPLES, "bios")
    found = {
        "entries": 0 if kind == "multi-infinity" else int(entries or couples or 1),
        "reworded": kind != "single",
        "order": COUPLED if couples else PERMUTED if rewritten else FIXED,
        "rewritten": bool(rewritten),
    }
    for part in parts:
        found |= _change(name, part, single=kind == "single", free=bool(rewritten or couples))
    for kind in ("permute", "reverse"):
        if sum(part.startswith(kind) for part in parts) > 1:
            raise InputError(f"bios: variant '{name}' has two parts that say {kind}")
    made = Variant(name, **found)  # type: ignore[arg-type]
    if made.fullname and made.name_at:
        raise InputError(f"bios: variant '{name}': reverse moves the one name, fullname has six")
    return made


def _change(name: str, part: str, single: bool, free: bool) -> dict[str, object]:
    """What a part of a variant's name changes."""
    if part == "fullname":
        return {"fullname": True}
    if not free and single and re.fullmatch(r"permute[1-9]\d*", part):
        return {"order": PERMUTED, "entries": int(part.removeprefix("permute"))}
    if not free and not single and part == "permute":
        return {"order": PERMUTED}
    if not free and part in ("reverse1", "reverse2", f"reverse{LAST}"):
        return {"name_at": int(part[-1])}
    raise unknown(f"part of variant '{name}'", part, _PARTS, "bios")


_PARTS = (
    "permute (of multi)",
    "permute5 (of single)",
    "fullname",
    "reverse1",
    "reverse2",
    "reverse6",
)
