"""The ledger: one JSON file per outcome, results/<study>/<scale>/<claim>.json.

A file's place and its content must agree, so that a file copied or renamed by hand is noticed.
Nothing else is kept: the page is made from these files alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from physlm_jax import studies
from physlm_jax.errors import InputError, unknown
from physlm_jax.files import write_text
from physlm_jax.studies import claim as claims
from physlm_jax.studies.claim import Claim, Outcome

SCALES = ("laptop", "gpu", "paper")  # in the order of the tables


def path(results: str | Path, study: str, scale: str, claim: str) -> Path:
    """Returns where the outcome of a claim (its id) is kept."""
    return Path(results) / study / scale / f"{claim}.json"


def write(results: str | Path, outcome: Outcome) -> Path:
    """Writes an outcome, replacing an earlier one, whole or not at all; returns its path.

    Raises:
        InputError: the place cannot be written, or the disk is full.
    """
    place = path(results, outcome.study, outcome.scale, outcome.id)
    data = outcome.to_json()
    write_text(place, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return place


def read_one(file: Path) -> Outcome:
    """Returns the outcome in a file of the ledger.

    Raises:
        InputError: it cannot be read, is no outcome, or is that of another place.
    """
    try:
        outcome = Outcome.from_json(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8
        raise InputError(f"{file}: not a ledger file: {error}") from None
    kept = path("", outcome.study, outcome.scale, outcome.id)
    if file.parts[-3:] != kept.parts:
        raise InputError(f"{file}: holds the outcome that belongs at {kept}")
    return outcome


def read(results: str | Path, study: str | None = None, scale: str | None = None) -> list[Outcome]:
    """Returns the outcomes of a ledger, sorted by study, scale and id.

    Args:
        results: its folder; study, scale: read these alone.

    Raises:
        InputError: there is no such folder, or a file in it is not a sound outcome.
    """
    root = Path(results)
    if not root.is_dir():
        raise InputError(f"no folder of results at {root}")
    files = sorted(root.glob(f"{study or '*'}/{scale or '*'}/[!.]*.json"))
    outcomes = [read_one(file) for file in files]
    return sorted(outcomes, key=lambda o: (o.study, scale_rank(o.scale), o.id))


def scale_rank(scale: str) -> tuple[int, str]:
    """Returns a sorting key: the known scales from small to large, then any others."""
    return (SCALES.index(scale) if scale in SCALES else len(SCALES), scale)


def complete(
    outcomes: Sequence[Outcome], study: str, scale: str, known: Sequence[Claim]
) -> list[Outcome]:
    """Returns the outcomes of a study at a scale, its other claims added as 'not run'.

    In the order of `known`, the study's claims; outcomes of claims no longer known come last.
    """
    have = {o.id: o for o in outcomes if (o.study, o.scale) == (study, scale)}
    ids = [c.id for c in known]
    listed = [have.get(c.id) or _missing(c, study, scale) for c in known]
    return listed + [o for o in have.values() if o.id not in ids]


def whole(results: str | Path, study: str | None = None, scale: str | None = None) -> list[Outcome]:
    """Returns what a page shows: the ledger's outcomes, each study's other claims as 'not run'.

    Raises:
        InputError: no such folder or study, a damaged file, or nothing measured there.
    """
    if study is not None and study not in studies.names():
        raise unknown("study", study, studies.names())
    found = read(results, study, scale)
    if not found:
        which = "/".join((study or "*", scale or "*"))
        raise InputError(f"no outcome in {results}/{which}; measure with reproduce first")
    listed = []
    for name, size in dict.fromkeys((o.study, o.scale) for o in found):
        known = studies.claims(name) if name in studies.names() else ()
        listed += complete(found, name, size, known)
    return listed


def _missing(claim: Claim, study: str, scale: str) -> Outcome:
    offered = f"offered at: {', '.join(claim.scales)}"
    reason = "not run at this scale" + ("" if scale in claim.scales else f" ({offered})")
    return claims.not_run(claim, study, scale, reason)
