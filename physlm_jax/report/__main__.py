"""Makes one self-contained HTML page of the measured claims.

    python -m physlm_jax.report
    python -m physlm_jax.report --study=cfg --scale=laptop --out=cfg.html

Reads results/<study>/<scale>/<claim>.json, as `python -m physlm_jax.reproduce` writes them, and
prints one line per claim and the path of the page. Claims of a study that have no file at a scale
where others have one appear as 'not run'.
"""

from __future__ import annotations

from absl import flags

from physlm_jax import cli
from physlm_jax.report import ledger, page
from physlm_jax.report.summary import summary_lines

_RESULTS = flags.DEFINE_string("results", "results", "folder of the ledger")
_OUT = flags.DEFINE_string("out", "report.html", "the page to write")
_STUDY = flags.DEFINE_string("study", None, "this study alone, e.g. cfg; default: all")
_SCALE = flags.DEFINE_enum("scale", None, ledger.SCALES, "this scale alone; default: all")


def main(argv: list[str]) -> None:
    del argv
    shown = ledger.whole(_RESULTS.value, _STUDY.value, _SCALE.value)
    path = page.write(_OUT.value, shown)
    print("\n".join([*summary_lines(shown), "", f"page: {path}"]))


if __name__ == "__main__":
    cli.run(main)
