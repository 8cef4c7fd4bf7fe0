#include "cql/internal/using_timeout.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "cql/internal/status_util.h"
#include "cql/protocol/codec.h"
#include "cql/protocol/request.h"
#include "cql/protocol/types.h"
#include "cql/protocol/value_types.h"
#include "ioloop/check.h"

namespace cql::internal {
namespace {

bool StartsWord(char c) {
  return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_';
}
bool IsWord(char c) {
  return StartsWord(c) || absl::ascii_isdigit(static_cast<unsigned char>(c));
}

// The words and bind markers of a statement outside of strings, quoted names,
// comments and parentheses.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // The next word in capitals; empty at the end.
  std::string NextWord() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (Skip("--", "\n") || Skip("//", "\n") || Skip("/*", "*/") ||
          Skip("$$", "$$") || Skip("'", "'") || Skip("\"", "\"")) {
        end_ = c == '-' || c == '/' ? end_ : at_;
        continue;
      }
      if (StartsWord(c)) {
        begin_ = at_;
        while (at_ < text_.size() && IsWord(text_[at_])) ++at_;
        end_ = at_;
        if (depth_ > 0) continue;
        std::string word(text_.substr(begin_, at_ - begin_));
        std::transform(word.begin(), word.end(), word.begin(), [](char letter) {
          return absl::ascii_toupper(static_cast<unsigned char>(letter));
        });
        return word;
      }
      if (c == '?') ++markers_;
      if (c == '(' || c == '[' || c == '{') ++depth_;
      if (c == ')' || c == ']' || c == '}') --depth_;
      named_ =
          named_ || (c == ':' && at_ + 1 < text_.size() &&
                     (StartsWord(text_[at_ + 1]) || text_[at_ + 1] == '"'));
      ++at_;
      if (!absl::ascii_isspace(static_cast<unsigned char>(c)) && c != ';') {
        end_ = at_;
      }
    }
    return "";
  }

  size_t word_begin() const { return begin_; }
  // Where what was seen of the statement ends, without blanks and semicolons.
  size_t end() const { return end_; }
  uint16_t markers() const { return markers_; }
  bool named_markers() const { return named_; }

 private:
  // Passes over a piece that begins with `open` and ends with `close`.
  bool Skip(std::string_view open, std::string_view close) {
    if (!text_.substr(at_).starts_with(open)) return false;
    const size_t found = text_.find(close, at_ + open.size());
    at_ = found == text_.npos ? text_.size() : found + close.size();
    return true;
  }

  const std::string_view text_;
  size_t at_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  int depth_ = 0;
  uint16_t markers_ = 0;
  bool named_ = false;
};

}  // namespace

std::optional<TimeoutText> WithTimeoutMarker(std::string_view text) {
  Scanner scanner(text);
  const std::string verb = scanner.NextWord();
  // UPDATE and DELETE have it before this word, the others at their end.
  std::string_view before;
  if (verb == "UPDATE") {
    before = "SET";
  } else if (verb == "DELETE") {
    before = "WHERE";
  } else if (verb != "SELECT" && verb != "INSERT") {
    return std::nullopt;
  }
  size_t place = 0;
  uint16_t marker = 0;
  bool found = before.empty();
  bool has_using = false;
  bool has_timeout = false;
  for (std::string word = scanner.NextWord(); !word.empty();
       word = scanner.NextWord()) {
    if (!found && word == before) {
      found = true;
      place = scanner.word_begin();
      marker = scanner.markers();
    }
    has_using = has_using || word == "USING";
    has_timeout = has_timeout || (has_using && word == "TIMEOUT");
  }
  if (!found || has_timeout || scanner.named_markers()) return std::nullopt;
  const std::string_view clause =
      has_using ? "AND TIMEOUT ?" : "USING TIMEOUT ?";
  if (!before.empty()) {
    return TimeoutText{
        Cat(text.substr(0, place), clause, " ", text.substr(place)), marker};
  }
  return TimeoutText{Cat(text.substr(0, scanner.end()), " ", clause,
                         text.substr(scanner.end())),
                     scanner.markers()};
}

void WriteWithTimeout(std::string_view body, uint16_t marker,
                      int64_t timeout_ms, protocol::Writer* writer) {
  protocol::Reader reader(body);
  writer->Short(reader.Short());  // The consistency.
  const uint8_t flags = reader.Byte();
  writer->Byte(flags | protocol::kQueryFlagValues);
  const uint16_t values =
      (flags & protocol::kQueryFlagValues) != 0 ? reader.Short() : 0;
  RINGPLANE_CHECK(marker <= values, "values are missing");
  writer->Short(static_cast<uint16_t>(values + 1));
  const size_t first = reader.position();
  for (uint16_t i = 0; i < marker; ++i) reader.Bytes();
  writer->Raw(body.substr(first, reader.position() - first));
  static const protocol::ColumnType kDuration(protocol::TypeId::kDuration);
  const Duration timeout{.nanoseconds = timeout_ms * 1'000'000};
  const absl::Status status = protocol::EncodeValue(writer, kDuration, timeout);
  RINGPLANE_CHECK(status.ok(), "a duration can be encoded");
  writer->Raw(reader.rest());
}

}  // namespace cql::internal
