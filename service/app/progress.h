// How an ingest shows on standard error: messages, and either a bar that is
// drawn over itself or a line now and then.
#ifndef RINGPLANE_SERVICE_APP_PROGRESS_H_
#define RINGPLANE_SERVICE_APP_PROGRESS_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "service/app/options.h"
#include "service/ingest/ingest_command.h"

namespace app {

// "[#####.....]  52%  12345 events  2345/s  bad 2", of at most 79 columns.
std::string FormatBar(const ingest::IngestProgress& progress, double rate);
// "12345 events, 2345/s, 52%"
std::string FormatProgressLine(const ingest::IngestProgress& progress,
                               double rate);
// "327 lines: 320 applied, 5 skipped (not served), 1 malformed, 1 rejected in
// 2s (163/s)"
std::string FormatSummary(const ingest::IngestProgress& progress);

class ProgressPrinter {
 public:
  explicit ProgressPrinter(ProgressStyle style) : style_(style) {}

  void Message(std::string_view text);
  void Progress(const ingest::IngestProgress& progress);
  // Takes the bar away.
  void End();

 private:
  void Write(std::string_view text);

  const ProgressStyle style_;
  bool bar_shown_ = false;
  absl::Duration last_elapsed_;
  uint64_t last_applied_ = 0;
};

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_PROGRESS_H_
