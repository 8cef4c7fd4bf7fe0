#!/bin/bash
# usage: run_seeds.sh SEEDS PROGRAM [ARGUMENT...]
#
# Runs a test program on a bad kernel, for each seed of 1 to SEEDS on io_uring
# (where that works) and on epoll, every third time with tiny queues as well.
# SEEDS may be FIRST-LAST. Ends with the first failure, saying how to repeat it.
set -euo pipefail

seeds=$1
shift
first=1 last=$seeds
case $seeds in *-*) first=${seeds%-*} last=${seeds#*-} ;; esac

log=$(mktemp)
trap 'rm -f "$log"' EXIT
runs=0 began=$SECONDS
for ((seed = first; seed <= last; ++seed)); do
  for backend in auto epoll; do
    bad=(RINGPLANE_FAULT_SEED="$seed" RINGPLANE_IO_BACKEND="$backend")
    if ((seed % 3 == 0)); then bad+=(RINGPLANE_TINY_RING=1); fi
    if ! env "${bad[@]}" timeout -s ABRT 120 "$@" --gtest_brief=1 >"$log" 2>&1
    then
      tail -n 60 "$log"
      echo "FAILED; to repeat: ${bad[*]} $*"
      exit 1
    fi
    runs=$((runs + 1))
  done
done
echo "$(basename "$1"): $runs runs of $((last - first + 1)) seeds passed in" \
  "$((SECONDS - began)) s"
