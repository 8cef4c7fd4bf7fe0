#!/bin/bash
# Real records, ingested twice: none is lost, counts do not drift, and the
# answers are the same with and without Redis.
# usage: real_records.sh RINGPLANE embedded|cassandra
# RINGPLANE_REAL_RECORDS is the folder with real-repos.jetstream.jsonl; the
# records are other people's and not part of this repository.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${RINGPLANE_TOOLS:?must name the folder that ./dev setup filled}"
# shellcheck source=tests/servers/harness.sh
. "$here/../servers/harness.sh"
ringplane=$1 store=$2
node=$RINGPLANE_TOOLS/node/bin/node

events=${RINGPLANE_REAL_RECORDS:-$here/../../../shared/data}/real-repos.jetstream.jsonl
if [ ! -r "$events" ]; then
  echo "SKIPPED: no real records at $events; RINGPLANE_REAL_RECORDS names their folder"
  exit 77
fi

start_scratch
flags=(--data="$scratch/data")
if [ "$store" = cassandra ]; then
  start_cassandra
  "$ringplane" schema --apply --cql="$cassandra" --keyspace=bsky \
    --replication="{'class': 'SimpleStrategy', 'replication_factor': 1}"
  flags=(--cql="$cassandra" --keyspace=bsky)
fi
start_redis

check() { "$node" "$here/src/real-records.ts" --dataplane "$service" --events "$events"; }

start_ringplane "$ringplane" --redis="$redis" "${flags[@]}"
"$ringplane" ingest "$events" --to="$admin" --strict
first=$(check)
echo "with Redis, once:     $first"
"$ringplane" ingest "$events" --to="$admin" --strict
again=$(check)
echo "with Redis, twice:    $again"
[ "$first" = "$again" ] || { echo "ingesting again changed the answers"; exit 1; }

# By curl, as the README shows.
did=$(sed -n '1s/.*"did":"\([^"]*\)".*/\1/p' "$events")
curl -sS --fail-with-body -H 'Content-Type: application/json' \
  -d "{\"actorDid\":\"$did\",\"limit\":3}" "$service/bsky.Service/GetAuthorFeed" |
  grep -q "\"uri\":\"at://"
stop_ringplane

start_ringplane "$ringplane" "${flags[@]}"
without=$(check)
echo "without Redis:        $without"
[ "$first" = "$without" ] || { echo "Redis changed the answers"; exit 1; }
stop_ringplane
