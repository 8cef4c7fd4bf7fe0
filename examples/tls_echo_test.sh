#!/bin/bash
# Runs the TLS example behind a certificate made here and lets OpenSSL's own
# client talk to it: chain, name, ALPN, echo, a resumed session.
set -euo pipefail
folder=$(mktemp -d)
server=
trap 'kill -KILL $server 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2)
openssl req -x509 "${curve[@]}" -keyout ca.key -out ca.pem \
  -subj "/CN=example root" 2>/dev/null
openssl req -x509 "${curve[@]}" -CA ca.pem -CAkey ca.key -keyout server.key \
  -out server.pem -subj "/CN=localhost" \
  -addext subjectAltName=DNS:localhost \
  -addext basicConstraints=critical,CA:FALSE 2>/dev/null

"$1" server.pem server.key 0 2>output &
server=$!
for _ in $(seq 200); do
  [ -s output ] && break
  sleep 0.05
done
port=$(sed -n 's/^listening on 127\.0\.0\.1://p' output)
[ -n "$port" ] || { cat output && exit 1; }

# talk LOG OPTION...: sends a line, reads it back, says goodbye.
talk() {
  local log=$1 line in out pid
  shift
  coproc CLIENT { exec openssl s_client -connect "127.0.0.1:$port" \
    -CAfile ca.pem -verify_return_error -verify_hostname localhost \
    -servername localhost -alpn echo "$@" 2>&1; }
  pid=$CLIENT_PID
  exec {in}>&"${CLIENT[1]}" {out}<&"${CLIENT[0]}" # It may end before us.
  eval "exec ${CLIENT[1]}>&- ${CLIENT[0]}<&-"
  : >"$log"
  printf 'hello over TLS\n' >&"$in"
  while IFS= read -r -t 30 -u "$out" line; do
    printf '%s\n' "$line" >>"$log"
    [ "$line" != "hello over TLS" ] || break
  done
  printf 'Q\n' >&"$in" # Quits, with close_notify.
  wait "$pid" || { echo "the client failed:" && cat "$log" && exit 1; }
  exec {in}>&- {out}<&-
}

expect() {
  grep -q -- "$2" "$1" && return
  echo "no '$2' in what the client printed:"
  cat "$1"
  exit 1
}

talk first -sess_out session
expect first '^hello over TLS$'
expect first 'Verify return code: 0 (ok)'
expect first '^ALPN protocol: echo$'
expect first '^New, TLSv1.3'
talk second -sess_in session
expect second '^hello over TLS$'
expect second '^Reused, TLSv1.3'
talk third -tls1_2
expect third '^hello over TLS$'
expect third '^New, TLSv1.2'
