#!/bin/bash
# Runs an example with INPUT on its standard input; it has to print EXPECTED
# (printf escapes in both) and succeed.
# usage: output_test.sh PROGRAM INPUT EXPECTED
set -euo pipefail
expected=$(printf '%b' "$3")
output=$(printf '%b' "$2" | timeout 60 "$1")
if [ "$output" != "$expected" ]; then
  printf 'expected:\n%s\ngot:\n%s\n' "$expected" "$output"
  exit 1
fi
