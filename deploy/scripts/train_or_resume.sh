#!/bin/sh
# train_or_resume.sh RUN CONFIG [FLAG ...]
#
# Goes on with the run in the folder RUN, or at that URL, from its newest checkpoint, or begins it there: for
# jobs that are started again when a machine was lost. The flags are those of `metaopt train` and count when it
# begins; a run that goes on has its own configuration.
set -eu

run=$1
config=$2
shift 2

begin() {
  exec metaopt train --config "$config" --out "$run" "$@"
}

case $run in
*://*)
  status=0
  metaopt resume "$run" || status=$?
  if [ "$status" -ne 2 ]; then
    exit "$status"
  fi
  begin "$@" # there is none, or something is wrong that is said again
  ;;
esac

for manifest in "$run"/checkpoints/step_*/manifest.json; do
  if [ -e "$manifest" ]; then
    exec metaopt train --resume "$run"
  fi
done

# It ended before its first checkpoint. There is nothing to go on from, and nothing is deleted.
if [ -e "$run" ]; then
  mv "$run" "$run.without-checkpoint.$(date +%s)"
fi
begin "$@"
