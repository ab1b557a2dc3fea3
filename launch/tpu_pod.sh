#!/usr/bin/env bash
# Cloud TPU: a module on all workers of a slice, asked for as a queued resource.
#   launch/tpu_pod.sh [options] create              ask for the slice
#   launch/tpu_pod.sh [options] wait                until it is there
#   launch/tpu_pod.sh [options] install             this commit, its packages, the shared folder
#   launch/tpu_pod.sh [options] run MODULE [flags]  on every worker, in the background
#   launch/tpu_pod.sh [options] tail                follow the first worker
#   launch/tpu_pod.sh [options] resume MODULE [flags]  all of these, again whenever the slice is
#                                                   taken away or a worker lost, until the run ends
#   launch/tpu_pod.sh [options] delete              give the slice back
# Options: --name=physlm --zone=us-west4-a --project=ID --type=v5litepod-16
#   --runtime=v2-alpha-tpuv5-lite --spot --share=HOST:/EXPORT (NFS, e.g. Filestore, mounted on
#   /mnt/runs: put --workdir there, all workers write one checkpoint) --dry-run (only print)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=launch/quoting.sh
source launch/quoting.sh

readonly AGAIN=75 # exit code of a run that wants to be started again

usage() { sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

refuse() { echo "error: tpu_pod.sh: $1" >&2 && exit 2; }

queued() { act gcloud compute tpus queued-resources "$1" "$name" "${where[@]}" "${@:2}"; }

on_workers() { # which workers, command
  act gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" --worker="$1" --command="$2"
}

state() {
  gcloud compute tpus queued-resources describe "$name" "${where[@]}" \
    --format='value(state.state)' 2>/dev/null || true
}

create() {
  queued create --node-id="$name" --accelerator-type="$type" --runtime-version="$runtime" \
    ${spot:+--spot}
}

await_slice() {
  if [ -n "$dry" ]; then
    echo "# every 30 seconds, until it says ACTIVE (FAILED or SUSPENDED: exit code 1):"
    queued describe --format='value(state.state)'
    return
  fi
  local now
  while now=$(state) && [ "$now" != ACTIVE ]; do
    case "$now" in
      FAILED | SUSPEND*) echo "tpu_pod.sh: $name is $now" >&2 && return 1 ;;
    esac
    echo "tpu_pod.sh: $name is ${now:-not known yet}"
    sleep "$POLL"
  done
}

install() {
  local archive=/tmp/$name.tar.gz steps
  act git archive --format=tar.gz --output="$archive" HEAD
  act gcloud compute tpus tpu-vm scp "$archive" "$name:physlm.tar.gz" "${where[@]}" --worker=all
  steps="mkdir -p physlm && tar -xzf physlm.tar.gz -C physlm && cd physlm"
  steps+=" && python3 -m pip install --quiet --user uv"
  steps+=" && python3 -m uv venv --quiet --allow-existing --python 3.12 .venv"
  steps+=" && python3 -m uv pip install --quiet --python .venv/bin/python -c requirements.lock"
  steps+=" -e '.[tpu]'"
  if [ -n "$share" ]; then
    steps+=" && sudo apt-get -qq install -y nfs-common && sudo mkdir -p /mnt/runs"
    steps+=" && { mountpoint -q /mnt/runs || sudo mount -t nfs $(quoted "$share") /mnt/runs; }"
    steps+=" && sudo chmod a+rwx /mnt/runs"
  fi
  on_workers all "$steps"
}

# The lock keeps a second run away from the chips until the first one has ended.
run() {
  local module
  module=$(quoted .venv/bin/python -m "physlm_jax.$1" --cluster=gcetpu "--stop_code=$AGAIN" "${@:2}")
  module+=" > run.log 2>&1 < /dev/null; echo \$? > run.code"
  on_workers all "cd physlm && rm -f run.code && \
setsid --fork flock --timeout 120 run.lock bash -c $(quoted "$module")"
}

# Waits for the run on the first worker and returns its exit code; AGAIN if the slice is gone.
await_run() {
  local code=0
  # shellcheck disable=SC2016  # for the worker's shell
  local until_ended='cd physlm && until [ -s run.code ]; do sleep 5; done; exit $(cat run.code)'
  on_workers 0 "$until_ended" || code=$?
  while [ "$code" -eq 255 ] && [ "$(state)" = ACTIVE ]; do # 255: the connection broke, not the run
    sleep "$POLL"
    code=0
    on_workers 0 "$until_ended" || code=$?
  done
  if [ "$code" -eq 255 ]; then code=$AGAIN; fi
  return "$code"
}

resume() {
  if [ -n "$dry" ]; then
    create && await_slice && install && run "$@"
    echo "# then wait for its exit code; 0: done; $AGAIN or more, or the slice gone: all of it again"
    await_run
    echo "# and before it is asked for again:"
    delete
    return
  fi
  local code
  while true; do
    if [ "$(state)" != ACTIVE ]; then
      if [[ "$(state)" =~ ^(SUSPEND|FAILED) ]]; then delete; fi
      if [ -z "$(state)" ]; then create; fi
      await_slice || { sleep "$POLL" && continue; }
      install || continue
    fi
    run "$@" || { sleep "$POLL" && continue; }
    code=0
    await_run || code=$?
    if [ "$code" -lt "$AGAIN" ]; then return "$code"; fi
    echo "tpu_pod.sh: the run was cut off (exit code $code); starting it again"
    sleep "$POLL"
  done
}

delete() { queued delete --force --quiet; }

POLL=${POLL:-30} # seconds between questions
dry='' spot='' share='' project=''
name=physlm zone=us-west4-a type=v5litepod-16 runtime=v2-alpha-tpuv5-lite
while [[ "${1:-}" == --* && "$1" != --help ]]; do
  case "$1" in
    --dry-run) dry=1 ;;
    --spot) spot=1 ;;
    --name=?* | --zone=?* | --project=?* | --type=?* | --runtime=?* | --share=?*)
      option=${1#--}
      printf -v "${option%%=*}" %s "${option#*=}" ;;
    *) refuse "unknown option $1 (allowed: --name= --zone= --project= --type= --runtime= --spot --share= --dry-run)" ;;
  esac
  shift
done
where=("--zone=$zone" ${project:+"--project=$project"})

command=${1:-help}
case "$command" in
  run | resume)
    if [[ "${2:-}" != [a-z]* ]]; then refuse "which module? e.g. $command train --config=..."; fi
    "$command" "${@:2}" ;;
  wait) await_slice ;;
  tail) on_workers 0 'tail -n 100 -F physlm/run.log' ;;
  create | install | delete) "$command" ;;
  help | -h | --help) usage ;;
  *) refuse "unknown command $command (allowed: create wait install run tail resume delete)" ;;
esac
