#!/bin/bash
# Runs the HTTP example on a free port and asks it the ways that clients do.
set -euo pipefail
output=$(mktemp)
"$1" 0 >"$output" &
server=$!
trap 'kill -KILL $server 2>/dev/null || true; rm -f "$output"' EXIT
for _ in $(seq 200); do
  [ -s "$output" ] && break
  sleep 0.05
done
port=$(sed -n 's/^listening on 127\.0\.0\.1://p' "$output")

fail() { echo "$1" && exit 1; }

# expect COUNT: as many answers on descriptor 3, each whole.
expect() {
  local i line
  for ((i = 0; i < $1; i++)); do
    for line in $'HTTP/1.1 200 OK\r' $'Content-Length: 6\r' $'\r' hello; do
      IFS= read -r -t 30 got <&3 || fail "answer $i of $1 is missing"
      [ "$got" = "$line" ] || fail "answer $i of $1 has '$got'"
    done
  done
}

exec 3<>"/dev/tcp/127.0.0.1/$port"
head=$'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
printf '%s' "$head" >&3 && expect 1
printf '%s%s%s' "$head" "$head" "${head:0:20}" >&3 && expect 2 # Pipelined, cut.
printf '%s' "${head:20}" >&3 && expect 1
# A head that never ends is not kept for ever: the server hangs up.
printf 'GET / HTTP/1.1\r\nX: %09000d' 0 >&3
IFS= read -r -t 30 got <&3 && fail "an answer to an endless head: '$got'"
[ $? -lt 128 ] || fail "the server keeps a client with an endless head"
exec 3>&-
# The server lives on.
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf '%s' "$head" >&3 && expect 1
