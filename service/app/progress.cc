#include "service/app/progress.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "service/ingest/text.h"

namespace app {
namespace {

using ingest::Append;
using ingest::Cat;

constexpr size_t kBarCells = 30;

uint64_t PerSecond(uint64_t events, absl::Duration time) {
  double seconds = absl::ToDoubleSeconds(time);
  return seconds > 0 ? static_cast<uint64_t>(events / seconds) : 0;
}

// 0 to 100; of an input whose size is not known, -1.
int Percent(const ingest::IngestProgress& progress) {
  if (progress.input_bytes == 0) return -1;
  uint64_t bytes = std::min(progress.bytes, progress.input_bytes);
  return static_cast<int>(static_cast<double>(bytes) * 100 /
                          static_cast<double>(progress.input_bytes));
}

uint64_t Bad(const ingest::IngestProgress& progress) {
  return progress.malformed + progress.rejected;
}

}  // namespace

std::string FormatBar(const ingest::IngestProgress& progress, double rate) {
  std::string out;
  int percent = Percent(progress);
  if (percent >= 0) {
    size_t done = static_cast<size_t>(percent) * kBarCells / 100;
    Append(&out, "[", std::string(done, '#'),
           std::string(kBarCells - done, '.'), "] ",
           std::string(percent < 10    ? 2
                       : percent < 100 ? 1
                                       : 0,
                       ' '),
           percent, "%  ");
  }
  Append(&out, progress.applied, " events  ", static_cast<uint64_t>(rate),
         "/s");
  if (Bad(progress) > 0) Append(&out, "  bad ", Bad(progress));
  return out;
}

std::string FormatProgressLine(const ingest::IngestProgress& progress,
                               double rate) {
  std::string out =
      Cat(progress.applied, " events, ", static_cast<uint64_t>(rate), "/s");
  int percent = Percent(progress);
  if (percent >= 0) Append(&out, ", ", percent, "%");
  if (Bad(progress) > 0) Append(&out, ", bad ", Bad(progress));
  return out;
}

std::string FormatSummary(const ingest::IngestProgress& progress) {
  return Cat(progress.lines, " lines: ", progress.applied, " applied, ",
             progress.skipped, " skipped (not served), ", progress.malformed,
             " malformed, ", progress.rejected, " rejected, in ",
             ingest::View(absl::FormatDuration(
                 absl::Trunc(progress.elapsed, absl::Milliseconds(1)))),
             " (", PerSecond(progress.applied, progress.elapsed), "/s)");
}

void ProgressPrinter::Message(std::string_view text) {
  End();
  Write(Cat(text, "\n"));
}

void ProgressPrinter::Progress(const ingest::IngestProgress& progress) {
  double rate = static_cast<double>(PerSecond(
      progress.applied - last_applied_, progress.elapsed - last_elapsed_));
  last_applied_ = progress.applied;
  last_elapsed_ = progress.elapsed;
  if (style_ == ProgressStyle::kBar) {
    // Back to the line's start, and clear what is longer than the new text.
    Write(Cat("\r", FormatBar(progress, rate), "\x1b[K"));
    bar_shown_ = true;
  } else if (style_ == ProgressStyle::kLines) {
    Write(Cat(FormatProgressLine(progress, rate), "\n"));
  }
}

void ProgressPrinter::End() {
  if (!bar_shown_) return;
  Write("\r\x1b[K");
  bar_shown_ = false;
}

void ProgressPrinter::Write(std::string_view text) {
  fwrite(text.data(), 1, text.size(), stderr);
  fflush(stderr);
}

}  // namespace app
