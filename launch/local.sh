#!/usr/bin/env bash
# One machine: sets itself up (a virtual environment in the checkout, pinned packages), then runs.
#   launch/local.sh demo [flags]       train, sample, judge, probe; writes runs/demo/report.html
#   launch/local.sh test [pytest args] format, lint, types, the test suite (slow tests: test -m slow)
#   launch/local.sh faults [--seeds=N] the fault suite: kills, full disks, damaged checkpoints
#   launch/local.sh MODULE [flags]     python -m physlm_jax.MODULE, e.g. train, reproduce, bench
# Before the module:
#   --processes=N [--devices=D]        N processes of D virtual CPU devices each, as one job
#   --dry-run                          only prints the commands
# PYTHON=python3.12 chooses the interpreter (3.11 or newer); VENV=/path uses an environment of yours;
# EXTRAS=bridge,tpu ./launch/local.sh test also compares with transformers and peft (docs/bridge.md).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/quoting.sh
source launch/quoting.sh

extras=${EXTRAS:-test,tpu}

usage() { sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.12 python3.11 python3}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "local.sh: needs Python >= 3.11 (set PYTHON=/path/to/python3.11)" >&2
  exit 2
}

# Installs once: the stamp holds what was installed, so a second call starts at once and offline.
set_up() {
  if [ -n "${VENV:-}" ]; then return; fi
  local want python
  want="$(cat pyproject.toml requirements.lock | cksum) $extras"
  if [ -f .venv/stamp ] && [ "$(cat .venv/stamp)" = "$want $PWD" ]; then return; fi
  python=$(find_python)
  [ -n "$dry" ] || echo "local.sh: setting up .venv (once, about a minute)"
  act rm -rf .venv
  act "$python" -m venv .venv
  act .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    -c requirements.lock -e ".[$extras]"
  [ -n "$dry" ] || echo "$want $PWD" > .venv/stamp
}

run_tests() {
  act "$bin/ruff" format --check .
  act "$bin/ruff" check .
  act "$bin/mypy"
  act "$bin/python" -m pytest -n 2 --dist worksteal -q --durations=10 -m "not slow" "$@"
}

# Several processes are started and watched by a supervisor; it prints their commands itself.
run_module() {
  local python=$bin/python
  if [ ${#several[@]} -eq 0 ]; then
    act exec "$python" -m "physlm_jax.$1" "${@:2}"
    return
  fi
  [ -x "$python" ] || python=$(find_python) # before the set-up; the supervisor needs no packages
  exec "$python" -m physlm_jax.parallel.supervisor --python="$bin/python" \
    ${dry:+--dry-run} "${several[@]}" "$@"
}

dry='' several=() bin=${VENV:-.venv}/bin
while [[ "${1:-}" == --* && "$1" != --help ]]; do
  case "$1" in
    --dry-run) dry=1 ;;
    --processes=* | --devices=*) several+=("$1") ;;
    *) echo "error: local.sh: unknown option $1 (allowed: --processes=N --devices=D --dry-run)" >&2
      exit 2 ;;
  esac
  shift
done

case "${1:-}" in
  "" | -h | --help | help) usage ;;
  test) shift; set_up; run_tests "$@" ;;
  faults) shift; set_up; act exec "$bin/python" tests/faults/suite.py "$@" ;;
  demo) shift; set_up; run_module reproduce --study=cfg --scale=laptop --claims=demo \
      --runs=runs/demo --results=runs/demo/results --page=runs/demo/report.html "$@" ;;
  *) set_up; run_module "$@" ;;
esac
