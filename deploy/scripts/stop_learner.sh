#!/bin/sh
# stop_learner.sh SECONDS [RUN]
#
# Asks the learners of this machine, or that of the folder RUN, to end after the outer step in progress,
# with a checkpoint, and waits for at most SECONDS. Needs no ps: the image has none.
set -eu

seconds=$1
pattern="bin/metaopt (train|tune|resume) .*${2:-}"

learners() {
  for command in /proc/[0-9]*/cmdline; do
    # One that has ended meanwhile has no command.
    if tr '\0' ' ' 2>/dev/null <"$command" | grep -Eq "$pattern"; then
      process=${command#/proc/}
      echo "${process%/cmdline}"
    fi
  done
}

for process in $(learners); do
  kill -TERM "$process" 2>/dev/null || true
done
while [ "$seconds" -gt 0 ] && [ -n "$(learners)" ]; do
  sleep 1
  seconds=$((seconds - 1))
done
