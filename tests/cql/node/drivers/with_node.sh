#!/bin/bash
# Starts a node and runs an unmodified driver against it.
# usage: with_node.sh CQL_NODE_MAIN python-cassandra|python-scylla|gocql SHARDS
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1 driver=$2 shards=$3
folder=$(mktemp -d)
node=
stop() {
  [ -n "$node" ] || return 0
  local pid=$node
  node=
  kill "$pid" 2>/dev/null || true
  wait "$pid" || { echo "the node did not end well" >&2; return 1; }
}
trap 'stop; rm -rf "$folder"' EXIT
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

# Requests went to the shard that owns their partition; all but a few, which
# were sent while the pool was filling. gocql's are spread over every shard.
stop
routing=$(grep '^executes' "$folder/out")
echo "$routing"
least=$shards
case $driver in
  python-cassandra) exit 0 ;;
  python-scylla) least=2 ;;
esac
read -r _ executes _ own _ aware _ used <<<"$routing"
if [ "$executes" -eq 0 ] || [ "$aware" -eq 0 ] || [ "$used" -lt "$least" ] ||
  [ $((own * 10)) -lt $((executes * 9)) ]; then
  echo "not routed by shard" >&2
  exit 1
fi
