#!/bin/bash
# An #include may only point along the arrows of docs/architecture.md:
#   service -> cql -> ioloop -> liburing; protocol code does no I/O.
# usage: layering_test.sh ROOT
set -euo pipefail
root=$1

# Each rule: folder (prefix of a path), then an extended regular expression of
# the included names that are allowed there among our own and the libraries
# that belong to one room. The longest matching folder counts.
rules() {
  cat <<'EOF'
ioloop/            ^(ioloop/|liburing)
ioloop/tls_        ^(ioloop/|openssl/)
ioloop/internal/tls_ ^(ioloop/|openssl/)
cql/protocol/      ^(cql/protocol/|ioloop/check\.h$|lz4|snappy)
cql/node/          ^(cql/node/|cql/protocol/|ioloop/|rocksdb/)
cql/               ^(cql/[a-z_]+\.h$|cql/internal/|cql/protocol/|ioloop/)
service/http/      ^(service/http/|ioloop/check\.h$|nghttp2/)
service/rpc/       ^(service/rpc/|service/http/|ioloop/(check|loop|task)\.h$|google/|zlib|grpc_)
service/redis/     ^(service/redis/|ioloop/|hiredis)
service/           ^(service/|cql/|ioloop/|proto/|google/|simdjson|openssl/|zlib)
EOF
}

# offences FOLDER: prints `file: included name` for each include off the arrows.
offences() {
  local file name allowed
  while IFS=$'\t' read -r file name; do
    allowed=$(rules | awk -v f="$file" \
      'index(f, $1) == 1 && length($1) > best { best = length($1); r = $2 }
       END { print r }')
    [ -n "$allowed" ] || continue
    grep -qE "$allowed" <<<"$name" || echo "$file: $name"
  done < <(cd "$1" && grep -rEo --include='*.h' --include='*.cc' \
    '^#include ["<][^">]+[">]' ioloop cql service 2>/dev/null |
    sed -E 's/^([^:]+):#include ["<](.*)[">]$/\1\t\2/' |
    grep -E $'\t''(ioloop|cql|service|proto|liburing|rocksdb|nghttp2|hiredis|google|simdjson|openssl|lz4|snappy|zlib)')
}

# The test of the test: a planted include that points backwards is found.
planted=$(mktemp -d)
trap 'rm -rf "$planted"' EXIT
mkdir -p "$planted"/{ioloop,cql/protocol,service/http}
echo '#include "cql/session.h"' >"$planted/ioloop/loop.h"
echo '#include "ioloop/stream.h"' >"$planted/cql/protocol/frame.h"
echo '#include <liburing.h>' >"$planted/service/http/http1.h"
if [ "$(offences "$planted" | wc -l)" != 3 ]; then
  echo "the test does not see planted offences:"
  offences "$planted"
  exit 1
fi

found=$(offences "$root")
if [ -n "$found" ]; then
  printf 'includes against the arrows:\n%s\n' "$found"
  exit 1
fi
echo "every include points along the arrows"
