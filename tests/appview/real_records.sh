#!/bin/bash
# Real records, ingested twice: none is lost, counts do not drift, and the
# answers are the same with and without Redis, by gRPC and by curl.
# usage: real_records.sh RINGPLANE embedded|cassandra
# RINGPLANE_REAL_RECORDS is the folder with real-repos.jetstream.jsonl; the
# records are other people's and not part of this repository.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${RINGPLANE_TOOLS:?must name the folder that ./dev setup filled}"
# shellcheck source=tests/servers/harness.sh
. "$here/../servers/harness.sh"
ringplane=$1
node=$RINGPLANE_TOOLS/node/bin/node

records=${RINGPLANE_REAL_RECORDS:-$here/../../../shared/data}
events=$records/real-repos.jetstream.jsonl
if [ ! -r "$events" ]; then
  echo "SKIPPED: no real records at $events; RINGPLANE_REAL_RECORDS names their folder"
  exit 77
fi
lines=$(wc -l <"$events")

start_scratch
start_redis

# ingest: every line is applied.
ingest() {
  "$ringplane" ingest "$events" --to="$admin" --strict | tee "$scratch/summary"
  grep -q "^$lines lines: $lines applied, 0 skipped (not served), 0 malformed, 0 rejected" \
    "$scratch/summary" || { echo "not every record was applied"; return 1; }
}

answers=
for cache in "--redis=$redis" "--redis="; do
  empty_store "$ringplane" "$2"
  start_ringplane "$ringplane" "$cache" "${store[@]}"
  for round in once twice; do
    ingest
    now=$("$node" "$here/src/real-records.ts" --dataplane "$service" \
      --events "$events")
    echo "$cache, $round: $now"
    if [ "$now" != "${answers:=$now}" ]; then
      echo "the answers differ from those at first" >&2
      exit 1
    fi
  done
  stop_ringplane
done
