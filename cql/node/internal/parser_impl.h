// The recursive-descent parser. Every Parse method returns false after the
// first error, which `status` then holds.
#ifndef RINGPLANE_CQL_NODE_INTERNAL_PARSER_IMPL_H_
#define RINGPLANE_CQL_NODE_INTERNAL_PARSER_IMPL_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cql/node/ast.h"
#include "cql/node/engine.h"
#include "cql/node/lexer.h"

namespace cql::node {

class Parser {
 public:
  Parser(std::string_view text, const Limits& limits)
      : text_(text), limits_(limits) {}

  bool ParseWhole(ast::Statement* statement);
  bool ParseWholeType(ast::Type* type);
  const absl::Status& status() const { return status_; }

 private:
  // One more level of nesting, as long as it lives.
  class Nesting {
   public:
    explicit Nesting(Parser* parser) : parser_(parser) { ++parser_->depth_; }
    ~Nesting() { --parser_->depth_; }
    bool ok() const;

   private:
    Parser* const parser_;
  };

  // parser.cc: tokens, names, types and terms.
  bool Start();
  bool End();
  const Token& Peek(size_t ahead = 0) const;
  std::string_view TextOf(const Token& token) const;
  bool PeekWord(std::string_view word, size_t ahead = 0) const;
  bool PeekSymbol(std::string_view symbol, size_t ahead = 0) const;
  bool TakeWord(std::string_view word);
  bool TakeSymbol(std::string_view symbol);
  bool ExpectWord(std::string_view word);
  bool ExpectSymbol(std::string_view symbol);
  bool Fail(const Token& token, std::string_view message);
  bool FailExpecting(std::string_view what);
  bool Unsupported(std::string_view what);
  bool PeekIdentifier(size_t ahead = 0) const;
  bool ParseIdentifier(std::string_view what, std::string* name);
  bool ParseTableName(ast::TableName* name);
  bool ParseType(ast::Type* type);
  bool ParseTerm(ast::Term* term);
  bool ParseLiteral(const Token& token, ast::Term* term);
  bool ParseBraces(ast::Term* term);
  bool ParseTerms(std::string_view close, std::vector<ast::Term>* terms);
  bool ParseMarker(ast::Term* term);
  bool ParseIntegerOrMarker(std::string_view what, ast::Term* term);

  // parser_data.cc: SELECT, INSERT, UPDATE, DELETE, BATCH.
  bool ParseSelect(ast::Select* select);
  bool ParseSelectors(ast::Select* select);
  bool ParseSelector(ast::Selector* selector);
  bool ParseWhere(std::vector<ast::Relation>* where);
  bool ParseRelation(ast::Relation* relation);
  bool ParseOperator(ast::Operator* op);
  bool ParseInValues(std::vector<ast::Term>* values, bool* in_marker);
  bool ParseUsing(bool ttl_allowed, ast::Using* options);
  bool ParseInsert(ast::Insert* insert);
  bool ParseUpdate(ast::Update* update);
  bool ParseAssignment(ast::Assignment* assignment);
  bool ParseDelete(ast::Delete* del);
  bool ParseTarget(ast::Target* target);
  bool ParseIf(bool* if_exists, std::vector<ast::Condition>* conditions);
  bool ParseBatch(ast::Batch* batch);

  // parser_schema.cc: CREATE, ALTER, DROP, TRUNCATE, USE.
  bool ParseCreate(ast::AnyStatement* statement);
  bool ParseAlter(ast::AnyStatement* statement);
  bool ParseDrop(ast::Drop* drop);
  bool ParseIfNotExists(bool* flag);
  bool ParseIfExists(bool* flag);
  bool ParseProperties(std::vector<ast::Property>* properties);
  bool ParseProperty(std::vector<ast::Property>* properties);
  bool ParseClusteringOrder(std::vector<std::pair<std::string, bool>>* order);
  bool ParseCreateTable(ast::CreateTable* create);
  bool ParsePrimaryKey(ast::CreateTable* create);
  bool ParseColumnDefinition(bool static_allowed,
                             ast::ColumnDefinition* column);
  bool ParseAlterTable(ast::AlterTable* alter);
  bool ParseRenames(std::vector<std::pair<std::string, std::string>>* renames);

  const std::string_view text_;
  const Limits& limits_;
  std::vector<Token> tokens_;
  size_t next_ = 0;
  uint32_t depth_ = 0;
  std::vector<ast::Marker> markers_;
  absl::Status status_;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_INTERNAL_PARSER_IMPL_H_
