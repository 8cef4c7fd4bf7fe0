#include "service/ingest/ingest_command.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "ioloop/check.h"
#include "ioloop/event.h"
#include "ioloop/mailbox.h"
#include "service/ingest/line_reader.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

constexpr absl::Duration kBackOffMin = absl::Milliseconds(100);
constexpr absl::Duration kBackOffMax = absl::Seconds(5);

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

}  // namespace

// A piece of the input, parsed.
struct IngestRun::Batch {
  std::vector<Event> events;
  std::vector<uint64_t> lines;  // of each event
  // What happened to the other lines.
  std::vector<std::string> messages;
  uint64_t malformed = 0;
  uint64_t skipped = 0;
  Cursor end;
  // Nothing follows: OK at the end of the input, or why it was left.
  bool last = false;
  absl::Status status;

  // Of the loop, once the sink has it.
  uint64_t ticket = 0;
  absl::Time give_up;
  bool done = false;
};

// Parses on a thread of its own and hands batches to the loop.
class IngestRun::Reader {
 public:
  // `ready` is set, on the loop, when there is something to take.
  Reader(ioloop::Loop* loop, const IngestOptions& options, int fd,
         std::optional<Cursor> resume, std::shared_ptr<ioloop::Event> ready)
      : mailbox_(ioloop::SharedMailbox(loop)),
        options_(options),
        resume_(std::move(resume)),
        ready_(std::move(ready)),
        stop_fd_(eventfd(0, EFD_CLOEXEC)),
        lines_(fd, options.parser.line_bytes_max, stop_fd_),
        parser_(options.parser) {
    RINGPLANE_CHECK(stop_fd_ >= 0, "eventfd");
  }

  ~Reader() {
    Stop();
    close(stop_fd_);
  }

  uint64_t input_bytes() const { return lines_.input_bytes(); }

  void Start() {
    thread_ = std::thread([this] { Read(); });
  }

  // The thread ends soon, whatever it waits for; returns when it has.
  void Stop() {
    if (!thread_.joinable()) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
    }
    room_.notify_all();
    uint64_t one = 1;
    RINGPLANE_CHECK(write(stop_fd_, &one, sizeof(one)) == sizeof(one));
    thread_.join();
  }

  // The next batch, if there is one yet; on the loop.
  std::unique_ptr<Batch> Take() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (batches_.empty()) return nullptr;
    std::unique_ptr<Batch> batch = std::move(batches_.front());
    batches_.pop_front();
    room_.notify_one();
    return batch;
  }

 private:
  void Read() {
    auto batch = std::make_unique<Batch>();
    Resume(batch.get());
    if (batch->last) {
      Hand(std::move(batch));
      return;
    }
    for (;;) {
      bool last = ReadBatch(batch.get());
      if (!Hand(std::move(batch)) || last) return;
      batch = std::make_unique<Batch>();
    }
  }

  void Resume(Batch* batch) {
    if (!resume_.has_value()) return;
    absl::StatusOr<bool> skipped =
        lines_.SkipTo(resume_->bytes, resume_->lines, resume_->fingerprint);
    if (!skipped.ok()) {
      batch->last = true;
      batch->status = skipped.status();
      batch->end = *resume_;
      return;
    }
    if (*skipped) {
      end_ = *resume_;
      batch->messages.push_back(
          Cat("resuming after line ", end_.lines, " (byte ", end_.bytes, ")"));
    } else {
      batch->messages.push_back(
          "the cursor is of another input: starting at this one's first line");
    }
  }

  // Fills `batch`; true if it is the last one.
  bool ReadBatch(Batch* batch) {
    size_t bytes = 0;
    while (batch->events.size() < options_.batch_events_max &&
           bytes < options_.batch_bytes_max &&
           batch->messages.size() < options_.batch_events_max) {
      // What has come so far must not wait for what may never come.
      if (bytes > 0 && lines_.WouldWait()) break;
      absl::StatusOr<LineReader::Line> line = lines_.Next();
      if (!line.ok()) {
        batch->last = true;
        if (!absl::IsOutOfRange(line.status())) batch->status = line.status();
        break;
      }
      bytes += line->text.size() + 1;
      if (!ReadLine(*line, batch)) break;
      end_.bytes = line->end_offset;
      end_.lines = line->number;
    }
    end_.fingerprint = lines_.FingerprintAt(end_.bytes);
    batch->end = end_;
    return batch->last;
  }

  // False if the line is one to stop at.
  bool ReadLine(const LineReader::Line& line, Batch* batch) {
    if (IsBlank(line.text)) return true;
    Event& event = batch->events.emplace_back();
    absl::StatusOr<JetstreamParser::Outcome> outcome =
        absl::InvalidArgumentError("");
    if (line.too_long) {
      outcome = absl::InvalidArgumentError(
          Cat("line: longer than ", options_.parser.line_bytes_max, " bytes"));
    } else {
      outcome = parser_.Parse(line.text, &event);
    }
    if (outcome.ok() && *outcome == JetstreamParser::Outcome::kEvent) {
      batch->lines.push_back(line.number);
      end_.time_us = std::max(end_.time_us, event.time_us);
      return true;
    }
    batch->events.pop_back();
    if (outcome.ok()) {
      ++batch->skipped;
      return true;
    }
    ++batch->malformed;
    batch->messages.push_back(
        Cat("line ", line.number, ": ", outcome.status().message()));
    if (!options_.strict) return true;
    batch->last = true;
    batch->status = absl::InvalidArgumentError(
        Cat("stopped at line ", line.number, ", which is malformed"));
    return false;
  }

  // Waits for room; false if the run is over.
  bool Hand(std::unique_ptr<Batch> batch) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      room_.wait(lock, [this] {
        return stopped_ || batches_.size() < options_.batches_ahead_max;
      });
      if (stopped_) return false;
      batches_.push_back(std::move(batch));
    }
    // May run after this reader is gone: the event is kept by what it posts.
    return mailbox_->Post([ready = ready_] { ready->Set(); });
  }

  const std::shared_ptr<ioloop::Mailbox> mailbox_;
  const IngestOptions& options_;
  const std::optional<Cursor> resume_;
  const std::shared_ptr<ioloop::Event> ready_;
  const int stop_fd_;
  LineReader lines_;
  JetstreamParser parser_;
  Cursor end_;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable room_;
  std::deque<std::unique_ptr<Batch>> batches_;
  bool stopped_ = false;
};

struct IngestRun::State {
  State(ioloop::Loop* the_loop, EventSink* the_sink,
        const IngestOptions& the_options, const IngestReporter& the_reporter)
      : loop(the_loop),
        sink(the_sink),
        options(the_options),
        reporter(the_reporter),
        batch_ready(std::make_shared<ioloop::Event>(the_loop)),
        call_done(the_loop),
        stopping(the_loop),
        over(the_loop) {}

  ioloop::Loop* const loop;
  EventSink* const sink;
  const IngestOptions options;
  const IngestReporter reporter;

  std::unique_ptr<Reader> reader;
  std::optional<CursorTracker> tracker;
  IngestProgress counts;
  absl::Time started;
  absl::Time cursor_saved;
  uint64_t cursor_saved_bytes = 0;
  // Why the run ends before the input does; the first reason counts.
  absl::Status failure;
  // What the sink has, or has refused for now, in order; at most calls_max().
  std::deque<std::unique_ptr<Batch>> unfinished;
  // Calls of the sink in progress.
  size_t calls = 0;
  // Why one of them has to be made again; OK: none has.
  absl::Status refusal;
  absl::Duration back_off = kBackOffMin;
  ioloop::TaskGroup tasks;

  std::shared_ptr<ioloop::Event> batch_ready;
  ioloop::Event call_done;
  ioloop::Event stopping;  // by Stop() or by a failure
  ioloop::Event over;
};

IngestRun::IngestRun(ioloop::Loop* loop, EventSink* sink,
                     const IngestOptions& options,
                     const IngestReporter& reporter)
    : state_(std::make_unique<State>(loop, sink, options, reporter)) {}
IngestRun::~IngestRun() = default;

void IngestRun::Stop() { Fail(absl::CancelledError("stopped by a signal")); }

void IngestRun::Fail(const absl::Status& status) {
  if (state_->failure.ok()) state_->failure = status;
  state_->stopping.Set();
  // Whoever waits for input or for the sink looks up.
  state_->batch_ready->Set();
  state_->call_done.Pulse();
}

IngestProgress IngestRun::Progress() const {
  IngestProgress progress = state_->counts;
  progress.lines = state_->tracker->cursor().lines;
  progress.bytes = state_->tracker->cursor().bytes;
  progress.elapsed = state_->loop->now() - state_->started;
  return progress;
}

ioloop::Task<IngestSummary> IngestRun::Run(int fd) {
  State& state = *state_;
  IngestSummary summary;
  std::optional<Cursor> resume;
  if (!state.options.cursor_file.empty()) {
    absl::StatusOr<std::optional<Cursor>> saved =
        ReadCursor(state.options.cursor_file);
    if (!saved.ok()) {
      summary.status = saved.status();
      co_return summary;
    }
    resume = *std::move(saved);
  }
  state.started = state.cursor_saved = state.loop->now();
  state.tracker.emplace(Cursor());
  state.reader = std::make_unique<Reader>(state.loop, state.options, fd, resume,
                                          state.batch_ready);
  state.counts.input_bytes = state.reader->input_bytes();
  state.reader->Start();

  ioloop::TaskGroup progress;
  progress.Spawn(ReportProgress());
  co_await Consume();
  co_await state.tasks.Join();
  state.over.Set();
  co_await progress.Join();
  state.reader->Stop();

  SaveCursor(true);
  summary.status = state.failure;
  summary.cursor = state.tracker->cursor();
  summary.progress = Progress();
  co_return summary;
}

ioloop::Task<void> IngestRun::Consume() {
  State& state = *state_;
  std::optional<absl::Status> end;  // Why the input ends, once it has.
  while (state.failure.ok()) {
    if (!state.refusal.ok()) {
      co_await SendAgain();
      continue;
    }
    if (end.has_value() && state.unfinished.empty()) {
      // The batches on their way are applied before the run ends.
      if (!end->ok()) Fail(*end);
      co_return;
    }
    if (end.has_value() || state.unfinished.size() >= state.sink->calls_max()) {
      co_await state.call_done.Wait();
      continue;
    }
    state.batch_ready->Reset();
    std::unique_ptr<Batch> batch = state.reader->Take();
    if (batch == nullptr) {
      co_await state.batch_ready->Wait();
      continue;
    }
    TakeReport(batch.get());
    if (batch->last) end = batch->status;
    batch->ticket = state.tracker->Begin(batch->end);
    batch->give_up = state.loop->now() + state.options.retry_timeout;
    state.unfinished.push_back(std::move(batch));
    Send(state.unfinished.back().get());
  }
}

void IngestRun::Send(Batch* batch) {
  ++state_->calls;
  state_->tasks.Spawn(Apply(batch));
}

// Something was refused. Whatever else is on its way ends first, and then all
// that is not done goes again, in its order: what came later must not overtake
// what came before.
ioloop::Task<void> IngestRun::SendAgain() {
  State& state = *state_;
  while (state.calls > 0) co_await state.call_done.Wait();
  if (!state.failure.ok()) co_return;
  const uint64_t line = state.unfinished.front()->lines.front();
  if (state.back_off == kBackOffMin) {
    state.reporter.message(
        Cat("trying again from line ", line, ": ", state.refusal.message()));
  }
  const bool stopped =
      co_await state.stopping.WaitUntil(state.loop->now() + state.back_off);
  if (stopped) co_return;
  state.back_off = std::min(state.back_off * 2, kBackOffMax);
  state.refusal = absl::OkStatus();
  std::vector<Batch*> again;  // One that is done at once is gone at once.
  for (const std::unique_ptr<Batch>& batch : state.unfinished) {
    again.push_back(batch.get());
  }
  for (Batch* batch : again) {
    if (state.refusal.ok()) Send(batch);
  }
}

ioloop::Task<void> IngestRun::Apply(Batch* batch) {
  State& state = *state_;
  absl::StatusOr<std::vector<EventSink::Rejection>> result =
      std::vector<EventSink::Rejection>();
  if (!batch->events.empty()) {
    result = co_await state.sink->Apply(batch->events);
  }
  if (result.ok()) {
    OnApplied(batch, *result);
  } else if (state.sink->Retriable(result.status()) &&
             state.loop->now() < batch->give_up) {
    if (state.refusal.ok()) state.refusal = result.status();
  } else {
    Fail(absl::Status(
        result.status().code(),
        Cat("lines ", batch->lines.front(), " to ", batch->lines.back(), ": ",
            result.status().message())));
  }
  // The last use of `batch`.
  if (batch->done)
    std::erase_if(state.unfinished,
                  [batch](const auto& other) { return other.get() == batch; });
  --state.calls;
  state.call_done.Pulse();
  // Whoever waits for input looks up, too.
  if (!state.refusal.ok()) state.batch_ready->Set();
}

void IngestRun::OnApplied(Batch* batch,
                          const std::vector<EventSink::Rejection>& rejections) {
  State& state = *state_;
  state.counts.applied += batch->events.size() - rejections.size();
  state.counts.rejected += rejections.size();
  for (const EventSink::Rejection& rejection : rejections) {
    RINGPLANE_CHECK(rejection.index < batch->lines.size());
    state.reporter.message(
        Cat("line ", batch->lines[rejection.index], ": ", rejection.reason));
  }
  if (state.options.strict && !rejections.empty()) {
    // The cursor stays before the batch.
    Fail(absl::InvalidArgumentError(Cat("stopped at line ",
                                        batch->lines[rejections[0].index],
                                        ", which was rejected")));
    return;
  }
  batch->done = true;
  if (state.refusal.ok()) state.back_off = kBackOffMin;
  state.tracker->Done(batch->ticket);
  SaveCursor(false);
}

void IngestRun::TakeReport(Batch* batch) {
  state_->counts.malformed += batch->malformed;
  state_->counts.skipped += batch->skipped;
  for (const std::string& message : batch->messages) {
    state_->reporter.message(message);
  }
}

void IngestRun::SaveCursor(bool now) {
  State& state = *state_;
  if (state.options.cursor_file.empty()) return;
  absl::Time time = state.loop->now();
  if (!now && time - state.cursor_saved < state.options.cursor_interval) {
    return;
  }
  const Cursor& cursor = state.tracker->cursor();
  if (cursor.bytes == state.cursor_saved_bytes) return;
  state.cursor_saved = time;
  absl::Status status = WriteCursor(state.options.cursor_file, cursor);
  if (status.ok()) {
    state.cursor_saved_bytes = cursor.bytes;
  } else {
    Fail(status);
  }
}

ioloop::Task<void> IngestRun::ReportProgress() {
  State& state = *state_;
  absl::Duration interval = state.options.progress_interval;
  if (interval <= absl::ZeroDuration()) co_return;
  for (;;) {
    absl::Time next = state.loop->now() + interval;
    bool over = co_await state.over.WaitUntil(next);
    if (over) co_return;
    state.reporter.progress(Progress());
  }
}

}  // namespace ingest
