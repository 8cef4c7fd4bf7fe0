#include "service/ingest/line_reader.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace ingest {
namespace {

// A file with `text`, already unlinked, at its start.
int FileWith(std::string_view text) {
  char path[] = "/tmp/line_reader_test.XXXXXX";
  int fd = mkstemp(path);
  EXPECT_GE(fd, 0);
  unlink(path);
  EXPECT_EQ(write(fd, text.data(), text.size()),
            static_cast<ssize_t>(text.size()));
  lseek(fd, 0, SEEK_SET);
  return fd;
}

struct Pipe {
  Pipe() { EXPECT_EQ(pipe(fds), 0); }
  ~Pipe() {
    close(fds[0]);
    CloseWrite();
  }
  void Write(std::string_view text) {
    EXPECT_EQ(write(fds[1], text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  void CloseWrite() {
    if (fds[1] >= 0) close(fds[1]);
    fds[1] = -1;
  }
  int fds[2];
};

std::vector<std::string> ReadAll(LineReader* reader) {
  std::vector<std::string> lines;
  for (;;) {
    absl::StatusOr<LineReader::Line> line = reader->Next();
    if (!line.ok()) {
      EXPECT_TRUE(absl::IsOutOfRange(line.status())) << line.status();
      return lines;
    }
    EXPECT_EQ(line->number, lines.size() + 1);
    lines.push_back(std::string(line->text) + (line->too_long ? "..." : ""));
  }
}

TEST(LineReaderTest, SplitsLines) {
  using Lines = std::vector<std::string>;
  struct Case {
    std::string_view text;
    Lines lines;
  };
  const Case cases[] = {
      {"", {}},           {"a", {"a"}},
      {"a\n", {"a"}},     {"a\nb", {"a", "b"}},
      {"\n\n", {"", ""}}, {"a\r\n\rb\n", {"a", "\rb"}},
  };
  for (const Case& c : cases) {
    int fd = FileWith(c.text);
    LineReader reader(fd, 100);
    EXPECT_EQ(ReadAll(&reader), c.lines) << c.text;
    EXPECT_EQ(reader.input_bytes(), c.text.size());
    close(fd);
  }
}

TEST(LineReaderTest, CutsLongLinesAndGoesOn) {
  std::string long_line(3 << 20, 'x');
  int fd = FileWith("ok\n" + long_line + "\n12345\n123456\nlast");
  LineReader reader(fd, 5);
  EXPECT_EQ(ReadAll(&reader),
            (std::vector<std::string>{"ok", "xxxxx...", "12345", "12345...",
                                      "last"}));
  close(fd);
}

TEST(LineReaderTest, CountsOffsetsOverLongLines) {
  std::string text = "ok\n" + std::string(1 << 20, 'x') + "\nend\n";
  int fd = FileWith(text);
  LineReader reader(fd, 10);
  ASSERT_TRUE(reader.Next().ok());
  EXPECT_EQ(reader.Next()->end_offset, text.size() - 4);
  EXPECT_EQ(reader.Next()->end_offset, text.size());
  close(fd);
}

TEST(LineReaderTest, SkipsToWhereItWas) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "line " + std::to_string(i) + "\n";
  for (bool piped : {false, true}) {
    int fd = FileWith(text);
    LineReader first(fd, 100);
    LineReader::Line line;
    for (int i = 0; i < 1000; ++i) line = *first.Next();
    const uint64_t offset = line.end_offset;
    const std::string fingerprint = first.FingerprintAt(offset);
    close(fd);

    Pipe pipe;
    std::thread writer;
    fd = FileWith(text);
    if (piped) {
      writer = std::thread([&] {
        pipe.Write(text);
        pipe.CloseWrite();
      });
    }
    LineReader second(piped ? pipe.fds[0] : fd, 100);
    absl::StatusOr<bool> skipped = second.SkipTo(offset, 1000, fingerprint);
    ASSERT_TRUE(skipped.ok()) << skipped.status();
    EXPECT_TRUE(*skipped);
    absl::StatusOr<LineReader::Line> next = second.Next();
    ASSERT_TRUE(next.ok());
    EXPECT_EQ(next->text, "line 1000");
    EXPECT_EQ(next->number, 1001u);
    EXPECT_EQ(second.FingerprintAt(next->end_offset), fingerprint);
    if (writer.joinable()) {
      while (second.Next().ok()) {
      }
      writer.join();
    }
    close(fd);
  }
}

// Another input, or one that was cut: nothing may be skipped.
TEST(LineReaderTest, DoesNotSkipInAnotherInput) {
  int fd = FileWith("aaaa\nbbbb\ncccc\n");
  LineReader first(fd, 100);
  ASSERT_TRUE(first.Next().ok());
  uint64_t offset = first.Next()->end_offset;
  std::string fingerprint = first.FingerprintAt(offset);
  close(fd);
  for (const char* text :
       {"aaaa\nBbbb\ncccc\n", "aaaa\n", "", "aaaa\nbbbbb\n"}) {
    fd = FileWith(text);
    LineReader other(fd, 100);
    absl::StatusOr<bool> skipped = other.SkipTo(offset, 2, fingerprint);
    ASSERT_TRUE(skipped.ok());
    EXPECT_FALSE(*skipped) << text;
    absl::StatusOr<LineReader::Line> line = other.Next();
    if (line.ok()) {
      EXPECT_EQ(line->text, "aaaa");
      EXPECT_EQ(line->number, 1u);
    }
    close(fd);
  }
}

TEST(LineReaderTest, StopsWaitingWhenTold) {
  Pipe pipe;
  int stop = eventfd(0, 0);
  LineReader reader(pipe.fds[0], 100, stop);
  EXPECT_TRUE(reader.WouldWait());
  pipe.Write("half");
  EXPECT_FALSE(reader.WouldWait());
  std::thread stopper([&] {
    uint64_t one = 1;
    ASSERT_EQ(write(stop, &one, 8), 8);
  });
  absl::StatusOr<LineReader::Line> line = reader.Next();
  EXPECT_TRUE(absl::IsCancelled(line.status())) << line.status();
  stopper.join();
  close(stop);
}

TEST(LineReaderTest, SaysWhyReadingFails) {
  int fd = open("/tmp", O_RDONLY | O_DIRECTORY);
  LineReader reader(fd, 100);
  absl::StatusOr<LineReader::Line> line = reader.Next();
  EXPECT_TRUE(absl::IsUnavailable(line.status()));
  EXPECT_NE(line.status().message().find("directory"), std::string::npos);
  close(fd);
}

}  // namespace
}  // namespace ingest
