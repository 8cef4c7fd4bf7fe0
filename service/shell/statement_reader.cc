#include "service/shell/statement_reader.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace shell {
namespace {

constexpr std::array<std::string_view, 7> kCommands = {
    "TRACING", "PAGING", "CONSISTENCY", "OUTPUT", "HELP", "EXIT", "QUIT"};

bool IsSpace(char c) { return std::isspace(static_cast<unsigned char>(c)); }
bool IsWord(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

// What begins at `at` and is not to be looked into: a string, a quoted name, a
// comment. Its end, `at` if nothing does, npos if it does not end.
size_t SkipOpaque(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(at);
  std::string_view end;
  if (rest.starts_with("'")) {
    end = "'";
  } else if (rest.starts_with("\"")) {
    end = "\"";
  } else if (rest.starts_with("$$")) {
    end = "$$";
  } else if (rest.starts_with("--") || rest.starts_with("//")) {
    end = "\n";
  } else if (rest.starts_with("/*")) {
    end = "*/";
  } else {
    return at;
  }
  // A doubled quote ends a string and begins the next one: the same thing here.
  const size_t begin = at + (end == "\n" || end == "*/" ? 2 : end.size());
  const size_t found = text.find(end, begin);
  return found == text.npos ? text.npos : found + end.size();
}

bool IsComment(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(at);
  return rest.starts_with("--") || rest.starts_with("//") ||
         rest.starts_with("/*");
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string LeadingWords(std::string_view text, size_t most) {
  std::string words;
  size_t count = 0;
  for (size_t at = 0; at < text.size() && count < most;) {
    if (const size_t end = SkipOpaque(text, at); end != at) {
      // Quotes stand between words and are none.
      if (!IsComment(text, at)) break;
      at = end == text.npos ? text.size() : end;
      continue;
    }
    if (!IsWord(text[at])) {
      if (!IsSpace(text[at])) break;
      ++at;
      continue;
    }
    if (count++ > 0) words += ' ';
    while (at < text.size() && IsWord(text[at])) {
      words += static_cast<char>(
          std::toupper(static_cast<unsigned char>(text[at++])));
    }
  }
  return words;
}

bool IsCommand(std::string_view text) {
  const std::string word = LeadingWords(text, 1);
  return std::find(kCommands.begin(), kCommands.end(), word) != kCommands.end();
}

std::optional<size_t> StatementReader::FindEnd() const {
  const std::string first = LeadingWords(text_, 3);
  const bool batch =
      first == "BEGIN BATCH" || first.starts_with("BEGIN BATCH ") ||
      first == "BEGIN UNLOGGED BATCH" || first == "BEGIN COUNTER BATCH";
  const bool command = IsCommand(text_);
  std::string last_word, word;
  bool applied = false;
  for (size_t at = 0; at < text_.size();) {
    const char c = text_[at];
    if (IsWord(c)) {
      word += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      ++at;
      continue;
    }
    if (!word.empty()) {
      applied = last_word == "APPLY" && word == "BATCH";
      last_word = std::exchange(word, "");
    }
    if (c == ';' && (!batch || applied)) return at;
    if (c == '\n' && command && !Trim(text_.substr(0, at)).empty()) return at;
    const size_t end = SkipOpaque(text_, at);
    if (end == std::string::npos) return std::nullopt;
    at = std::max(end, at + 1);
  }
  return std::nullopt;
}

std::optional<std::string> StatementReader::Next() {
  while (const std::optional<size_t> end = FindEnd()) {
    std::string statement(Trim(std::string_view(text_).substr(0, *end)));
    text_.erase(0, *end + 1);
    if (!statement.empty()) return statement;
  }
  return std::nullopt;
}

std::optional<std::string> StatementReader::Finish() {
  std::string rest(Trim(text_));
  text_.clear();
  // Comments alone are no statement.
  for (size_t at = 0; at < rest.size();) {
    if (IsSpace(rest[at])) {
      ++at;
    } else if (IsComment(rest, at)) {
      at = std::min(SkipOpaque(rest, at), rest.size());
    } else {
      return rest;
    }
  }
  return std::nullopt;
}

bool StatementReader::mid_statement() const { return !Trim(text_).empty(); }

}  // namespace shell
