// The file that keeps over a restart where ScyllaDB's tablets are.
#ifndef RINGPLANE_SERVICE_APP_TABLET_CACHE_H_
#define RINGPLANE_SERVICE_APP_TABLET_CACHE_H_

#include <string>

#include "ioloop/loop.h"
#include "ioloop/task.h"

namespace app {

// What it holds; empty, with a warning unless it is just not there, when it
// cannot be read: the process then learns anew. Blocks.
std::string ReadTabletCache(const std::string& path);
// A failure is logged and does no harm.
ioloop::Task<void> WriteTabletCache(ioloop::Loop* loop, std::string path,
                                    std::string bytes);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_TABLET_CACHE_H_
