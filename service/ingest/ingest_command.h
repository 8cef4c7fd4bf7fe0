// What `ringplane ingest` does: lines of a file or a pipe, parsed on a thread
// of their own, into a sink, with a cursor to resume from.
#ifndef RINGPLANE_SERVICE_INGEST_INGEST_COMMAND_H_
#define RINGPLANE_SERVICE_INGEST_INGEST_COMMAND_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ioloop/loop.h"
#include "ioloop/task.h"
#include "service/ingest/cursor.h"
#include "service/ingest/jetstream.h"

namespace ingest {

// Where events go.
class EventSink {
 public:
  // An event that never can be applied.
  struct Rejection {
    size_t index = 0;  // of the event in its batch
    std::string reason;
  };

  virtual ~EventSink() = default;

  // Applies `events`, which live until the task is done, so that they have
  // their effect in the order of all calls. Events may be applied again, also
  // after they succeeded: that must change nothing. An error means that any
  // part of them may be missing; those of Retriable() are tried again.
  virtual ioloop::Task<absl::StatusOr<std::vector<Rejection>>> Apply(
      const std::vector<Event>& events) = 0;

  // How many calls of Apply() may be in progress.
  virtual size_t calls_max() const = 0;

  virtual bool Retriable(const absl::Status& status) const {
    return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
           absl::IsResourceExhausted(status) || absl::IsAborted(status);
  }
};

struct IngestOptions {
  JetstreamParser::Options parser;
  // Most events, and about most bytes of lines, in one call of the sink.
  size_t batch_events_max = 256;
  size_t batch_bytes_max = 1 << 20;
  // Batches that are parsed ahead of the sink.
  size_t batches_ahead_max = 8;
  // Stop at the first line that is malformed or that the sink rejects.
  bool strict = false;
  // Where the cursor is kept; empty: nowhere.
  std::string cursor_file;
  absl::Duration cursor_interval = absl::Seconds(1);
  // How long a batch is tried again while the sink cannot take it.
  absl::Duration retry_timeout = absl::Seconds(60);
  // How often Reporter::progress is called; zero: never.
  absl::Duration progress_interval = absl::Seconds(5);
};

struct IngestProgress {
  uint64_t lines = 0;    // read and dealt with
  uint64_t applied = 0;  // events
  // Well formed, but not of a kind or collection that is served.
  uint64_t skipped = 0;
  uint64_t malformed = 0;
  uint64_t rejected = 0;
  uint64_t bytes = 0;        // of input, dealt with
  uint64_t input_bytes = 0;  // 0: not known
  absl::Duration elapsed;
};

struct IngestSummary {
  IngestProgress progress;
  // OK: the input was read to its end.
  absl::Status status;
  Cursor cursor;

  // Whether every event of the input is in the store.
  bool complete() const {
    return status.ok() && progress.malformed == 0 && progress.rejected == 0;
  }
};

// Called on the loop's thread.
struct IngestReporter {
  // "line 17: commit.rkey: missing", and what else a user should know.
  std::function<void(std::string_view)> message;
  std::function<void(const IngestProgress&)> progress;
};

class IngestRun {
 public:
  // All outlive the run.
  IngestRun(ioloop::Loop* loop, EventSink* sink, const IngestOptions& options,
            const IngestReporter& reporter);
  ~IngestRun();
  IngestRun(const IngestRun&) = delete;
  IngestRun& operator=(const IngestRun&) = delete;

  // Reads `fd` to its end. Once.
  ioloop::Task<IngestSummary> Run(int fd);

  // Ends the run early, after the batches that the sink has. The summary's
  // status is then kCancelled. On the loop's thread.
  void Stop();

 private:
  struct Batch;
  class Reader;

  ioloop::Task<void> Consume();
  void Send(Batch* batch);
  ioloop::Task<void> SendAgain();
  ioloop::Task<void> Apply(Batch* batch);
  void OnApplied(Batch* batch,
                 const std::vector<EventSink::Rejection>& rejections);
  ioloop::Task<void> ReportProgress();
  void TakeReport(Batch* batch);
  void SaveCursor(bool now);
  void Fail(const absl::Status& status);
  IngestProgress Progress() const;

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_INGEST_COMMAND_H_
