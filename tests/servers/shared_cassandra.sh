#!/bin/bash
# One Apache Cassandra for every test that asks for it: a fixture of ctest.
#   shared_cassandra.sh start DIR   DIR/address is its host:port afterwards
#   shared_cassandra.sh stop DIR    fails if the server logged an error
# RINGPLANE_TOOLS is the folder that `./dev setup` filled.
#
# It asks for a user name and password, as a store in production does. Its
# system tables are not flushed (FAST), which makes a table in 20 ms instead of
# 200; nothing here kills it and goes on. It ends with the process that called
# `start`, so that a ctest that is killed leaves nothing behind.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${RINGPLANE_TOOLS:?must name the folder that ./dev setup filled}"
dir=$2
# shellcheck source=tests/servers/harness.sh
. "$here/harness.sh"

stop_server() {
  if [ -e "$dir/watch.pid" ]; then
    kill -- "-$(cat "$dir/watch.pid")" 2>/dev/null || true
  fi
  bash "$here/cassandra.sh" stop "$dir"
}

case $1 in
  start)
    if [ -e "$dir" ]; then stop_server; fi
    rm -rf "$dir"
    mkdir -p "$dir"
    port=$(free_port)
    launch_cassandra "$dir" "$port"
    setsid bash -c 'tail --pid="$1" -f /dev/null; exec bash "$2" stop "$3"' \
      watch "$PPID" "$here/cassandra.sh" "$dir" </dev/null >/dev/null 2>&1 &
    echo $! >"$dir/watch.pid"
    echo "127.0.0.1:$port" >"$dir/address"
    ;;
  stop)
    stop_server
    if grep '^ERROR' -A 20 "$dir/node1/system.log"; then exit 1; fi
    rm -rf "$dir"
    ;;
  *)
    sed -n 2,5p "$0" >&2
    exit 2
    ;;
esac
