// What the kernel allows loops, said to whoever runs the program.
#ifndef RINGPLANE_SERVICE_APP_KERNEL_REPORT_H_
#define RINGPLANE_SERVICE_APP_KERNEL_REPORT_H_

#include <cstddef>
#include <string_view>

#include "ioloop/kernel.h"
#include "ioloop/loop.h"
#include "service/server/metrics.h"

namespace app {

// 0 if the backend that flags and environment ask for can be had. Else one line
// on standard error and the exit status: kExitUsage for a word that is none,
// kExitSystem where io_uring is asked for and refused.
int CheckBackend(std::string_view command);

// Logs which features of io_uring this kernel has, and what is lost for each
// that it has not; nothing where io_uring is refused, which loops log.
ioloop::KernelFeatures ReportKernel();

void CollectKernel(const ioloop::KernelFeatures& features,
                   server::MetricsWriter& writer);
// What carries a loop's operations, and why. Any thread.
void CollectBackend(size_t index, const ioloop::Loop& loop,
                    server::MetricsWriter& writer);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_KERNEL_REPORT_H_
