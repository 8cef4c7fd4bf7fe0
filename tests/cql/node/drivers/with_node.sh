#!/bin/bash
# Starts a node and runs an unmodified driver against it.
# usage: with_node.sh CQL_NODE_MAIN python-cassandra|python-scylla|gocql SHARDS
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1 driver=$2 shards=$3
folder=$(mktemp -d)
node=
finish() {
  if [ -n "$node" ]; then
    kill "$node" 2>/dev/null || true
    wait "$node" || { echo "the node did not end well" >&2; exit 1; }
  fi
  rm -rf "$folder"
}
trap finish EXIT
"$program" --data="$folder/data" --shards="$shards" --sync=process \
  >"$folder/out" &
node=$!
for _ in $(seq 300); do
  grep -q '^listening' "$folder/out" && break
  kill -0 "$node" 2>/dev/null || { echo "the node did not start" >&2; exit 1; }
  sleep 0.1
done
address=$(sed -n 's/^listening on \([^ ]*\) .*/\1/p' "$folder/out")
[ -n "$address" ] || { echo "the node does not listen" >&2; exit 1; }
bash "$here/run.sh" "$driver" "${address%:*}" "${address##*:}" "$shards"
