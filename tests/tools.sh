# shellcheck shell=bash disable=SC2154
# Outside tools that the tests use, pinned, installed once into $RINGPLANE_TOOLS
# and never taken from PATH. Sourced by ./dev; needs `say`, `root` and
# `apt_install` from it. Nothing is written to the home folder: what the package
# clients keep is in $RINGPLANE_CACHE too.
#
#   $RINGPLANE_TOOLS/go/bin/go          Go, from the module proxy
#   $RINGPLANE_TOOLS/cassandra-driver/bin/python, scylla-driver/bin/python
#                                       a venv for each of the CQL drivers,
#                                       which share one package name
#   $RINGPLANE_TOOLS/node/bin/node      Node, with the AppView's packages in
#   $RINGPLANE_TOOLS/appview/node_modules
#   $RINGPLANE_TOOLS/cassandra/*.jar    Apache Cassandra
#   $RINGPLANE_TOOLS/java               the JRE's java

go_version=1.25.4
cassandra_version=5.0.9
# Each Python driver with all that it needs.
cassandra_driver=(cassandra-driver==3.30.1 click==8.5.1 Deprecated==1.3.1
  geomet==1.1.0 lz4==4.4.5 wrapt==2.5.2)
scylla_driver=(scylla-driver==3.29.12 click==8.5.1 geomet==1.1.0 lz4==4.4.5
  PyYAML==6.0.4)

export PIP_CACHE_DIR=$RINGPLANE_CACHE/pip npm_config_cache=$RINGPLANE_CACHE/npm
export GOPATH=$RINGPLANE_CACHE/go GOCACHE=$RINGPLANE_CACHE/go-build
export GOMODCACHE=$RINGPLANE_TOOLS/go-modules

# is_done NAME VERSION: whether NAME was completely installed in VERSION.
is_done() { [ "$(cat "$RINGPLANE_TOOLS/.$1" 2>/dev/null)" = "$2" ]; }
mark_done() { echo "$2" >"$RINGPLANE_TOOLS/.$1"; }

install_go() {
  is_done go "$go_version" && return
  say "installing Go $go_version"
  local client=/usr/lib/go-1.19/bin/go dir
  if [ ! -x "$client" ]; then apt_install golang-1.19-go; fi
  dir=golang.org/toolchain@v0.0.1-go$go_version.linux-amd64
  (cd /tmp && GOFLAGS=-modcacherw "$client" mod download "$dir")
  dir=$GOMODCACHE/$dir
  # A module has no executable files.
  chmod -R u+w "$dir"
  chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
  ln -sfn "$dir" "$RINGPLANE_TOOLS/go"
  mark_done go "$go_version"
}

# install_driver NAME PACKAGE==VERSION...: a venv with one of the Python drivers.
install_driver() {
  local name=$1
  shift
  is_done "$name" "$*" && return
  say "installing $1 for Python"
  rm -rf "${RINGPLANE_TOOLS:?}/$name"
  /usr/bin/python3 -m venv "$RINGPLANE_TOOLS/$name"
  "$RINGPLANE_TOOLS/$name/bin/pip" install -q --disable-pip-version-check \
    --no-deps "$@"
  mark_done "$name" "$*"
}

install_node() {
  local lock
  lock=$(sha256sum "$root/tests/appview/package-lock.json" | cut -d' ' -f1)
  if ! is_done node "$lock"; then
    say "installing Node and the AppView's packages"
    # npm only fetches; what runs is the Node that the lock file pins.
    command -v npm >/dev/null || apt_install npm
    rm -rf "$RINGPLANE_TOOLS/appview"
    mkdir -p "$RINGPLANE_TOOLS/appview" "$RINGPLANE_TOOLS/node/bin"
    cp "$root"/tests/appview/package{,-lock}.json "$RINGPLANE_TOOLS/appview"
    (cd "$RINGPLANE_TOOLS/appview" &&
      npm ci --no-audit --no-fund --loglevel=error)
    ln -sfn ../../appview/node_modules/node/bin/node \
      "$RINGPLANE_TOOLS/node/bin/node"
    "$RINGPLANE_TOOLS/node/bin/node" --version >/dev/null
    mark_done node "$lock"
  fi
  ln -sfn "$RINGPLANE_TOOLS/appview/node_modules" \
    "$root/tests/appview/node_modules"
}

# The modules of the Go programs among the tests.
install_go_modules() {
  local sums
  sums=$(sha256sum "$root"/tests/cql/node/drivers/gocql/go.sum | cut -d' ' -f1)
  is_done go-test-modules "$sums" && return
  say "installing the modules of the Go tests"
  (cd "$root/tests/cql/node/drivers/gocql" && GOTOOLCHAIN=local \
    GOFLAGS=-modcacherw "$RINGPLANE_TOOLS/go/bin/go" mod download)
  mark_done go-test-modules "$sums"
}

install_cassandra() {
  ln -sfn /usr/lib/jvm/java-17-openjdk-amd64/bin/java "$RINGPLANE_TOOLS/java"
  is_done cassandra "$cassandra_version" && return
  say "installing Apache Cassandra $cassandra_version"
  command -v mvn >/dev/null || apt_install maven
  rm -rf "$RINGPLANE_TOOLS/cassandra"
  M2=$RINGPLANE_CACHE/m2 SLIM=1 bash "$root/tests/servers/get-cassandra.sh" "$cassandra_version" \
    "$RINGPLANE_TOOLS/cassandra"
  mark_done cassandra "$cassandra_version"
}

install_tools() {
  mkdir -p "$RINGPLANE_TOOLS"
  # One checkout at a time installs; the others find it done.
  exec 9>"$RINGPLANE_TOOLS/.lock"
  flock 9
  install_go
  install_go_modules
  install_driver cassandra-driver "${cassandra_driver[@]}"
  install_driver scylla-driver "${scylla_driver[@]}"
  install_node
  install_cassandra
  exec 9>&-
}
