#include "cql/node/parser.h"

#include <algorithm>
#include <iterator>

#include "cql/node/error.h"
#include "cql/node/internal/parser_impl.h"
#include "cql/node/internal/text.h"

namespace cql::node {
namespace {

// Words that are no names unless quoted.
constexpr std::string_view kReserved[] = {
    "add",          "allow",        "alter",    "and",     "apply",
    "asc",          "authorize",    "batch",    "begin",   "by",
    "columnfamily", "create",       "default",  "delete",  "desc",
    "describe",     "drop",         "entries",  "execute", "from",
    "full",         "grant",        "if",       "in",      "index",
    "infinity",     "insert",       "into",     "is",      "keyspace",
    "limit",        "materialized", "modify",   "nan",     "norecursive",
    "not",          "null",         "of",       "on",      "or",
    "order",        "primary",      "rename",   "replace", "revoke",
    "schema",       "select",       "set",      "table",   "to",
    "token",        "truncate",     "unlogged", "unset",   "update",
    "use",          "using",        "view",     "where",   "with"};

bool IsReserved(std::string_view lower) {
  return std::find(std::begin(kReserved), std::end(kReserved), lower) !=
         std::end(kReserved);
}

}  // namespace

absl::StatusOr<ast::Statement> ParseStatement(std::string_view text,
                                              const Limits& limits) {
  ast::Statement statement;
  Parser parser(text, limits);
  if (!parser.ParseWhole(&statement)) return parser.status();
  return statement;
}

absl::StatusOr<ast::Type> ParseTypeName(std::string_view text,
                                        const Limits& limits) {
  ast::Type type;
  Parser parser(text, limits);
  if (!parser.ParseWholeType(&type)) return parser.status();
  return type;
}

bool Parser::ParseWhole(ast::Statement* statement) {
  if (!Start()) return false;
  ast::AnyStatement& any = statement->statement;
  bool ok;
  if (PeekWord("SELECT")) {
    ok = ParseSelect(&any.emplace<ast::Select>());
  } else if (PeekWord("INSERT")) {
    ok = ParseInsert(&any.emplace<ast::Insert>());
  } else if (PeekWord("UPDATE")) {
    ok = ParseUpdate(&any.emplace<ast::Update>());
  } else if (PeekWord("DELETE")) {
    ok = ParseDelete(&any.emplace<ast::Delete>());
  } else if (PeekWord("BEGIN")) {
    ok = ParseBatch(&any.emplace<ast::Batch>());
  } else if (PeekWord("CREATE")) {
    ok = ParseCreate(&any);
  } else if (PeekWord("ALTER")) {
    ok = ParseAlter(&any);
  } else if (PeekWord("DROP")) {
    ok = ParseDrop(&any.emplace<ast::Drop>());
  } else if (TakeWord("TRUNCATE")) {
    if (!TakeWord("TABLE")) TakeWord("COLUMNFAMILY");
    ok = ParseTableName(&any.emplace<ast::Truncate>().table);
    ast::Using options;
    ok = ok && ParseUsing(false, &options);
  } else if (TakeWord("USE")) {
    ok = ParseIdentifier("keyspace name", &any.emplace<ast::Use>().keyspace);
  } else if (PeekWord("GRANT") || PeekWord("REVOKE") || PeekWord("LIST") ||
             PeekWord("DESCRIBE") || PeekWord("PRUNE")) {
    return Unsupported(TextOf(Peek()));
  } else {
    return Fail(Peek(), "no viable alternative");
  }
  if (!ok || !End()) return false;
  statement->markers = std::move(markers_);
  return true;
}

bool Parser::ParseWholeType(ast::Type* type) {
  return Start() && ParseType(type) && End();
}

bool Parser::Start() {
  if (text_.size() > limits_.statement_bytes_max) {
    status_ = InvalidError(StrCat("Statement of ", text_.size(),
                                  " bytes is longer than the limit of ",
                                  limits_.statement_bytes_max));
    return false;
  }
  status_ = Tokenize(text_, &tokens_);
  return status_.ok();
}

bool Parser::End() {
  while (TakeSymbol(";")) {
  }
  if (Peek().kind == Token::Kind::kEnd) return true;
  return FailExpecting("end of statement");
}

const Token& Parser::Peek(size_t ahead) const {
  return tokens_[std::min(next_ + ahead, tokens_.size() - 1)];
}

std::string_view Parser::TextOf(const Token& token) const {
  return text_.substr(token.begin, token.end - token.begin);
}

bool Parser::PeekWord(std::string_view word, size_t ahead) const {
  const Token& token = Peek(ahead);
  return token.kind == Token::Kind::kWord &&
         EqualsIgnoreCase(TextOf(token), word);
}

bool Parser::PeekSymbol(std::string_view symbol, size_t ahead) const {
  const Token& token = Peek(ahead);
  return token.kind == Token::Kind::kSymbol && TextOf(token) == symbol;
}

bool Parser::TakeWord(std::string_view word) {
  if (!PeekWord(word)) return false;
  ++next_;
  return true;
}

bool Parser::TakeSymbol(std::string_view symbol) {
  if (!PeekSymbol(symbol)) return false;
  ++next_;
  return true;
}

bool Parser::ExpectWord(std::string_view word) {
  return TakeWord(word) || FailExpecting(word);
}

bool Parser::ExpectSymbol(std::string_view symbol) {
  return TakeSymbol(symbol) || FailExpecting(StrCat("'", symbol, "'"));
}

bool Parser::Fail(const Token& token, std::string_view message) {
  if (!status_.ok()) return false;
  constexpr size_t kShown = 64;
  const std::string_view text = TextOf(token);
  status_ = SyntaxErrorAt(
      text_, token.begin,
      token.kind == Token::Kind::kEnd
          ? StrCat(message, " at end of statement")
          : StrCat(message, " at input '", text.substr(0, kShown), "'"));
  return false;
}

bool Parser::FailExpecting(std::string_view what) {
  return Fail(Peek(), StrCat("expected ", what));
}

bool Parser::Unsupported(std::string_view what) {
  if (!status_.ok()) return false;
  status_ = InvalidError(
      StrCat(what, " is not supported by the embedded development node"));
  return false;
}

bool Parser::Nesting::ok() const {
  if (parser_->depth_ <= parser_->limits_.nesting_max) return true;
  if (parser_->status_.ok()) {
    parser_->status_ = SyntaxErrorAt(parser_->text_, parser_->Peek().begin,
                                     StrCat("nested deeper than the limit of ",
                                            parser_->limits_.nesting_max));
  }
  return false;
}

bool Parser::PeekIdentifier(size_t ahead) const {
  const Token& token = Peek(ahead);
  if (token.kind == Token::Kind::kQuoted) return true;
  return token.kind == Token::Kind::kWord &&
         !IsReserved(ToLower(TextOf(token)));
}

bool Parser::ParseIdentifier(std::string_view what, std::string* name) {
  const Token& token = Peek();
  if (!PeekIdentifier()) return FailExpecting(what);
  if (token.kind == Token::Kind::kQuoted) {
    *name = Unquote(TextOf(token));
    if (name->empty()) return Fail(token, "empty name");
  } else {
    *name = ToLower(TextOf(token));
  }
  constexpr size_t kNameMax = 256;
  if (name->size() > kNameMax) return Fail(token, "name too long");
  ++next_;
  return true;
}

bool Parser::ParseTableName(ast::TableName* name) {
  if (!ParseIdentifier("name", &name->table)) return false;
  if (!TakeSymbol(".")) return true;
  name->keyspace = std::move(name->table);
  return ParseIdentifier("name", &name->table);
}

bool Parser::ParseType(ast::Type* type) {
  Nesting nesting(this);
  if (!nesting.ok()) return false;
  if (Peek().kind == Token::Kind::kString) {
    return Unsupported("A custom type");
  }
  // Of the reserved words, one names a type.
  if (TakeWord("SET")) {
    type->name = "set";
  } else if (!ParseIdentifier("type", &type->name)) {
    return false;
  }
  if (TakeSymbol(".")) {
    type->keyspace = std::move(type->name);
    return ParseIdentifier("type", &type->name);
  }
  if (!TakeSymbol("<")) return true;
  do {
    if (!ParseType(&type->parameters.emplace_back())) return false;
  } while (TakeSymbol(","));
  return ExpectSymbol(">");
}

bool Parser::ParseMarker(ast::Term* term) {
  term->kind = ast::Term::Kind::kMarker;
  term->offset = Peek().begin;
  if (markers_.size() >= limits_.bind_markers_max) {
    return Fail(Peek(), StrCat("more bind markers than the limit of ",
                               limits_.bind_markers_max));
  }
  ast::Marker marker;
  if (TakeSymbol(":")) {
    if (!ParseIdentifier("name of a bind marker", &marker.name)) return false;
  } else {
    ++next_;
  }
  term->marker = static_cast<uint32_t>(markers_.size());
  markers_.push_back(std::move(marker));
  return true;
}

bool Parser::ParseIntegerOrMarker(std::string_view what, ast::Term* term) {
  const Token& token = Peek();
  if (token.kind == Token::Kind::kMarker || PeekSymbol(":")) {
    return ParseMarker(term);
  }
  if (token.kind != Token::Kind::kInteger) return FailExpecting(what);
  return ParseTerm(term);
}

bool Parser::ParseTerms(std::string_view close, std::vector<ast::Term>* terms) {
  if (TakeSymbol(close)) return true;
  do {
    if (!ParseTerm(&terms->emplace_back())) return false;
  } while (TakeSymbol(","));
  return ExpectSymbol(close);
}

bool Parser::ParseTerm(ast::Term* term) {
  Nesting nesting(this);
  if (!nesting.ok()) return false;
  const Token& token = Peek();
  term->offset = token.begin;
  if (token.kind == Token::Kind::kMarker || PeekSymbol(":")) {
    return ParseMarker(term);
  }
  if (TakeSymbol("[")) {
    term->kind = ast::Term::Kind::kList;
    return ParseTerms("]", &term->items);
  }
  if (TakeSymbol("(")) {
    term->kind = ast::Term::Kind::kTuple;
    return ParseTerms(")", &term->items);
  }
  if (PeekSymbol("{")) return ParseBraces(term);
  if (PeekSymbol("-") && (PeekWord("Infinity", 1) || PeekWord("NaN", 1))) {
    term->kind = ast::Term::Kind::kFloat;
    term->text = PeekWord("NaN", 1) ? "NaN" : "-Infinity";
    next_ += 2;
    return true;
  }
  return ParseLiteral(token, term);
}

bool Parser::ParseLiteral(const Token& token, ast::Term* term) {
  using Kind = ast::Term::Kind;
  term->text = std::string(TextOf(token));
  switch (token.kind) {
    case Token::Kind::kString:
      term->kind = Kind::kString;
      term->text = Unquote(term->text);
      break;
    case Token::Kind::kInteger:
      term->kind = Kind::kInteger;
      break;
    case Token::Kind::kFloat:
      term->kind = Kind::kFloat;
      break;
    case Token::Kind::kUuid:
      term->kind = Kind::kUuid;
      break;
    case Token::Kind::kHex:
      term->kind = Kind::kHex;
      break;
    case Token::Kind::kDuration:
      term->kind = Kind::kDuration;
      break;
    case Token::Kind::kWord: {
      const std::string lower = ToLower(term->text);
      if (lower == "null") {
        term->kind = Kind::kNull;
        break;
      }
      if (lower == "true" || lower == "false") {
        term->kind = Kind::kBoolean;
        term->text = lower;
        break;
      }
      if (lower == "nan" || lower == "infinity") {
        term->kind = Kind::kFloat;
        break;
      }
      if ((lower == "token" || PeekIdentifier()) && PeekSymbol("(", 1)) {
        next_ += 2;
        term->kind = Kind::kCall;
        term->text = lower;
        return ParseTerms(")", &term->items);
      }
      return FailExpecting("a value");
    }
    default:
      return FailExpecting("a value");
  }
  ++next_;
  return true;
}

// {} and {a, b} are sets, {a: b} a map, {field: a} a user type.
bool Parser::ParseBraces(ast::Term* term) {
  if (!ExpectSymbol("{")) return false;
  term->kind = ast::Term::Kind::kSet;
  if (TakeSymbol("}")) return true;
  if (PeekIdentifier() && PeekSymbol(":", 1)) {
    term->kind = ast::Term::Kind::kUser;
    do {
      if (!ParseIdentifier("field", &term->names.emplace_back()) ||
          !ExpectSymbol(":") || !ParseTerm(&term->items.emplace_back())) {
        return false;
      }
    } while (TakeSymbol(","));
    return ExpectSymbol("}");
  }
  bool first = true;
  do {
    if (!ParseTerm(&term->items.emplace_back())) return false;
    if (first && PeekSymbol(":")) term->kind = ast::Term::Kind::kMap;
    first = false;
    if (term->kind == ast::Term::Kind::kMap) {
      if (!ExpectSymbol(":") || !ParseTerm(&term->items.emplace_back())) {
        return false;
      }
    }
  } while (TakeSymbol(","));
  return ExpectSymbol("}");
}

}  // namespace cql::node
