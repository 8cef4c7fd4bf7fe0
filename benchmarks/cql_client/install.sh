# The peers that are not built by CMake, each installed as its users do and
# pinned. Sourced by ./dev. One that cannot be had is skipped: see build_peer.
# shellcheck source=benchmarks/socket_scaling/install.sh
. "$root/benchmarks/socket_scaling/install.sh"

programs=$root/build/bench/benchmarks/cql_client
cpp_driver=acsylla==1.2.0

build_gocql() {
  is_done go "$go_version" || [ -x "$go_client" ] || apt_install golang-1.19-go
  install_go
  (cd "$root/benchmarks/cql_client/peers/gocql" &&
    GOTOOLCHAIN=local GOFLAGS=-modcacherw GOCACHE="$RINGPLANE_CACHE/go-build" \
      GOMODCACHE="$RINGPLANE_TOOLS/go-modules" \
      "$RINGPLANE_TOOLS/go/bin/go" build -o "$programs/scylladb-gocql" .)
}

build_scylla_rust() {
  [ -x /usr/bin/cargo ] || apt_install --no-remove cargo-web
  (cd "$root/benchmarks/cql_client/peers/rust" &&
    CARGO_HOME="$RINGPLANE_TOOLS/cargo" CARGO_BUILD_RUSTC=/usr/bin/rustc \
      /usr/bin/cargo build --locked --release \
      --target-dir "$root/build/bench/cargo")
  cp "$root/build/bench/cargo/release/scylla-rust" "$programs"
}

# The wheel's extension is the driver; its program finds it by this link.
link_cpp_driver() {
  install_driver cpp-driver "$cpp_driver"
  ln -sfn "$RINGPLANE_TOOLS"/cpp-driver/lib/python3*/site-packages/acsylla/_cython/*.so \
    "$programs/cpp-driver.so"
}

install_for_benchmark() {
  mkdir -p "$RINGPLANE_TOOLS" "$programs"
  build_peer scylladb-gocql build_gocql
  build_peer scylla-rust build_scylla_rust
  # Built by CMake already.
  build_peer cpp-driver.so link_cpp_driver
}
