// SELECT, INSERT, UPDATE, DELETE and BATCH.

#include "cql/node/error.h"
#include "cql/node/internal/parser_impl.h"
#include "cql/node/internal/text.h"

namespace cql::node {

bool Parser::ParseSelect(ast::Select* select) {
  if (!ExpectWord("SELECT")) return false;
  if (PeekWord("JSON") && !PeekSymbol(",", 1) && !PeekWord("FROM", 1) &&
      !PeekWord("AS", 1)) {
    return Unsupported("SELECT JSON");
  }
  if (!ParseSelectors(select) || !ExpectWord("FROM") ||
      !ParseTableName(&select->table)) {
    return false;
  }
  if (TakeWord("WHERE") && !ParseWhere(&select->where)) return false;
  if (PeekWord("GROUP")) return Unsupported("GROUP BY");
  if (TakeWord("ORDER")) {
    if (!ExpectWord("BY")) return false;
    do {
      auto& [column, descending] = select->order_by.emplace_back();
      if (!ParseIdentifier("column", &column)) return false;
      descending = TakeWord("DESC");
      if (!descending) TakeWord("ASC");
    } while (TakeSymbol(","));
  }
  if (TakeWord("PER")) {
    if (!ExpectWord("PARTITION") || !ExpectWord("LIMIT") ||
        !ParseIntegerOrMarker("a number",
                              &select->per_partition_limit.emplace())) {
      return false;
    }
  }
  if (TakeWord("LIMIT") &&
      !ParseIntegerOrMarker("a number", &select->limit.emplace())) {
    return false;
  }
  if (TakeWord("ALLOW")) {
    if (!ExpectWord("FILTERING")) return false;
    select->allow_filtering = true;
  }
  if (TakeWord("BYPASS")) {
    if (!ExpectWord("CACHE")) return false;
    select->bypass_cache = true;
  }
  if (!ParseUsing(false, &select->options)) return false;
  if (select->options.timestamp.has_value()) {
    return Fail(Peek(), "a SELECT has no timestamp");
  }
  return true;
}

bool Parser::ParseSelectors(ast::Select* select) {
  // `distinct` may also be a column.
  if (PeekWord("DISTINCT") && !PeekSymbol(",", 1) && !PeekWord("FROM", 1) &&
      !PeekWord("AS", 1) && !PeekSymbol("(", 1)) {
    ++next_;
    select->distinct = true;
  }
  if (TakeSymbol("*")) {
    select->all = true;
    return true;
  }
  do {
    if (select->selectors.size() >= limits_.columns_max) {
      return Fail(Peek(), StrCat("more columns than the limit of ",
                                 limits_.columns_max));
    }
    ast::Selector& selector = select->selectors.emplace_back();
    const uint32_t begin = Peek().begin;
    if (!ParseSelector(&selector)) return false;
    selector.text =
        std::string(text_.substr(begin, tokens_[next_ - 1].end - begin));
    if (TakeWord("AS") && !ParseIdentifier("alias", &selector.alias)) {
      return false;
    }
  } while (TakeSymbol(","));
  return true;
}

bool Parser::ParseSelector(ast::Selector* selector) {
  Nesting nesting(this);
  if (!nesting.ok()) return false;
  const Token& token = Peek();
  if (PeekWord("CAST") && PeekSymbol("(", 1)) return Unsupported("CAST");
  const bool callable =
      token.kind == Token::Kind::kQuoted || token.kind == Token::Kind::kWord;
  if (callable && PeekSymbol("(", 1) &&
      (PeekIdentifier() || PeekWord("TOKEN"))) {
    selector->kind = ast::Selector::Kind::kCall;
    selector->name = ToLower(TextOf(token));
    next_ += 2;
    if (selector->name == "count" && PeekSymbol("*") && PeekSymbol(")", 1)) {
      next_ += 2;
      return true;
    }
    if (TakeSymbol(")")) return true;
    do {
      if (!ParseSelector(&selector->arguments.emplace_back())) return false;
    } while (TakeSymbol(","));
    return ExpectSymbol(")");
  }
  if (!PeekIdentifier() || PeekWord("true") || PeekWord("false")) {
    selector->kind = ast::Selector::Kind::kLiteral;
    return ParseTerm(&selector->literal);
  }
  if (!ParseIdentifier("column", &selector->name)) return false;
  while (PeekSymbol(".") || PeekSymbol("[")) {
    Nesting deeper(this);
    if (!deeper.ok()) return false;
    ast::Selector inner = std::move(*selector);
    *selector = ast::Selector();
    if (TakeSymbol(".")) {
      selector->kind = ast::Selector::Kind::kField;
      if (!ParseIdentifier("field", &selector->name)) return false;
    } else {
      ++next_;
      selector->kind = ast::Selector::Kind::kElement;
      if (!ParseTerm(&selector->literal) || !ExpectSymbol("]")) return false;
    }
    selector->arguments.push_back(std::move(inner));
    // One level is all that a stored value can be taken apart by.
    if (PeekSymbol("[")) return Fail(Peek(), "an element of an element");
    if (selector->arguments[0].kind != ast::Selector::Kind::kColumn) {
      return Fail(Peek(), "a part of a part");
    }
  }
  return true;
}

bool Parser::ParseWhere(std::vector<ast::Relation>* where) {
  do {
    if (where->size() >= limits_.columns_max) {
      return Fail(Peek(), StrCat("more relations than the limit of ",
                                 limits_.columns_max));
    }
    if (!ParseRelation(&where->emplace_back())) return false;
  } while (TakeWord("AND"));
  return true;
}

bool Parser::ParseRelation(ast::Relation* relation) {
  Nesting nesting(this);
  if (!nesting.ok()) return false;
  relation->offset = Peek().begin;
  if (PeekWord("TOKEN") && PeekSymbol("(", 1)) {
    next_ += 2;
    relation->subject = ast::Relation::Subject::kToken;
  } else if (TakeSymbol("(")) {
    relation->subject = ast::Relation::Subject::kTuple;
    // A relation in parentheses of its own: (a = 1).
    const bool nested =
        PeekSymbol("(") || (PeekWord("TOKEN") && PeekSymbol("(", 1)) ||
        (PeekIdentifier() && !PeekSymbol(",", 1) && !PeekSymbol(")", 1));
    if (nested) {
      relation->subject = ast::Relation::Subject::kColumn;
      return ParseRelation(relation) && ExpectSymbol(")");
    }
  }
  if (relation->subject == ast::Relation::Subject::kColumn) {
    if (!ParseIdentifier("column", &relation->columns.emplace_back())) {
      return false;
    }
    if (PeekSymbol("[")) {
      return Unsupported("A restriction on an element of a collection");
    }
    if (PeekWord("LIKE")) return Unsupported("LIKE");
    if (PeekWord("IS")) return Unsupported("IS NOT NULL");
  } else {
    do {
      if (!ParseIdentifier("column", &relation->columns.emplace_back())) {
        return false;
      }
    } while (TakeSymbol(","));
    if (!ExpectSymbol(")")) return false;
  }
  if (!ParseOperator(&relation->op)) return false;
  if (relation->op == ast::Operator::kIn) {
    return ParseInValues(&relation->values, &relation->in_marker);
  }
  return ParseTerm(&relation->values.emplace_back());
}

bool Parser::ParseOperator(ast::Operator* op) {
  static constexpr std::pair<std::string_view, ast::Operator> kSymbols[] = {
      {"=", ast::Operator::kEqual},         {"!=", ast::Operator::kNotEqual},
      {"<=", ast::Operator::kLessEqual},    {"<", ast::Operator::kLess},
      {">=", ast::Operator::kGreaterEqual}, {">", ast::Operator::kGreater}};
  for (const auto& [symbol, value] : kSymbols) {
    if (TakeSymbol(symbol)) {
      *op = value;
      return true;
    }
  }
  if (TakeWord("IN")) {
    *op = ast::Operator::kIn;
    return true;
  }
  if (TakeWord("CONTAINS")) {
    *op = TakeWord("KEY") ? ast::Operator::kContainsKey
                          : ast::Operator::kContains;
    return true;
  }
  return FailExpecting("an operator");
}

bool Parser::ParseInValues(std::vector<ast::Term>* values, bool* in_marker) {
  if (Peek().kind == Token::Kind::kMarker || PeekSymbol(":")) {
    *in_marker = true;
    return ParseMarker(&values->emplace_back());
  }
  return ExpectSymbol("(") && ParseTerms(")", values);
}

bool Parser::ParseUsing(bool ttl_allowed, ast::Using* options) {
  if (!TakeWord("USING")) return true;
  do {
    const Token& token = Peek();
    std::optional<ast::Term>* option;
    if (TakeWord("TIMESTAMP")) {
      option = &options->timestamp;
    } else if (PeekWord("TTL")) {
      if (!ttl_allowed) return Fail(token, "TTL has no meaning here");
      ++next_;
      option = &options->ttl;
    } else if (TakeWord("TIMEOUT")) {
      if (options->timeout.has_value()) return Fail(token, "given twice");
      // Accepted for what it is in ScyllaDB; nothing here waits for a replica.
      ast::Term& timeout = options->timeout.emplace();
      const Token::Kind kind = Peek().kind;
      if (kind == Token::Kind::kMarker || PeekSymbol(":")) {
        if (!ParseMarker(&timeout)) return false;
      } else if (kind != Token::Kind::kDuration) {
        return FailExpecting("a duration");
      } else if (!ParseTerm(&timeout)) {
        return false;
      }
      continue;
    } else {
      return FailExpecting("TIMESTAMP, TTL or TIMEOUT");
    }
    if (option->has_value()) return Fail(token, "given twice");
    if (!ParseIntegerOrMarker("a number", &option->emplace())) return false;
  } while (TakeWord("AND"));
  return true;
}

bool Parser::ParseInsert(ast::Insert* insert) {
  if (!ExpectWord("INSERT") || !ExpectWord("INTO") ||
      !ParseTableName(&insert->table)) {
    return false;
  }
  if (PeekWord("JSON")) return Unsupported("INSERT JSON");
  if (!ExpectSymbol("(")) return false;
  do {
    if (!ParseIdentifier("column", &insert->columns.emplace_back())) {
      return false;
    }
  } while (TakeSymbol(","));
  if (!ExpectSymbol(")") || !ExpectWord("VALUES") || !ExpectSymbol("(")) {
    return false;
  }
  if (!ParseTerms(")", &insert->values)) return false;
  if (insert->values.size() != insert->columns.size()) {
    status_ = InvalidError("Unmatched column names/values");
    return false;
  }
  if (TakeWord("IF")) {
    if (!ExpectWord("NOT") || !ExpectWord("EXISTS")) return false;
    insert->if_not_exists = true;
  }
  return ParseUsing(true, &insert->options);
}

bool Parser::ParseUpdate(ast::Update* update) {
  if (!ExpectWord("UPDATE") || !ParseTableName(&update->table) ||
      !ParseUsing(true, &update->options) || !ExpectWord("SET")) {
    return false;
  }
  do {
    if (!ParseAssignment(&update->assignments.emplace_back())) return false;
  } while (TakeSymbol(","));
  return ExpectWord("WHERE") && ParseWhere(&update->where) &&
         ParseIf(&update->if_exists, &update->conditions);
}

bool Parser::ParseAssignment(ast::Assignment* assignment) {
  using Kind = ast::Assignment::Kind;
  if (!ParseTarget(&assignment->target)) return false;
  const std::string& column = assignment->target.column;
  const bool whole =
      !assignment->target.key.has_value() && assignment->target.field.empty();
  if (whole && (PeekSymbol("+=") || PeekSymbol("-="))) {
    assignment->kind = PeekSymbol("+=") ? Kind::kAppend : Kind::kSubtract;
    ++next_;
    return ParseTerm(&assignment->value);
  }
  if (!ExpectSymbol("=")) return false;
  // column = column + term, column = column - term.
  const bool operand = PeekIdentifier() && !PeekSymbol("(", 1) &&
                       !PeekWord("true") && !PeekWord("false");
  if (operand) {
    std::string other;
    const Token& token = Peek();
    if (!ParseIdentifier("column", &other)) return false;
    if (!whole || other != column) {
      return Fail(token, "only the assigned column may be an operand");
    }
    if (TakeSymbol("+")) {
      assignment->kind = Kind::kAppend;
    } else if (TakeSymbol("-")) {
      assignment->kind = Kind::kSubtract;
    } else if (Peek().kind == Token::Kind::kInteger &&
               TextOf(Peek()).front() == '-') {
      assignment->kind = Kind::kAppend;  // c = c -1
    } else {
      return FailExpecting("'+' or '-'");
    }
    return ParseTerm(&assignment->value);
  }
  if (!ParseTerm(&assignment->value)) return false;
  // column = term + column.
  if (PeekSymbol("+")) {
    ++next_;
    std::string other;
    const Token& token = Peek();
    if (!ParseIdentifier("column", &other)) return false;
    if (!whole || other != column) {
      return Fail(token, "only the assigned column may be an operand");
    }
    assignment->kind = Kind::kPrepend;
  }
  return true;
}

bool Parser::ParseTarget(ast::Target* target) {
  if (!ParseIdentifier("column", &target->column)) return false;
  if (TakeSymbol("[")) {
    return ParseTerm(&target->key.emplace()) && ExpectSymbol("]");
  }
  if (TakeSymbol(".")) return ParseIdentifier("field", &target->field);
  return true;
}

bool Parser::ParseDelete(ast::Delete* del) {
  if (!ExpectWord("DELETE")) return false;
  if (!PeekWord("FROM")) {
    do {
      if (!ParseTarget(&del->targets.emplace_back())) return false;
    } while (TakeSymbol(","));
  }
  return ExpectWord("FROM") && ParseTableName(&del->table) &&
         ParseUsing(false, &del->options) && ExpectWord("WHERE") &&
         ParseWhere(&del->where) && ParseIf(&del->if_exists, &del->conditions);
}

bool Parser::ParseIf(bool* if_exists, std::vector<ast::Condition>* conditions) {
  if (!TakeWord("IF")) return true;
  if (TakeWord("EXISTS")) {
    *if_exists = true;
    return true;
  }
  do {
    ast::Condition& condition = conditions->emplace_back();
    if (!ParseTarget(&condition.target) || !ParseOperator(&condition.op)) {
      return false;
    }
    if (condition.op == ast::Operator::kContains ||
        condition.op == ast::Operator::kContainsKey) {
      return Unsupported("CONTAINS in a condition");
    }
    if (condition.op == ast::Operator::kIn) {
      if (!ParseInValues(&condition.values, &condition.in_marker)) {
        return false;
      }
    } else if (!ParseTerm(&condition.values.emplace_back())) {
      return false;
    }
  } while (TakeWord("AND"));
  return true;
}

bool Parser::ParseBatch(ast::Batch* batch) {
  if (!ExpectWord("BEGIN")) return false;
  if (TakeWord("UNLOGGED")) {
    batch->kind = ast::Batch::Kind::kUnlogged;
  } else if (TakeWord("COUNTER")) {
    batch->kind = ast::Batch::Kind::kCounter;
  } else {
    TakeWord("LOGGED");
  }
  if (!ExpectWord("BATCH") || !ParseUsing(false, &batch->options)) return false;
  while (!TakeWord("APPLY")) {
    if (batch->statements.size() >= limits_.batch_statements_max) {
      return Fail(Peek(), StrCat("more statements than the limit of ",
                                 limits_.batch_statements_max));
    }
    bool ok;
    if (PeekWord("INSERT")) {
      ast::Insert insert;
      ok = ParseInsert(&insert);
      batch->statements.emplace_back(std::move(insert));
    } else if (PeekWord("UPDATE")) {
      ast::Update update;
      ok = ParseUpdate(&update);
      batch->statements.emplace_back(std::move(update));
    } else if (PeekWord("DELETE")) {
      ast::Delete del;
      ok = ParseDelete(&del);
      batch->statements.emplace_back(std::move(del));
    } else {
      return FailExpecting("INSERT, UPDATE, DELETE or APPLY BATCH");
    }
    if (!ok) return false;
    TakeSymbol(";");
  }
  return ExpectWord("BATCH");
}

}  // namespace cql::node
