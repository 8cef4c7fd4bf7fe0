# shellcheck shell=bash disable=SC2154
# What is too long for `./dev test`: more seeds, more races, longer churn and
# fuzzing. Sourced by ./dev; needs its `say`, `die`, `step`, `build_preset`,
# `job_count` and `fuzz_all`.

# The test programs that have something to say on a bad kernel.
soak_programs=(datagram file host_loop loop operations race signals
  socket_options stop stream threads tls)

# soak_bin PRESET NAME: a test program.
soak_bin() { echo "$root/build/$1/tests/ioloop/ioloop_$2_test"; }

# soak_run WHAT COMMAND...: quietly, unless it fails.
soak_run() {
  local what=$1 began=$SECONDS log=$root/build/soak/$1.log
  shift
  mkdir -p "$root/build/soak"
  if "$@" >"$log" 2>&1; then
    say "$what passed in $((SECONDS - began)) s$(sed -n 's/^\([0-9].*\(conversations\|were broken off\).*\)/: \1/p' "$log")"
  else
    tail -n 40 "$log" >&2
    die "$what failed; its log is $log"
  fi
}

# Simulated kernels: client and server in all kinds of trouble.
soak_sim() {
  local name
  step "simulate ${RINGPLANE_SOAK_SIM_SEEDS:-10000} seeds"
  build_preset asan ioloop_sim_test ioloop_sim_features_test \
    ioloop_sim_kernel_test
  for name in sim sim_features sim_kernel; do
    soak_run "$name" env \
      RINGPLANE_SIM_SEEDS="${RINGPLANE_SOAK_SIM_SEEDS:-10000}" \
      "$(soak_bin asan "$name")" --gtest_brief=1
  done
}

# Cancels and closes against what they end.
soak_races() {
  local backend
  step "race ${RINGPLANE_SOAK_RACES:-1000000} times"
  build_preset asan ioloop_race_test
  for backend in auto epoll; do
    soak_run "races-$backend" env RINGPLANE_IO_BACKEND=$backend \
      RINGPLANE_RACES="${RINGPLANE_SOAK_RACES:-1000000}" \
      "$(soak_bin asan race)" --gtest_brief=1
  done
}

# Every test on bad kernels, as many programs at a time as there are jobs.
soak_faults() {
  local seeds=${RINGPLANE_SOAK_FAULT_SEEDS:-200} name
  step "$seeds bad kernels for each test"
  build_preset asan "${soak_programs[@]/%/_test}" "${soak_programs[@]/#/ioloop_}"
}

# All descriptors in use, for long.
soak_churn() {
  local backend seconds=${RINGPLANE_SOAK_CHURN_SECONDS:-600}
  step "churn for $seconds s on each backend"
  build_preset dev ioloop_churn_test
}
