#!/bin/bash
# Unmodified foreign drivers against a CQL server, which must be up already.
# usage: run.sh python-cassandra|python-scylla|gocql HOST PORT SHARDS
# RINGPLANE_TOOLS is the folder that `./dev setup` filled.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${RINGPLANE_TOOLS:?must name the folder that ./dev setup filled}"
case $1 in
  python-cassandra)
    "$RINGPLANE_TOOLS/cassandra-driver/bin/python" \
      "$here/python_driver_test.py" "$2" "$3" ;;
  python-scylla)
    "$RINGPLANE_TOOLS/scylla-driver/bin/python" \
      "$here/python_driver_test.py" "$2" "$3" ;;
  gocql)
    program=$(mktemp)
    trap 'rm -f "$program"' EXIT
    (cd "$here/gocql" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOPROXY=off \
      GOMODCACHE="$RINGPLANE_TOOLS/go-modules" \
      "$RINGPLANE_TOOLS/go/bin/go" build -o "$program" .)
    "$program" "$2" "$3" "$4" ;;
  *) echo "unknown driver $1" >&2; exit 2 ;;
esac
