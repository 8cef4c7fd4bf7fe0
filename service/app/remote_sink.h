// Events to the admin RPCs of a running service.
#ifndef RINGPLANE_SERVICE_APP_REMOTE_SINK_H_
#define RINGPLANE_SERVICE_APP_REMOTE_SINK_H_

#include <cstddef>
#include <vector>

#include "ioloop/loop.h"
#include "ioloop/task.h"
#include "service/app/connect_client.h"
#include "service/ingest/ingest_command.h"

namespace app {

class RemoteSink : public ingest::EventSink {
 public:
  RemoteSink(ioloop::Loop* loop, const ConnectClient::Options& options)
      : client_(loop, options) {}

  ioloop::Task<absl::StatusOr<std::vector<Rejection>>> Apply(
      const std::vector<ingest::Event>& events) override;
  // Calls of several connections would overtake each other. One call keeps the
  // service busy: it applies its events side by side.
  size_t calls_max() const override { return 1; }

  ioloop::Task<void> Close() { return client_.Close(); }

 private:
  ConnectClient client_;
};

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_REMOTE_SINK_H_
