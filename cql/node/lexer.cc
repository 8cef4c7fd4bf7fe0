#include "cql/node/lexer.h"

#include "absl/strings/escaping.h"
#include "cql/node/error.h"
#include "cql/node/internal/text.h"

namespace cql::node {
namespace {

bool IsWordStart(char c) { return absl::ascii_isalpha(c) || c == '_'; }
bool IsWord(char c) { return absl::ascii_isalnum(c) || c == '_'; }

class Lexer {
 public:
  Lexer(std::string_view text, std::vector<Token>* tokens)
      : text_(text), tokens_(tokens) {}

  absl::Status Run() {
    for (;;) {
      absl::Status status = SkipSpace();
      if (!status.ok()) return status;
      const size_t begin = position_;
      Token token;
      token.begin = static_cast<uint32_t>(begin);
      if (begin < text_.size()) {
        status = Next(&token.kind);
        if (!status.ok()) return status;
      }
      token.end = static_cast<uint32_t>(position_);
      tokens_->push_back(token);
      if (token.kind == Token::Kind::kEnd) return absl::OkStatus();
    }
  }

 private:
  char Peek(size_t ahead = 0) const {
    return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';
  }

  absl::Status SkipSpace() {
    while (position_ < text_.size()) {
      const char c = Peek();
      if (absl::ascii_isspace(c)) {
        ++position_;
      } else if ((c == '-' && Peek(1) == '-') || (c == '/' && Peek(1) == '/')) {
        while (position_ < text_.size() && Peek() != '\n') ++position_;
      } else if (c == '/' && Peek(1) == '*') {
        const size_t close = text_.find("*/", position_ + 2);
        if (close == std::string_view::npos) {
          return SyntaxErrorAt(text_, position_, "comment is not closed");
        }
        position_ = close + 2;
      } else {
        break;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Next(Token::Kind* kind) {
    const char c = Peek();
    if (c == '\'' || c == '"') return Quoted(c, kind);
    if (c == '$' && Peek(1) == '$') {
      const size_t close = text_.find("$$", position_ + 2);
      if (close == std::string_view::npos) {
        return SyntaxErrorAt(text_, position_, "string is not closed");
      }
      position_ = close + 2;
      *kind = Token::Kind::kString;
      return absl::OkStatus();
    }
    if (absl::ascii_isxdigit(c) && TakeUuid()) {
      *kind = Token::Kind::kUuid;
      return absl::OkStatus();
    }
    if (c == '0' && (Peek(1) == 'x' || Peek(1) == 'X')) {
      position_ += 2;
      while (absl::ascii_isxdigit(Peek())) ++position_;
      if (IsWord(Peek())) {
        return SyntaxErrorAt(text_, position_, "not a hexadecimal digit");
      }
      *kind = Token::Kind::kHex;
      return absl::OkStatus();
    }
    if (absl::ascii_isdigit(c) || (c == '-' && absl::ascii_isdigit(Peek(1)))) {
      return Number(kind);
    }
    if (IsWordStart(c)) {
      while (IsWord(Peek())) ++position_;
      *kind = Token::Kind::kWord;
      return absl::OkStatus();
    }
    if (c == '?') {
      ++position_;
      *kind = Token::Kind::kMarker;
      return absl::OkStatus();
    }
    static constexpr std::string_view kTwo[] = {"<=", ">=", "!=", "+=", "-="};
    *kind = Token::Kind::kSymbol;
    for (std::string_view symbol : kTwo) {
      if (text_.substr(position_, 2) == symbol) {
        position_ += 2;
        return absl::OkStatus();
      }
    }
    static constexpr std::string_view kOne = "()[]{},;:.=<>+-*/%";
    if (kOne.find(c) == std::string_view::npos) {
      return SyntaxErrorAt(text_, position_,
                           StrCat("no viable alternative at character '",
                                  absl::CHexEscape(std::string(1, c)), "'"));
    }
    ++position_;
    return absl::OkStatus();
  }

  absl::Status Quoted(char quote, Token::Kind* kind) {
    const size_t begin = position_++;
    for (;;) {
      const size_t close = text_.find(quote, position_);
      if (close == std::string_view::npos) {
        return SyntaxErrorAt(text_, begin,
                             quote == '"' ? "quoted name is not closed"
                                          : "string is not closed");
      }
      position_ = close + 1;
      if (Peek() != quote) break;
      ++position_;
    }
    *kind = quote == '"' ? Token::Kind::kQuoted : Token::Kind::kString;
    return absl::OkStatus();
  }

  bool TakeUuid() {
    static constexpr int kGroups[] = {8, 4, 4, 4, 12};
    size_t at = position_;
    for (int group = 0; group < 5; ++group) {
      if (group > 0) {
        if (at >= text_.size() || text_[at] != '-') return false;
        ++at;
      }
      for (int i = 0; i < kGroups[group]; ++i, ++at) {
        if (at >= text_.size() || !absl::ascii_isxdigit(text_[at])) {
          return false;
        }
      }
    }
    if (at < text_.size() && IsWord(text_[at])) return false;
    position_ = at;
    return true;
  }

  absl::Status Number(Token::Kind* kind) {
    const size_t begin = position_;
    *kind = Token::Kind::kInteger;
    if (Peek() == '-') ++position_;
    while (absl::ascii_isdigit(Peek())) ++position_;
    if (Peek() == '.' && absl::ascii_isdigit(Peek(1))) {
      *kind = Token::Kind::kFloat;
      ++position_;
      while (absl::ascii_isdigit(Peek())) ++position_;
    }
    const size_t sign = Peek(1) == '+' || Peek(1) == '-' ? 1 : 0;
    if ((Peek() == 'e' || Peek() == 'E') &&
        absl::ascii_isdigit(Peek(1 + sign))) {
      *kind = Token::Kind::kFloat;
      position_ += 1 + sign;
      while (absl::ascii_isdigit(Peek())) ++position_;
    }
    if (IsWordStart(Peek())) {
      if (*kind == Token::Kind::kFloat) {
        return SyntaxErrorAt(text_, begin, "malformed number");
      }
      while (IsWord(Peek())) ++position_;
      *kind = Token::Kind::kDuration;
    }
    return absl::OkStatus();
  }

  const std::string_view text_;
  std::vector<Token>* const tokens_;
  size_t position_ = 0;
};

}  // namespace

absl::Status Tokenize(std::string_view text, std::vector<Token>* tokens) {
  tokens->clear();
  return Lexer(text, tokens).Run();
}

absl::Status SyntaxErrorAt(std::string_view text, size_t offset,
                           std::string_view message) {
  size_t line = 1;
  size_t column = 0;
  for (size_t i = 0; i < offset && i < text.size(); ++i) {
    ++column;
    if (text[i] == '\n') {
      ++line;
      column = 0;
    }
  }
  return MakeError(ServerCode::kSyntaxError,
                   StrCat("line ", line, ":", column, " ", message));
}

std::string Unquote(std::string_view token) {
  const char quote = token.front();
  if (quote == '$') return std::string(token.substr(2, token.size() - 4));
  std::string content;
  content.reserve(token.size());
  for (size_t i = 1; i + 1 < token.size(); ++i) {
    content.push_back(token[i]);
    if (token[i] == quote) ++i;
  }
  return content;
}

}  // namespace cql::node
