#include "ioloop/internal/cpu_limits.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <string_view>

namespace ioloop::internal {
namespace {

// Where the cgroup hierarchies are mounted; the mount's root in the hierarchy
// is what a path of /proc/self/cgroup begins with inside a container.
struct Mount {
  std::string point;
  std::string root;
};

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    parts.push_back(part);
  }
  return parts;
}

bool Contains(const std::vector<std::string>& parts, std::string_view part) {
  return std::find(parts.begin(), parts.end(), part) != parts.end();
}

// /proc/self/mountinfo: "id parent major:minor root point options [tags] -
// type source super-options".
void FindMounts(const std::string& root, std::optional<Mount>* v2,
                std::optional<Mount>* v1) {
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> before = Split(line.substr(0, dash), ' ');
    const std::vector<std::string> after = Split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const Mount mount = {before[4], before[3]};
    if (after[0] == "cgroup2" && !v2->has_value()) *v2 = mount;
    if (after[0] == "cgroup" && Contains(Split(after[2], ','), "cpu") &&
        !v1->has_value()) {
      *v1 = mount;
    }
  }
}

std::optional<double> QuotaV2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return {};
  std::istringstream number(quota);
  double value = 0;
  if (!(number >> value) || value <= 0) return {};
  return value / period;
}

std::optional<double> QuotaV1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
  std::ifstream period_file(folder + "/cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (!(quota_file >> quota) || !(period_file >> period)) return {};
  if (quota <= 0 || period <= 0) return {};
  return quota / period;
}

// The tightest quota of the group at `path` and of those above it.
template <typename Read>
void Tighten(const std::string& root, const Mount& mount, std::string path,
             Read read, std::optional<double>* cpus) {
  if (mount.root != "/" && path.rfind(mount.root, 0) == 0) {
    path = path.substr(mount.root.size());
  }
  while (!path.empty() && path.back() == '/') path.pop_back();
  for (;;) {
    const std::optional<double> quota = read(root + mount.point + path);
    if (quota && (!*cpus || *quota < **cpus)) *cpus = quota;
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) break;
    path.resize(slash);
  }
}

}  // namespace

std::optional<double> CgroupCpus(const std::string& root) {
  std::optional<Mount> v2;
  std::optional<Mount> v1;
  FindMounts(root, &v2, &v1);
  std::optional<double> cpus;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    // "0::/path" for v2, "4:cpu,cpuacct:/path" for v1.
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      if (v2) Tighten(root, *v2, path, QuotaV2, &cpus);
    } else if (v1 && Contains(Split(controllers, ','), "cpu")) {
      Tighten(root, *v1, path, QuotaV1, &cpus);
    }
  }
  return cpus;
}

std::vector<int> AffinityCpus() {
  std::vector<int> cpus;
  // Machines may have more CPUs than a cpu_set_t: grow until it fits.
  for (int count = 1024; count <= (1 << 20); count *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(count));
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(count));
    CPU_ZERO_S(bytes, set);
    if (sched_getaffinity(0, bytes, set) == 0) {
      for (int cpu = 0; cpu < count; ++cpu) {
        if (CPU_ISSET_S(static_cast<size_t>(cpu), bytes, set)) {
          cpus.push_back(cpu);
        }
      }
      CPU_FREE(set);
      break;
    }
    CPU_FREE(set);
    if (errno != EINVAL) break;
  }
  return cpus;
}

}  // namespace ioloop::internal
