"""Asks the TPU compiler, without a TPU, whether a configuration fits a slice and how fast it is.

python -m physlm_jax.fit --config=configs/sizes.py:8b,paper --topology=v5p:4x4x4
python -m physlm_jax.fit --config=configs/sizes.py:1b,paper --rows-per-chip=4 --out=fit.json
python -m physlm_jax.fit --table=results/fit        the reports of a folder as Markdown

Exit code 0: fits, 1: does not fit, 2: bad input. Needs the extra `tpu` (libtpu).
"""

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import Any

from absl import flags

from physlm_jax import cli
from physlm_jax.errors import InputError
from physlm_jax.files import write_text

CONFIG = cli.define_config()
TOPOLOGY = flags.DEFINE_string(
    "topology", None, "Slice to compile for, e.g. v5e:16x16; default config.topology."
)
ROWS = flags.DEFINE_integer(
    "rows-per-chip", None, "Sets the global batch to this many rows times the chips.", 1
)
OUT = flags.DEFINE_string("out", None, "Also write the report as JSON to this file.")
ADVISE = flags.DEFINE_bool(
    "advise", True, "Where it does not fit, compile changed settings until one does."
)
TABLE = flags.DEFINE_string("table", None, "Only print the reports of this folder as Markdown.")


def main(argv: list[str]) -> int:
    """Runs the check on the flags."""
    del argv
    from physlm_jax.parallel.topology import open_topology
    from physlm_jax.training import fit_text
    from physlm_jax.training.fit import check
    from physlm_jax.training.fit_advice import advise

    if TABLE.value:
        print(fit_text.table(fit_text.read(Path(TABLE.value))))
        return 0
    if CONFIG.value is None:
        raise InputError("--config is needed, e.g. --config=configs/sizes.py:8b,paper (or --table)")
    import jax

    jax.config.update("jax_platforms", "cpu")  # constants of the trace take no accelerator
    config = cli.read_config(CONFIG)
    name = TOPOLOGY.value or config.topology
    if not name:
        raise InputError("the config names no topology; give one, e.g. --topology=v5e:4x4")
    topology = open_topology(name)
    report = check(config, topology, ROWS.value or 0)
    if not report.fits and ADVISE.value:
        report = dataclasses.replace(report, advice=advise(config, topology, report))
    print(fit_text.page(report))
    if OUT.value:
        write_text(Path(OUT.value), fit_text.as_json(report, _provenance(config)))
    return 0 if report.fits else 1


def _provenance(config: Any) -> dict[str, Any]:
    """What the report depends on."""
    from physlm_jax.training.config import as_dict

    versions = {name: importlib.metadata.version(name) for name in ("jax", "libtpu")}
    return {**versions, "config": as_dict(config)}


if __name__ == "__main__":
    cli.run(main)
