# shellcheck shell=bash disable=SC2154
# What is too long for `./dev test`: more seeds, more races, longer churn and
# fuzzing. Sourced by ./dev; needs `root` and its say, die, step, build_preset,
# job_count and fuzz_all. How much of each is for the environment to say.

soak_parts=(sim races faults churn fuzz)

sim_seeds=${RINGPLANE_SOAK_SIM_SEEDS:-10000}
fault_seeds=${RINGPLANE_SOAK_FAULT_SEEDS:-200}
races=${RINGPLANE_SOAK_RACES:-1000000}
churn_seconds=${RINGPLANE_SOAK_CHURN_SECONDS:-600}
churn_sockets=${RINGPLANE_SOAK_CHURN_SOCKETS:-19900}

# The programs whose every test also holds on a bad kernel.
hardened=(datagram file host_loop loop operations race signals socket_options
  stop stream threads tls)

# soak_run NAME COMMAND...: says how long it took and the last figures it
# printed; ends everything if it fails.
soak_run() {
  local began=$SECONDS log=$root/build/soak/$1.log name=$1
  shift
  mkdir -p "$root/build/soak"
  say "$name begins, $(elapsed) so far"
  "$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "$name failed: $log"; }
  say "$name passed in $((SECONDS - began)) s; $(grep -E '^[0-9a-z_]+:? [0-9a-z]' "$log" | tail -n 1)"
}

# test_program PRESET NAME
test_program() { echo "$root/build/$1/tests/ioloop/ioloop_$2_test"; }

soak_sim() {
  local name
  step "$sim_seeds seeds of each simulation"
  build_preset asan ioloop_sim_test ioloop_sim_features_test ioloop_sim_kernel_test
  for name in sim sim_features sim_kernel; do
    soak_run "$name" env RINGPLANE_SIM_SEEDS="$sim_seeds" \
      "$(test_program asan "$name")" --gtest_brief=1
  done
}

soak_races() {
  local backend
  step "$races races of each kind"
  build_preset asan ioloop_race_test
  for backend in auto epoll; do
    soak_run "races_$backend" env RINGPLANE_IO_BACKEND="$backend" \
      RINGPLANE_RACES="$races" "$(test_program asan race)" --gtest_brief=1
  done
}

soak_faults() {
  local name
  step "$fault_seeds bad kernels for each test"
  local targets=("${hardened[@]/#/ioloop_}")
  build_preset asan "${targets[@]/%/_test}"
  for name in "${hardened[@]}"; do
    soak_run "faults_$name" env RINGPLANE_RACES=2000 \
      "$root/tests/ioloop/run_seeds.sh" "$fault_seeds" \
      "$(test_program asan "$name")"
  done
}

# Without sanitizers: memory must stay flat.
soak_churn() {
  local backend
  step "churn of $churn_sockets sockets for $churn_seconds s"
  build_preset dev ioloop_churn_test
  for backend in auto epoll; do
    soak_run "churn_$backend" env RINGPLANE_IO_BACKEND="$backend" \
      RINGPLANE_CHURN_SECONDS="$churn_seconds" \
      RINGPLANE_CHURN_SOCKETS="$churn_sockets" \
      "$(test_program dev churn)" --gtest_brief=1
  done
}

soak_fuzz() {
  step "fuzz for ${RINGPLANE_FUZZ_SECONDS:-600} s each"
  build_preset fuzz fuzz_targets
  fuzz_all "${RINGPLANE_FUZZ_SECONDS:-600}"
}
