# Sourced by the launchers: commands shown as a shell would take them.
# shellcheck shell=bash

# Prints its arguments on one line, quoted where they must be.
quoted() {
  local word line=''
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word=${word@Q}
    line+=" $word"
  done
  echo "${line# }"
}

# Runs a command; with $dry set it only prints it.
act() {
  if [ -n "${dry:-}" ]; then quoted "$@"; else "$@"; fi
}
