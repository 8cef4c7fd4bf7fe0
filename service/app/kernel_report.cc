#include "service/app/kernel_report.h"

#include <string>

#include "ioloop/backend_choice.h"
#include "ioloop/log.h"
#include "service/app/command_line.h"
#include "service/app/commands.h"
#include "service/app/options.h"

namespace app {

int CheckBackend(std::string_view command) {
  absl::StatusOr<ioloop::Loop::Options> options = GetBackendOptions();
  if (!options.ok()) return FailCommand(command, options.status());
  absl::StatusOr<ioloop::BackendKind> kind =
      ioloop::ResolveBackendKind(options->backend);
  if (!kind.ok()) return FailCommand(command, kind.status());
  if (*kind != ioloop::BackendKind::kUring) return kExitOk;
  absl::Status kernel = ioloop::ProbeKernel();
  if (kernel.ok()) return kExitOk;
  FailCommand(command, kernel);
  return kExitSystem;
}

ioloop::KernelFeatures ReportKernel() {
  const ioloop::KernelFeatures features = ioloop::ProbeKernelFeatures();
  if (!features.io_uring.present) return features;
  std::string present;
  for (const ioloop::KernelFeature* feature : features.All()) {
    if (!feature->present) continue;
    if (!present.empty()) present += ", ";
    present += feature->name;
  }
  RINGPLANE_LOG(kInfo, "the kernel has", {"features", present});
  for (const ioloop::KernelFeature* feature : features.All()) {
    if (feature->present) continue;
    RINGPLANE_LOG(kInfo, "the kernel lacks", {"feature", feature->name},
                  {"since", feature->since}, {"without", feature->without});
  }
  return features;
}

void CollectKernel(const ioloop::KernelFeatures& features,
                   server::MetricsWriter& writer) {
  for (const ioloop::KernelFeature* feature : features.All()) {
    writer.Gauge("ringplane_kernel_feature",
                 "1 for each feature of io_uring that the kernel has.",
                 {{"feature", feature->name}}, feature->present ? 1 : 0);
  }
}

void CollectBackend(size_t index, const ioloop::Loop& loop,
                    server::MetricsWriter& writer) {
  const std::string number = std::to_string(index);
  writer.Gauge("ringplane_loop_backend_info",
               "What carries the loop's operations, and why that.",
               {{"loop", number},
                {"backend", loop.backend_name()},
                {"reason", loop.backend_reason()}},
               1);
}

}  // namespace app
