#!/bin/bash
# Runs an example with INPUT, by default nothing, on its standard input; it has
# to print EXPECTED (printf escapes in both) and succeed.
# usage: output_test.sh PROGRAM EXPECTED [INPUT]
set -euo pipefail
expected=$(printf '%b' "$2")
output=$(printf '%b' "${3-}" | timeout 60 "$1")
if [ "$output" != "$expected" ]; then
  printf 'expected:\n%s\ngot:\n%s\n' "$expected" "$output"
  exit 1
fi
