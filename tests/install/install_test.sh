#!/bin/bash
# Installs the build folder to a scratch prefix and builds an outside program
# against it, once by find_package and once by pkg-config.
# usage: install_test.sh BUILD_DIR CXX FLAGS
set -euo pipefail
build=$1 cxx=$2 flags=$3
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/prefix" >/dev/null

cmake -S "$here/outside" -B "$scratch/build" -G Ninja \
  -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="$flags" \
  -DCMAKE_PREFIX_PATH="$scratch/prefix" >/dev/null
ninja -C "$scratch/build" >/dev/null
"$scratch/build/outside"

pkgconfig=$(dirname "$(find "$scratch/prefix" -name ringplane-cql.pc)")
# shellcheck disable=SC2046,SC2086 # flags are words
PKG_CONFIG_PATH=$pkgconfig "$cxx" $flags -o "$scratch/outside" \
  "$here/outside/outside.cc" \
  $(PKG_CONFIG_PATH=$pkgconfig pkg-config --static --cflags --libs ringplane-cql)
"$scratch/outside"
echo "an outside program builds by find_package and by pkg-config"
