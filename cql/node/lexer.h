// The words of a CQL statement.
#ifndef RINGPLANE_CQL_NODE_LEXER_H_
#define RINGPLANE_CQL_NODE_LEXER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace cql::node {

struct Token {
  enum class Kind : uint8_t {
    kEnd,
    kWord,     // An identifier or keyword, as written.
    kQuoted,   // "Identifier", with its quotes.
    kString,   // 'text' or $$text$$, with its quotes.
    kInteger,  // -?[0-9]+
    kFloat,    // -?[0-9]+ with a fraction, an exponent or both.
    kUuid,
    kHex,       // 0x[0-9a-f]*
    kDuration,  // 1h30m
    kMarker,    // ?
    kSymbol,    // Punctuation of one or two characters.
  };
  Kind kind = Kind::kEnd;
  uint32_t begin = 0;  // Offsets in the text.
  uint32_t end = 0;
};

// Splits `text` into tokens, the last of which is kEnd. Comments (-- // /* */)
// and white space separate them.
absl::Status Tokenize(std::string_view text, std::vector<Token>* tokens);

// A syntax error at an offset of `text`: "line 2:14 message".
absl::Status SyntaxErrorAt(std::string_view text, size_t offset,
                           std::string_view message);

// The content of a kString or kQuoted token: without quotes, doubled ones made
// single.
std::string Unquote(std::string_view token);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_LEXER_H_
