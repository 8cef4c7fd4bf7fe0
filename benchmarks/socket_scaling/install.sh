# The peers that are not C++: installed and built into the folder of the other
# programs. Sourced by ./dev; needs `say`, `apt_install` and `root` from it.
#
# A peer that cannot be built is no error: NAME.skipped says why, and so do the
# study's log and page.
# shellcheck source=tests/tools.sh
. "$root/tests/tools.sh"

programs=$root/build/bench/benchmarks/socket_scaling

build_go() {
  install_go
  (cd "$root/benchmarks/socket_scaling/peers/go" &&
    GOTOOLCHAIN=local GOFLAGS=-modcacherw GOCACHE="$RINGPLANE_CACHE/go-build" \
      GOMODCACHE="$RINGPLANE_TOOLS/go-modules" \
      "$RINGPLANE_TOOLS/go/bin/go" build -o "$programs/go" .)
}

# Debian has a newer Rust than its own under this name. Nothing is removed for
# it: an older one that is there already makes the peer a skipped one.
build_rust() { # CRATE
  [ -x /usr/bin/cargo ] || apt_install --no-remove cargo-web
  (cd "$root/benchmarks/socket_scaling/peers/$1" &&
    CARGO_HOME="$RINGPLANE_TOOLS/cargo" CARGO_BUILD_RUSTC=/usr/bin/rustc \
      /usr/bin/cargo build --locked --release \
      --target-dir "$root/build/bench/cargo")
  cp "$root/build/bench/cargo/release/$1" "$programs/$1"
}

# build_peer NAME COMMAND...
build_peer() {
  local name=$1 log=$root/build/bench/peer-$1.log status
  shift
  say "building $name"
  rm -f "$programs/$name" "$programs/$name.skipped"
  # A subshell that is nobody's condition: the first failure in it ends it.
  set +e
  (set -e; "$@") >"$log" 2>&1
  status=$?
  set -e
  if [ "$status" != 0 ]; then
    grep -v '^$' "$log" | tail -n 1 >"$programs/$name.skipped"
    say "$name is skipped: $(cat "$programs/$name.skipped") (see $log)"
  fi
}

install_for_benchmark() {
  mkdir -p "$RINGPLANE_TOOLS" "$programs"
  build_peer go build_go
  build_peer tokio build_rust tokio
  build_peer monoio build_rust monoio
}
