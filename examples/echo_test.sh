#!/bin/bash
# Runs the echo example on a free port, talks to it, and ends it by SIGTERM.
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
exec 3<>"/dev/tcp/127.0.0.1/$port"
echo "hello, ring" >&3
read -r answer <&3
[ "$answer" = "hello, ring" ]
exec 3>&-
kill -TERM $server
wait $server
