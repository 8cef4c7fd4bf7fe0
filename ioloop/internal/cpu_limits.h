// How many CPUs a process may really use.
#ifndef RINGPLANE_IOLOOP_INTERNAL_CPU_LIMITS_H_
#define RINGPLANE_IOLOOP_INTERNAL_CPU_LIMITS_H_

#include <optional>
#include <string>
#include <vector>

namespace ioloop::internal {

// CPUs whose time the process's cgroup (v2, or v1 with the cpu controller) and
// the groups above it may use: quota / period of the tightest. Nothing if
// there is no quota. Files are read below `root` ("" for the machine's).
std::optional<double> CgroupCpus(const std::string& root);

// The CPUs of the calling thread's affinity mask, ascending.
std::vector<int> AffinityCpus();

}  // namespace ioloop::internal

#endif  // RINGPLANE_IOLOOP_INTERNAL_CPU_LIMITS_H_
