"""Makes one self-contained HTML page of the measured claims.

    python -m physlm_jax.report
    python -m physlm_jax.report --study=cfg --scale=laptop --out=cfg.html

Reads results/<study>/<scale>/<claim>.json, as `python -m physlm_jax.reproduce` writes them, and
prints one line per claim and the path of the page. Claims of a study that have no file at a scale
where others have one appear as 'not run'.
"""

from __future__ import annotations

from absl import app, flags

from physlm_jax import cli, errors, studies
from physlm_jax.report import ledger, page
from physlm_jax.report.summary import summary_lines
from physlm_jax.studies.claim import Outcome

_RESULTS = flags.DEFINE_string("results", "results", "folder of the ledger")
_OUT = flags.DEFINE_string("out", "report.html", "the page to write")
_STUDY = flags.DEFINE_string("study", None, "this study alone, e.g. cfg; default: all")
_SCALE = flags.DEFINE_enum("scale", None, ledger.SCALES, "this scale alone; default: all")


def outcomes(results: str, study: str | None = None, scale: str | None = None) -> list[Outcome]:
    """Returns what the page shows: the ledger's outcomes, each study's other claims added.

    Raises:
        InputError: no such folder or study, a damaged file, or nothing measured there.
    """
    if study is not None and study not in studies.names():
        raise errors.unknown("study", study, studies.names())
    found = ledger.read(results, study, scale)
    if not found:
        which = "/".join((study or "*", scale or "*"))
        raise errors.InputError(f"no outcome in {results}/{which}; measure with reproduce first")
    listed = []
    for name, size in dict.fromkeys((o.study, o.scale) for o in found):
        known = studies.claims(name) if name in studies.names() else ()
        listed += ledger.complete(found, name, size, known)
    return listed


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument: {argv[1]}")
    shown = outcomes(_RESULTS.value, _STUDY.value, _SCALE.value)
    path = page.write(_OUT.value, shown)
    print("\n".join([*summary_lines(shown), "", f"page: {path}"]))


if __name__ == "__main__":
    cli.run(main)
