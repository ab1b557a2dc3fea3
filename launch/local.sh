#!/usr/bin/env bash
# One machine: sets itself up (a virtual environment in the checkout, pinned packages), then runs.
#   launch/local.sh demo [flags]      train, sample, judge, probe; writes runs/demo/report.html
#   launch/local.sh test [pytest args] format, lint, types, the test suite
#   launch/local.sh MODULE [flags]    python -m physlm_jax.MODULE, e.g. train, reproduce, bench
# PYTHON=python3.12 chooses the interpreter (3.11 or newer).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

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
  local want
  want=$(cat pyproject.toml requirements.lock | cksum)
  if [ -f .venv/stamp ] && [ "$(cat .venv/stamp)" = "$want $PWD" ]; then return; fi
  echo "local.sh: setting up .venv (once, about a minute)"
  local python
  python=$(find_python)
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[test]'
  echo "$want $PWD" > .venv/stamp
}

run_tests() {
  .venv/bin/ruff format --check .
  .venv/bin/ruff check .
  .venv/bin/mypy
  .venv/bin/python -m pytest -n 2 --dist worksteal -q --durations=10 "$@"
}

case "${1:-}" in
  "" | -h | --help | help) usage ;;
  test) shift; set_up; run_tests "$@" ;;
  demo) shift; set_up; exec .venv/bin/python -m physlm_jax.reproduce --study=cfg --scale=laptop \
      --claims=demo --runs=runs/demo --results=runs/demo/results --page=runs/demo/report.html "$@" ;;
  *) module=$1; shift; set_up; exec .venv/bin/python -m "physlm_jax.$module" "$@" ;;
esac
