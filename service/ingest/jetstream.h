// One line of Jetstream, Bluesky's JSON event stream, as a checked value.
#ifndef RINGPLANE_SERVICE_INGEST_JETSTREAM_H_
#define RINGPLANE_SERVICE_INGEST_JETSTREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace ingest {

enum class EventKind : uint8_t { kCommit, kIdentity, kAccount };
enum class CommitOperation : uint8_t { kCreate, kUpdate, kDelete };

// A checked event. Strings own their bytes and keep their capacity from one
// Parse() to the next, so a reused Event settles at no allocation.
struct Event {
  EventKind kind = EventKind::kCommit;
  std::string did;
  // Microseconds since 1970; what the service calls indexedAt.
  int64_t time_us = 0;

  // kCommit.
  CommitOperation operation = CommitOperation::kCreate;
  std::string rev;
  std::string collection;
  std::string rkey;
  // Empty for a delete, as is `record`.
  std::string cid;
  // The record's JSON, byte for byte as it stood in the line: an object.
  std::string record;

  // kIdentity. Lower case; empty if the event does not say it.
  std::string handle;

  // kAccount. `status` is empty if the event does not say it ("takendown",
  // "suspended", "deleted", "deactivated", ...).
  bool active = true;
  std::string status;
};

// Parses lines, one after the other. Not for use by two threads at once.
class JetstreamParser {
 public:
  struct Options {
    // Longer lines are malformed. A record is at most 1 MiB on the network.
    size_t line_bytes_max = 2 << 20;
    // Objects and arrays within each other, the line's own object included.
    uint32_t depth_max = 64;
  };

  enum class Outcome {
    kEvent,
    // Well formed, but of a kind or of a collection that is not served.
    kSkipped,
  };

  explicit JetstreamParser(const Options& options);
  ~JetstreamParser();
  JetstreamParser(const JetstreamParser&) = delete;
  JetstreamParser& operator=(const JetstreamParser&) = delete;

  // Fills `event` from `line` (without its line feed). kInvalidArgument says
  // what is wrong with the line and where ("commit.rkey: ..."); `event` is then
  // unspecified.
  absl::StatusOr<Outcome> Parse(std::string_view line, Event* event);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// "create", "update", "delete".
std::string_view CommitOperationName(CommitOperation operation);

// Appends `event` as a line that Parse() reads as the same event, without a
// line feed. REQUIRES: `event` is as Parse() gave it.
void AppendEventLine(const Event& event, std::string* out);

// "at://<did>/<collection>/<rkey>" of a commit.
std::string EventUri(const Event& event);

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_JETSTREAM_H_
