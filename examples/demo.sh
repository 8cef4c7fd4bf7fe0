# The demonstration behind `./dev run`: sourced by ./dev, needs `root`, `say`
# and `die` from it.

# free_port: a TCP port on loopback that nobody listens on.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
  local tries=$(($1 * 10)) what=$2 i
  shift 2
  for ((i = 0; i < tries; i++)); do
    "$@" 2>/dev/null && return
    sleep 0.1
  done
  die "$what did not happen; see build/run/*.log"
}

# rpc METHOD JSON: a unary Connect call with JSON, as any HTTP client can make.
rpc() {
  curl -sS --fail-with-body -H 'Content-Type: application/json' \
    -d "$2" "$service/bsky.Service/$1"
}

# print_timeline DID: author, time and text of a home timeline.
print_timeline() {
  local timeline records actors uris dids
  timeline=$(rpc GetTimeline "{\"actorDid\":\"$1\",\"limit\":10}")
  uris=$(jq -c '[.items[].uri]' <<<"$timeline")
  records=$(rpc GetPostRecords "{\"uris\":$uris}")
  dids=$(jq -c '[.[] | split("/")[2]] | unique' <<<"$uris")
  actors=$(rpc GetActors "{\"dids\":$dids}")
  jq -rn --argjson uris "$uris" --argjson dids "$dids" \
    --argjson records "$records" --argjson actors "$actors" '
    ([$dids, [$actors.actors[] | .handle // ""]] | transpose
      | map({key: .[0], value: .[1]}) | from_entries) as $handles
    | [$uris, $records.records] | transpose[]
    | (.[0] | split("/")[2]) as $did
    | (.[1].record | @base64d | fromjson) as $post
    | "\($handles[$did] | if . == "" then $did else "@" + . end)  \($post.createdAt)\n    \($post.text)"'
}

# demo ONCE: serves, ingests a sample, prints a timeline.
demo() {
  local run=$root/build/run binary=$root/build/release/ringplane viewer
  local redis_port pid
  mkdir -p "$run/redis"

  redis_port=$(free_port)
  redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$run/redis" \
    --save '' --appendonly no --maxmemory 128mb \
    --maxmemory-policy allkeys-lru >"$run/redis.log" 2>&1 &
  demo_redis=$!
  trap demo_stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM

  "$binary" serve --listen="${RINGPLANE_LISTEN:-127.0.0.1:0}" \
    --admin="${RINGPLANE_ADMIN:-127.0.0.1:0}" --data="$run/data" \
    --redis="127.0.0.1:$redis_port" >"$run/serve.out" 2>"$run/serve.log" &
  demo_service=$!
  await 60 "'listening on'" grep -q '^admin on http' "$run/serve.out" ||
    die "$(tail -n 5 "$run/serve.log")"
  service=$(sed -n 's/^listening on //p' "$run/serve.out" | head -n 1)
  admin=$(sed -n 's/^admin on //p' "$run/serve.out" | head -n 1)
  await 60 readiness curl -sfo /dev/null "$admin/readyz"
  say "serving bsky.Service on $service (gRPC and Connect), admin on $admin"

  if [ ! -e "$run/sample.ingested" ]; then
    say "ingesting a generated network of 200 accounts"
    "$binary" generate --users=200 --events=20000 --seed=1 >"$run/sample.jsonl"
    "$binary" ingest "$run/sample.jsonl" --to="$admin"
    touch "$run/sample.ingested"
  fi
  viewer=$(grep -o '^{"did":"[^"]*".*app.bsky.graph.follow' "$run/sample.jsonl" |
    cut -d'"' -f4 | sort | uniq -c | sort -rn | awk 'NR == 1 {print $2}')
  say "home timeline of $viewer"
  print_timeline "$viewer"
  say "ask it yourself:
    curl -H 'Content-Type: application/json' -d '{\"actorDid\":\"$viewer\",\"limit\":3}' $service/bsky.Service/GetTimeline
    curl $admin/metrics"
  if ! $1; then
    say "serving until Ctrl-C"
    wait "$demo_service" || die "the service ended; see build/run/serve.log"
  fi
}

demo_stop() {
  trap - EXIT
  [ -z "${demo_service:-}" ] || kill "$demo_service" 2>/dev/null || true
  [ -z "${demo_service:-}" ] || wait "$demo_service" 2>/dev/null || true
  [ -z "${demo_redis:-}" ] || kill "$demo_redis" 2>/dev/null || true
  [ -z "${demo_redis:-}" ] || wait "$demo_redis" 2>/dev/null || true
}
