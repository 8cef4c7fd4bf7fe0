#include "service/ingest/ingest_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ioloop/event.h"
#include "ioloop/timer.h"
#include "service/ingest/generate.h"
#include "service/ingest/text.h"

namespace ingest {
namespace {

// Keeps what it was given; fails and delays as told.
class TestSink : public EventSink {
 public:
  explicit TestSink(ioloop::Loop* loop) : loop_(loop) {}

  ioloop::Task<absl::StatusOr<std::vector<Rejection>>> Apply(
      const std::vector<Event>& events) override {
    const int call = ++calls;
    sent.push_back(events[0].time_us);
    if (calls_before_failure == 0) co_return failure;
    if (calls_before_failure > 0) --calls_before_failure;
    if (unavailable > 0) {
      --unavailable;
      co_return absl::UnavailableError("not now");
    }
    ++running;
    most_running = std::max(most_running, running);
    // Later calls end sooner.
    co_await ioloop::SleepFor(loop_, absl::Milliseconds(3 - calls % 3));
    --running;
    if (call == refused_call) {
      sent_at_refusal = sent.size();
      co_return absl::UnavailableError("not now");
    }
    std::vector<Rejection> rejections;
    for (size_t i = 0; i < events.size(); ++i) {
      if (events[i].rkey == reject) {
        rejections.push_back({i, "reply.root: missing"});
      } else {
        applied.push_back(events[i].time_us);
      }
    }
    co_return rejections;
  }
  size_t calls_max() const override { return 3; }

  int calls = 0;
  int calls_before_failure = -1;  // -1: never
  absl::Status failure = absl::InternalError("broken");
  int unavailable = 0;
  int refused_call = 0;       // After its time; the first is 1.
  std::vector<int64_t> sent;  // The first event of each call.
  size_t sent_at_refusal = 0;
  int running = 0;
  int most_running = 0;
  std::string reject = "none";
  std::vector<int64_t> applied;

 private:
  ioloop::Loop* loop_;
};

class IngestCommandTest : public testing::Test {
 protected:
  IngestCommandTest() {
    char path[] = "/tmp/ingest_test.XXXXXX";
    folder_ = mkdtemp(path);
    options_.batch_events_max = 10;
    options_.cursor_interval = absl::ZeroDuration();
    options_.progress_interval = absl::ZeroDuration();
    loop_ = *ioloop::Loop::Create({.sq_entries = 64,
                                   .cq_entries = 256,
                                   .buffer_count = 16,
                                   .buffer_bytes = 4096});
  }
  ~IngestCommandTest() override { std::filesystem::remove_all(folder_); }

  // Lines of `count` events whose times are 1 to `count`.
  static std::string Lines(int count) {
    std::string text;
    for (int i = 1; i <= count; ++i) {
      Append(&text, R"({"did":"did:plc:a","time_us":)", i,
             R"(,"kind":"commit","commit":{"rev":"r","operation":"delete",)",
             R"("collection":"app.bsky.feed.post","rkey":"k)", i, "\"}}\n");
    }
    return text;
  }
  std::string Put(std::string_view text) {
    std::string path = folder_ + "/input";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  IngestSummary Ingest(TestSink* sink, const std::string& path) {
    int fd = open(path.c_str(), O_RDONLY);
    IngestReporter reporter;
    reporter.message = [this](std::string_view text) {
      messages_.emplace_back(text);
    };
    reporter.progress = [this](const IngestProgress&) { ++progress_; };
    IngestRun run(loop_.get(), sink, options_, reporter);
    IngestSummary summary = loop_->RunUntilDone(run.Run(fd));
    close(fd);
    return summary;
  }
  static std::vector<int64_t> OneTo(int count) {
    std::vector<int64_t> numbers;
    for (int i = 1; i <= count; ++i) numbers.push_back(i);
    return numbers;
  }
  static std::vector<int64_t> Sorted(std::vector<int64_t> numbers) {
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }

  std::string folder_;
  std::unique_ptr<ioloop::Loop> loop_;
  IngestOptions options_;
  std::vector<std::string> messages_;
  int progress_ = 0;
};

TEST_F(IngestCommandTest, AppliesEveryLineOnce) {
  TestSink sink(loop_.get());
  IngestSummary summary = Ingest(&sink, Put(Lines(1234)));
  EXPECT_TRUE(summary.complete()) << summary.status;
  EXPECT_EQ(Sorted(sink.applied), OneTo(1234));
  EXPECT_EQ(summary.progress.applied, 1234u);
  EXPECT_EQ(summary.progress.lines, 1234u);
  EXPECT_EQ(summary.progress.bytes, summary.progress.input_bytes);
  EXPECT_EQ(sink.most_running, 3);
  EXPECT_TRUE(messages_.empty());
}

TEST_F(IngestCommandTest, AnEmptyInputIsComplete) {
  TestSink sink(loop_.get());
  EXPECT_TRUE(Ingest(&sink, Put("")).complete());
  EXPECT_EQ(sink.calls, 0);
}

TEST_F(IngestCommandTest, ReportsBadLinesByNumberAndGoesOn) {
  TestSink sink(loop_.get());
  std::string text = Lines(2) + "{\"did\":\n\n  \nnonsense\n" +
                     R"({"did":"did:plc:a","time_us":1,"kind":"new"})"
                     "\n" +
                     Lines(1);
  IngestSummary summary = Ingest(&sink, Put(text));
  EXPECT_TRUE(summary.status.ok());
  EXPECT_FALSE(summary.complete());
  EXPECT_EQ(summary.progress.applied, 3u);
  EXPECT_EQ(summary.progress.malformed, 2u);
  EXPECT_EQ(summary.progress.skipped, 1u);
  EXPECT_EQ(summary.progress.lines, 8u);
  EXPECT_EQ(messages_, (std::vector<std::string>{"line 3: line: not JSON",
                                                 "line 6: line: not JSON"}));
}

TEST_F(IngestCommandTest, ReportsWhatTheSinkRejects) {
  TestSink sink(loop_.get());
  sink.reject = "k25";
  IngestSummary summary = Ingest(&sink, Put(Lines(40)));
  EXPECT_TRUE(summary.status.ok());
  EXPECT_FALSE(summary.complete());
  EXPECT_EQ(summary.progress.applied, 39u);
  EXPECT_EQ(summary.progress.rejected, 1u);
  EXPECT_EQ(messages_,
            (std::vector<std::string>{"line 25: reply.root: missing"}));
}

TEST_F(IngestCommandTest, StrictStopsAtTheBadLine) {
  options_.strict = true;
  options_.cursor_file = folder_ + "/cursor";
  std::string text = Lines(25) + "bad\n" + Lines(30);
  TestSink sink(loop_.get());
  IngestSummary summary = Ingest(&sink, Put(text));
  EXPECT_EQ(summary.status.message(), "stopped at line 26, which is malformed");
  EXPECT_EQ(Sorted(sink.applied), OneTo(25));
  EXPECT_EQ(summary.cursor.lines, 25u);

  // What was mended goes on from there.
  text.replace(Lines(25).size(), 3, "   ");
  TestSink again(loop_.get());
  EXPECT_TRUE(Ingest(&again, Put(text)).complete());
  EXPECT_EQ(again.applied.size(), 30u);
}

TEST_F(IngestCommandTest, StrictStopsAtTheRejectedLine) {
  options_.strict = true;
  TestSink sink(loop_.get());
  sink.reject = "k25";
  IngestSummary summary = Ingest(&sink, Put(Lines(400)));
  EXPECT_EQ(summary.status.message(), "stopped at line 25, which was rejected");
  EXPECT_LE(summary.cursor.lines, 20u);
  EXPECT_LT(sink.applied.size(), 100u);
}

// Wherever it breaks, a second run ends with every event applied.
TEST_F(IngestCommandTest, ResumesWithNothingLost) {
  options_.cursor_file = folder_ + "/cursor";
  std::string path = Put(Lines(200));
  for (int broken_at = 0; broken_at < 20; ++broken_at) {
    std::filesystem::remove(options_.cursor_file);
    TestSink first(loop_.get());
    first.calls_before_failure = broken_at;
    IngestSummary summary = Ingest(&first, path);
    EXPECT_EQ(summary.status.code(), absl::StatusCode::kInternal);
    EXPECT_NE(summary.status.message().find("broken"), std::string::npos);

    // What lies before the cursor was applied.
    std::vector<int64_t> before = Sorted(first.applied);
    ASSERT_GE(before.size(), summary.cursor.lines);
    before.resize(summary.cursor.lines);
    EXPECT_EQ(before, OneTo(static_cast<int>(summary.cursor.lines)));

    TestSink second(loop_.get());
    EXPECT_TRUE(Ingest(&second, path).complete());
    std::vector<int64_t> all = first.applied;
    all.insert(all.end(), second.applied.begin(), second.applied.end());
    all = Sorted(all);
    all.erase(std::unique(all.begin(), all.end()), all.end());
    EXPECT_EQ(all, OneTo(200));
    EXPECT_LE(second.applied.size(), 200 - summary.cursor.lines);
  }
}

// The newest events of a file that grew.
TEST_F(IngestCommandTest, GoesOnWithWhatWasAppended) {
  options_.cursor_file = folder_ + "/cursor";
  TestSink first(loop_.get());
  EXPECT_TRUE(Ingest(&first, Put(Lines(50))).complete());
  TestSink second(loop_.get());
  EXPECT_TRUE(Ingest(&second, Put(Lines(60))).complete());
  EXPECT_EQ(Sorted(second.applied).front(), 51);
  EXPECT_EQ(second.applied.size(), 10u);
  EXPECT_EQ(messages_.back().substr(0, 22), "resuming after line 50");
}

TEST_F(IngestCommandTest, StartsAnotherInputAtItsStart) {
  options_.cursor_file = folder_ + "/cursor";
  TestSink first(loop_.get());
  EXPECT_TRUE(Ingest(&first, Put(Lines(50))).complete());
  TestSink second(loop_.get());
  EXPECT_TRUE(Ingest(&second, Put(" \n" + Lines(60))).complete());
  EXPECT_EQ(second.applied.size(), 60u);
  EXPECT_EQ(
      messages_.back(),
      "the cursor is of another input: starting at this one's first line");
}

TEST_F(IngestCommandTest, RefusesACursorFileThatIsNone) {
  options_.cursor_file = Put("hello\n");
  TestSink sink(loop_.get());
  IngestSummary summary = Ingest(&sink, options_.cursor_file);
  EXPECT_TRUE(absl::IsInvalidArgument(summary.status));
  EXPECT_EQ(sink.calls, 0);
}

// A deletion must not overtake a creation that was refused for a moment.
TEST_F(IngestCommandTest, SendsWhatWasRefusedBeforeAnythingElse) {
  for (int refused : {1, 2, 3}) {
    TestSink sink(loop_.get());
    sink.refused_call = refused;
    EXPECT_TRUE(Ingest(&sink, Put(Lines(60))).complete());
    // Those on their way may get through; nothing else is sent before it.
    ASSERT_LT(sink.sent_at_refusal, sink.sent.size());
    EXPECT_EQ(sink.sent[sink.sent_at_refusal], 10 * refused - 9);
    EXPECT_TRUE(std::is_sorted(sink.sent.begin() + sink.sent_at_refusal,
                               sink.sent.end()));
    EXPECT_EQ(Sorted(sink.applied), OneTo(60));
  }
}

TEST_F(IngestCommandTest, TriesAgainWhileTheSinkIsUnavailable) {
  TestSink sink(loop_.get());
  sink.unavailable = 2;
  IngestSummary summary = Ingest(&sink, Put(Lines(5)));
  EXPECT_TRUE(summary.complete()) << summary.status;
  EXPECT_EQ(sink.calls, 3);
  EXPECT_EQ(messages_,
            (std::vector<std::string>{"trying again from line 1: not now"}));
}

TEST_F(IngestCommandTest, GivesUpInTheEnd) {
  options_.retry_timeout = absl::Milliseconds(1);
  TestSink sink(loop_.get());
  sink.unavailable = 1000;
  IngestSummary summary = Ingest(&sink, Put(Lines(5)));
  EXPECT_EQ(summary.status.message(), "lines 1 to 5: not now");
}

TEST_F(IngestCommandTest, ReportsProgress) {
  options_.progress_interval = absl::Milliseconds(1);
  TestSink sink(loop_.get());
  EXPECT_TRUE(Ingest(&sink, Put(Lines(200))).complete());
  EXPECT_GT(progress_, 0);
}

// From a pipe that stays open: what has come is applied, and a signal ends the
// wait for more with the cursor saved.
TEST_F(IngestCommandTest, StopsOnDemandWithTheCursorSaved) {
  options_.cursor_file = folder_ + "/cursor";
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  std::string text = Lines(7) + "{\"unfinished";
  ASSERT_EQ(write(fds[1], text.data(), text.size()),
            static_cast<ssize_t>(text.size()));
  TestSink sink(loop_.get());
  IngestReporter reporter;
  reporter.message = [](std::string_view) {};
  IngestRun run(loop_.get(), &sink, options_, reporter);
  ioloop::TaskGroup group;
  auto stop = [](ioloop::Loop* loop, TestSink* watched,
                 IngestRun* stopped) -> ioloop::Task<void> {
    while (watched->applied.size() < 7) {
      co_await ioloop::SleepFor(loop, absl::Milliseconds(1));
    }
    stopped->Stop();
  };
  group.Spawn(stop(loop_.get(), &sink, &run));
  IngestSummary summary = loop_->RunUntilDone(run.Run(fds[0]));
  EXPECT_TRUE(absl::IsCancelled(summary.status));
  EXPECT_EQ(summary.cursor.lines, 7u);
  EXPECT_EQ((*ReadCursor(options_.cursor_file))->time_us, 7);
  EXPECT_EQ(group.running(), 0u);
  close(fds[0]);
  close(fds[1]);
}

TEST_F(IngestCommandTest, TakesAGeneratedNetwork) {
  Generator generator({.users = 30, .events = 3000});
  std::string text;
  while (generator.Next(&text)) {
  }
  TestSink sink(loop_.get());
  IngestSummary summary = Ingest(&sink, Put(text));
  EXPECT_TRUE(summary.complete());
  EXPECT_EQ(summary.progress.applied, 3000u);
}

}  // namespace
}  // namespace ingest
