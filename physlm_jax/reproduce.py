"""Re-runs the claims of a paper at a scale: trains, measures, judges, writes ledger and page.

python -m physlm_jax.reproduce --study=cfg --scale=laptop
python -m physlm_jax.reproduce --study=cfg --scale=laptop --claims=generation-accuracy --seeds=3

Finished runs are reused; a run that was stopped goes on. Small models leave most of a second core
idle: --jobs=2 takes little more than half the time on two.
"""

import shlex
import sys
from pathlib import Path

from absl import flags

from physlm_jax import cli

STUDY = flags.DEFINE_string("study", None, "Which study, e.g. cfg.", required=True)
SCALE = flags.DEFINE_enum(
    "scale", "laptop", ["laptop", "gpu", "paper"], "How large: minutes on a CPU, or more."
)
CLAIMS = flags.DEFINE_list("claims", [], "Ids or tags of claims, with commas; default all.")
SEEDS = flags.DEFINE_integer("seeds", 1, "Runs of each configuration, for the error bars.")
JOBS = flags.DEFINE_integer(
    "jobs",
    1,
    "On processors: how many runs and claims at a time, each with its share of the cores.",
)
RUNS = flags.DEFINE_string("runs", "runs", "Folder of the runs.")
RESULTS = flags.DEFINE_string("results", "results", "Folder of the ledger.")
PAGE = flags.DEFINE_string(
    "page", "", "Page to write; default <results>/report.html. With --claims it shows those alone."
)
TABLES = flags.DEFINE_bool("tables", False, "Also print the tables of the claims.")
cli.define_job_flags()


def main(argv: list[str]) -> int:
    """Runs the claims, prints a line for each, and the path of the page last.

    Several processes train together; each measures, and the first one keeps and shows.
    """
    del argv
    import jax

    from physlm_jax.report import ledger, page
    from physlm_jax.report.summary import summary_lines, table_lines
    from physlm_jax.studies.running import reproduce
    from physlm_jax.studies.trained import Stopped

    first = jax.process_index() == 0
    command = shlex.join(["python", "-m", "physlm_jax.reproduce", *sys.argv[1:]])
    try:
        outcomes = reproduce(
            STUDY.value,
            SCALE.value,
            CLAIMS.value,
            seeds=SEEDS.value,
            runs=Path(RUNS.value),
            keep=lambda outcome: ledger.write(RESULTS.value, outcome) if first else None,
            command=command,
            jobs=JOBS.value,
            prepare=cli.prepare,
        )
    except Stopped:
        if first:
            print("stopped and saved; the same command goes on from there", file=sys.stderr)
        return flags.FLAGS.stop_code
    if not first:
        return 0
    measured = any(outcome.measurement for outcome in outcomes)
    only_these = not measured or (CLAIMS.value and PAGE.value)
    tables = table_lines(outcomes) if TABLES.value else []
    print("\n".join([*summary_lines(outcomes), *tables]))
    if measured or PAGE.value:
        shown = outcomes if only_these else ledger.whole(RESULTS.value)
        print(page.write(PAGE.value or Path(RESULTS.value) / "report.html", shown))
    return 0


if __name__ == "__main__":
    cli.run(main)
