#!/bin/bash
# The calls of the unmodified AppView's client against a dataplane that was
# filled through ingest and the admin RPCs, over h2c and HTTP/1.1, gRPC and
# Connect.
# usage: acceptance.sh RINGPLANE embedded|cassandra [SEED USERS POSTS]
# With another fixture than the recorded one, the answers are the executable
# model's, and lists have so few rows in a bucket that most have several.
# RINGPLANE_TOOLS is the folder that `./dev setup` filled.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${RINGPLANE_TOOLS:?must name the folder that ./dev setup filled}"
# shellcheck source=tests/servers/harness.sh
. "$here/../servers/harness.sh"
ringplane=$1
node=$RINGPLANE_TOOLS/node/bin/node
start_scratch

flags=(--loops=2)
if [ $# -gt 2 ]; then
  export FIXTURE_SEED=$3 FIXTURE_USERS=$4 FIXTURE_POSTS=$5 GOLDEN=$scratch/golden
  "$node" "$here/src/rpc-acceptance.ts" --record
  flags+=(--list_bucket_rows=16)
fi

empty_store "$ringplane" "$2"
start_redis
start_ringplane "$ringplane" "${flags[@]}" --redis="$redis" "${store[@]}"

"$node" "$here/src/load.ts" --admin "$admin" --ringplane "$ringplane"
for protocol in "grpc 2" "grpc 1.1" "connect 2" "connect 1.1"; do
  read -r rpc http <<<"$protocol"
  echo "--- $rpc over HTTP/$http"
  "$node" "$here/src/rpc-acceptance.ts" --dataplane "$service" \
    --protocol "$rpc" --http "$http"
done
stop_ringplane
