#!/bin/bash
# The calls of the unmodified AppView's client against a dataplane that was
# filled through ingest and the admin RPCs, over h2c and HTTP/1.1, gRPC and
# Connect.
# usage: acceptance.sh RINGPLANE embedded|cassandra [SEED USERS POSTS]
# RINGPLANE_TOOLS is the folder that `./dev setup` filled.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${RINGPLANE_TOOLS:?must name the folder that ./dev setup filled}"
# shellcheck source=tests/servers/harness.sh
. "$here/../servers/harness.sh"
ringplane=$1 store=$2
node=$RINGPLANE_TOOLS/node/bin/node
start_scratch

if [ $# -gt 2 ]; then
  export FIXTURE_SEED=$3 FIXTURE_USERS=$4 FIXTURE_POSTS=$5 GOLDEN=$scratch/golden
  "$node" "$here/src/rpc-acceptance.ts" --record
fi

flags=(--data="$scratch/data" --shards=3)
if [ "$store" = cassandra ]; then
  start_cassandra
  "$ringplane" schema --apply --cql="$cassandra" --keyspace=bsky \
    --replication="{'class': 'SimpleStrategy', 'replication_factor': 1}"
  flags=(--cql="$cassandra" --keyspace=bsky)
fi
start_redis
start_ringplane "$ringplane" --loops=2 --redis="$redis" "${flags[@]}"

"$node" "$here/src/load.ts" --admin "$admin" --ringplane "$ringplane"
for protocol in "grpc 2" "grpc 1.1" "connect 2" "connect 1.1"; do
  read -r rpc http <<<"$protocol"
  echo "--- $rpc over HTTP/$http"
  "$node" "$here/src/rpc-acceptance.ts" --dataplane "$service" \
    --protocol "$rpc" --http "$http"
done
stop_ringplane
