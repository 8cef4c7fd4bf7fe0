#include "service/app/remote_sink.h"

#include <string>
#include <utility>

#include "proto/admin.pb.h"
#include "service/ingest/jetstream.h"
#include "service/ingest/text.h"

namespace app {

ioloop::Task<absl::StatusOr<std::vector<ingest::EventSink::Rejection>>>
RemoteSink::Apply(const std::vector<ingest::Event>& events) {
  ringplane::admin::v1::IngestEventsRequest request;
  for (const ingest::Event& event : events) {
    ingest::AppendEventLine(event, request.add_lines());
  }
  ringplane::admin::v1::IngestEventsResponse response;
  absl::Status status = co_await client_.Call(
      "/ringplane.admin.v1.Admin/IngestEvents", request, &response);
  if (!status.ok()) co_return status;
  std::vector<Rejection> rejections;
  for (const ringplane::admin::v1::ItemError& error : response.errors()) {
    if (error.index() < 0 ||
        static_cast<size_t>(error.index()) >= events.size()) {
      co_return absl::InternalError(ingest::Cat("the service speaks of event ",
                                                error.index(), " of ",
                                                events.size()));
    }
    rejections.push_back({static_cast<size_t>(error.index()), error.message()});
  }
  if (response.applied() + response.skipped() +
          static_cast<int>(rejections.size()) !=
      static_cast<int>(events.size())) {
    co_return absl::InternalError(
        ingest::Cat("the service speaks of ", response.applied(),
                    " events applied of ", events.size()));
  }
  co_return rejections;
}

}  // namespace app
