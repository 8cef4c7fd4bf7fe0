# Starts real servers for a test on free ports of loopback, and stops them by
# pid when the shell ends. Sourced; set -euo pipefail is the caller's.
#
#   start_scratch            scratch: a folder that is removed at the end
#   start_redis              redis: host:port of a redis-server
#   start_cassandra          cassandra: host:port of an Apache Cassandra, which
#                            is that of the folder RINGPLANE_CASSANDRA (see
#                            shared_cassandra.sh) or else its own
#   empty_store BINARY embedded|cassandra   store: flags for an empty store
#   start_ringplane BINARY FLAGS...   service, admin: URLs once it is ready
#   stop_ringplane           SIGTERM; the drain must end with status 0

servers_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
harness_pids=()
stores=0

start_scratch() {
  scratch=$(mktemp -d)
  trap stop_all EXIT
}

stop_all() {
  local status=$? pid
  trap - EXIT
  for pid in "${harness_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  if [ -e "$scratch/cassandra" ]; then
    bash "$servers_dir/cassandra.sh" stop "$scratch/cassandra" || true
  fi
  for pid in "${harness_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ "$status" != 0 ]; then
    tail -n 30 "$scratch"/*.log "$scratch"/cassandra/node1/system.log \
      >&2 2>/dev/null || true
  fi
  rm -rf "$scratch"
  exit "$status"
}

# free_port: nobody listens on it now, on any loopback address.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
  local tries=$(($1 * 10)) what=$2 i
  shift 2
  for ((i = 0; i < tries; i++)); do
    if "$@" 2>/dev/null; then return; fi
    sleep 0.1
  done
  echo "$what did not happen" >&2
  return 1
}

start_redis() {
  local port
  port=$(free_port)
  redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no \
    --dir "$scratch" >"$scratch/redis.log" 2>&1 &
  harness_pids+=($!)
  redis=127.0.0.1:$port
  await 20 "Redis" redis-cli -p "$port" ping >/dev/null
}

# launch_cassandra DIR PORT: until it answers cassandra/cassandra.
launch_cassandra() {
  JAVA=$RINGPLANE_TOOLS/java PYTHON=/usr/bin/python3 FAST=1 TOKENS=1 \
    PORT=$2 STORAGE=$(free_port) bash "$servers_dir/cassandra.sh" start \
    "$1" "$RINGPLANE_TOOLS/cassandra" -a
}

start_cassandra() {
  local port
  if [ -n "${RINGPLANE_CASSANDRA:-}" ]; then
    cassandra=$(cat "$RINGPLANE_CASSANDRA/address")
    return
  fi
  port=$(free_port)
  launch_cassandra "$scratch/cassandra" "$port"
  cassandra=127.0.0.1:$port
}

empty_store() {
  local ringplane=$1
  stores=$((stores + 1))
  case $2 in
    embedded) store=(--data="$scratch/data$stores" --shards=3) ;;
    cassandra)
      [ -n "${cassandra:-}" ] || start_cassandra
      export RINGPLANE_CQL_PASSWORD=cassandra
      store=(--cql="$cassandra" --cql_username=cassandra
        --keyspace="test_$$_$stores")
      "$ringplane" schema --apply "${store[@]}"
      ;;
    *)
      echo "no such store: $2" >&2
      return 2
      ;;
  esac
}

start_ringplane() {
  local binary=$1
  shift
  # The shell that becomes the binary may be late to truncate the file, and
  # the address of the last one must not be taken for this one's.
  rm -f "$scratch/ringplane.out"
  "$binary" serve --listen=127.0.0.1:0 --admin=127.0.0.1:0 "$@" \
    >"$scratch/ringplane.out" 2>"$scratch/ringplane.log" &
  ringplane_pid=$!
  harness_pids+=("$ringplane_pid")
  await 120 "'admin on'" grep -q '^admin on http' "$scratch/ringplane.out"
  service=$(sed -n 's/^listening on //p' "$scratch/ringplane.out" | head -n 1)
  admin=$(sed -n 's/^admin on //p' "$scratch/ringplane.out" | head -n 1)
  await 120 "readiness" curl -sfo /dev/null "$admin/readyz"
}

stop_ringplane() {
  kill -TERM "$ringplane_pid"
  wait "$ringplane_pid"
}
