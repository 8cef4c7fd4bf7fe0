# The servers and the peer. Sourced by ./dev; needs `say`, `root` and
# `install_for_tests` from it.
install_for_benchmark() {
  install_for_tests
  say "building the peer"
  (cd "$root/benchmarks/cql_faults/peers/go" &&
    GOTOOLCHAIN=local GOFLAGS=-modcacherw GOCACHE="$RINGPLANE_CACHE/go-build" \
      GOMODCACHE="$RINGPLANE_TOOLS/go-modules" \
      "$RINGPLANE_TOOLS/go/bin/go" build \
      -o "$root/build/bench/benchmarks/cql_faults/cql_faults_gocql" .)
}
