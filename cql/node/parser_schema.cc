// CREATE, ALTER and DROP.

#include "cql/node/error.h"
#include "cql/node/internal/parser_impl.h"
#include "cql/node/internal/text.h"

namespace cql::node {

bool Parser::ParseCreate(ast::AnyStatement* statement) {
  if (!ExpectWord("CREATE")) return false;
  if (TakeWord("KEYSPACE") || TakeWord("SCHEMA")) {
    auto& create = statement->emplace<ast::CreateKeyspace>();
    return ParseIfNotExists(&create.if_not_exists) &&
           ParseIdentifier("keyspace name", &create.name) &&
           ExpectWord("WITH") && ParseProperties(&create.properties);
  }
  if (TakeWord("TABLE") || TakeWord("COLUMNFAMILY")) {
    return ParseCreateTable(&statement->emplace<ast::CreateTable>());
  }
  if (TakeWord("TYPE")) {
    auto& create = statement->emplace<ast::CreateType>();
    if (!ParseIfNotExists(&create.if_not_exists) ||
        !ParseTableName(&create.type) || !ExpectSymbol("(")) {
      return false;
    }
    do {
      if (!ParseColumnDefinition(false, &create.fields.emplace_back())) {
        return false;
      }
    } while (TakeSymbol(","));
    return ExpectSymbol(")");
  }
  static constexpr std::string_view kOthers[] = {
      "INDEX", "CUSTOM", "MATERIALIZED", "FUNCTION", "AGGREGATE",
      "OR",    "ROLE",   "USER",         "TRIGGER",  "SERVICE_LEVEL"};
  for (std::string_view other : kOthers) {
    if (PeekWord(other)) return Unsupported(StrCat("CREATE ", other));
  }
  return FailExpecting("KEYSPACE, TABLE or TYPE");
}

bool Parser::ParseAlter(ast::AnyStatement* statement) {
  if (!ExpectWord("ALTER")) return false;
  if (TakeWord("KEYSPACE") || TakeWord("SCHEMA")) {
    auto& alter = statement->emplace<ast::AlterKeyspace>();
    return ParseIfExists(&alter.if_exists) &&
           ParseIdentifier("keyspace name", &alter.name) &&
           ExpectWord("WITH") && ParseProperties(&alter.properties);
  }
  if (TakeWord("TABLE") || TakeWord("COLUMNFAMILY")) {
    return ParseAlterTable(&statement->emplace<ast::AlterTable>());
  }
  if (TakeWord("TYPE")) {
    auto& alter = statement->emplace<ast::AlterType>();
    if (!ParseIfExists(&alter.if_exists) || !ParseTableName(&alter.type)) {
      return false;
    }
    if (TakeWord("ADD")) {
      return ParseColumnDefinition(false, &alter.add.emplace_back());
    }
    if (TakeWord("RENAME")) return ParseRenames(&alter.rename);
    return FailExpecting("ADD or RENAME");
  }
  static constexpr std::string_view kOthers[] = {"MATERIALIZED", "ROLE",
                                                 "USER"};
  for (std::string_view other : kOthers) {
    if (PeekWord(other)) return Unsupported(StrCat("ALTER ", other));
  }
  return FailExpecting("KEYSPACE, TABLE or TYPE");
}

bool Parser::ParseDrop(ast::Drop* drop) {
  if (!ExpectWord("DROP")) return false;
  if (TakeWord("KEYSPACE") || TakeWord("SCHEMA")) {
    drop->kind = ast::Drop::Kind::kKeyspace;
    return ParseIfExists(&drop->if_exists) &&
           ParseIdentifier("keyspace name", &drop->name.keyspace);
  }
  if (TakeWord("TABLE") || TakeWord("COLUMNFAMILY")) {
    drop->kind = ast::Drop::Kind::kTable;
  } else if (TakeWord("TYPE")) {
    drop->kind = ast::Drop::Kind::kType;
  } else {
    static constexpr std::string_view kOthers[] = {
        "INDEX", "MATERIALIZED", "FUNCTION", "AGGREGATE",
        "ROLE",  "USER",         "TRIGGER"};
    for (std::string_view other : kOthers) {
      if (PeekWord(other)) return Unsupported(StrCat("DROP ", other));
    }
    return FailExpecting("KEYSPACE, TABLE or TYPE");
  }
  return ParseIfExists(&drop->if_exists) && ParseTableName(&drop->name);
}

bool Parser::ParseIfNotExists(bool* flag) {
  if (!TakeWord("IF")) return true;
  *flag = true;
  return ExpectWord("NOT") && ExpectWord("EXISTS");
}

bool Parser::ParseIfExists(bool* flag) {
  if (!TakeWord("IF")) return true;
  *flag = true;
  return ExpectWord("EXISTS");
}

bool Parser::ParseProperties(std::vector<ast::Property>* properties) {
  do {
    if (!ParseProperty(properties)) return false;
  } while (TakeWord("AND"));
  return true;
}

bool Parser::ParseProperty(std::vector<ast::Property>* properties) {
  ast::Property& property = properties->emplace_back();
  return ParseIdentifier("a property", &property.name) && ExpectSymbol("=") &&
         ParseTerm(&property.value);
}

bool Parser::ParseClusteringOrder(
    std::vector<std::pair<std::string, bool>>* order) {
  if (!ExpectWord("ORDER") || !ExpectWord("BY") || !ExpectSymbol("(")) {
    return false;
  }
  do {
    auto& [column, descending] = order->emplace_back();
    if (!ParseIdentifier("column", &column)) return false;
    descending = TakeWord("DESC");
    if (!descending) TakeWord("ASC");
  } while (TakeSymbol(","));
  return ExpectSymbol(")");
}

bool Parser::ParseCreateTable(ast::CreateTable* create) {
  if (!ParseIfNotExists(&create->if_not_exists) ||
      !ParseTableName(&create->table) || !ExpectSymbol("(")) {
    return false;
  }
  do {
    if (PeekSymbol(")")) break;
    if (PeekWord("PRIMARY") && PeekWord("KEY", 1)) {
      if (!ParsePrimaryKey(create)) return false;
      continue;
    }
    ast::ColumnDefinition& column = create->columns.emplace_back();
    if (!ParseColumnDefinition(true, &column)) return false;
    if (TakeWord("PRIMARY")) {
      if (!ExpectWord("KEY")) return false;
      if (!create->partition_key.empty()) {
        return Fail(Peek(), "more than one PRIMARY KEY");
      }
      create->partition_key.push_back(column.name);
    }
  } while (TakeSymbol(","));
  if (!ExpectSymbol(")")) return false;
  if (!TakeWord("WITH")) return true;
  do {
    if (TakeWord("CLUSTERING")) {
      if (!ParseClusteringOrder(&create->clustering_order)) return false;
    } else if (PeekWord("COMPACT") && PeekWord("STORAGE", 1)) {
      return Unsupported("COMPACT STORAGE");
    } else if (!ParseProperty(&create->properties)) {
      return false;
    }
  } while (TakeWord("AND"));
  return true;
}

bool Parser::ParsePrimaryKey(ast::CreateTable* create) {
  const Token& token = Peek();
  next_ += 2;
  if (!create->partition_key.empty()) {
    return Fail(token, "more than one PRIMARY KEY");
  }
  if (!ExpectSymbol("(")) return false;
  if (TakeSymbol("(")) {
    do {
      if (!ParseIdentifier("column", &create->partition_key.emplace_back())) {
        return false;
      }
    } while (TakeSymbol(","));
    if (!ExpectSymbol(")")) return false;
  } else if (!ParseIdentifier("column",
                              &create->partition_key.emplace_back())) {
    return false;
  }
  while (TakeSymbol(",")) {
    if (!ParseIdentifier("column", &create->clustering_key.emplace_back())) {
      return false;
    }
  }
  return ExpectSymbol(")");
}

bool Parser::ParseColumnDefinition(bool static_allowed,
                                   ast::ColumnDefinition* column) {
  if (!ParseIdentifier("column", &column->name) || !ParseType(&column->type)) {
    return false;
  }
  if (static_allowed && TakeWord("STATIC")) column->is_static = true;
  return true;
}

bool Parser::ParseAlterTable(ast::AlterTable* alter) {
  using Kind = ast::AlterTable::Kind;
  if (!ParseIfExists(&alter->if_exists) || !ParseTableName(&alter->table)) {
    return false;
  }
  if (TakeWord("ADD")) {
    alter->kind = Kind::kAdd;
    if (!ParseIfNotExists(&alter->if_column)) return false;
    const bool list = TakeSymbol("(");
    do {
      if (!ParseColumnDefinition(true, &alter->add.emplace_back())) {
        return false;
      }
    } while (TakeSymbol(","));
    return !list || ExpectSymbol(")");
  }
  if (TakeWord("DROP")) {
    alter->kind = Kind::kDrop;
    if (!ParseIfExists(&alter->if_column)) return false;
    const bool list = TakeSymbol("(");
    do {
      if (!ParseIdentifier("column", &alter->drop.emplace_back())) {
        return false;
      }
    } while (TakeSymbol(","));
    return !list || ExpectSymbol(")");
  }
  if (TakeWord("RENAME")) {
    alter->kind = Kind::kRename;
    return ParseRenames(&alter->rename);
  }
  if (TakeWord("WITH")) {
    alter->kind = Kind::kWith;
    return ParseProperties(&alter->properties);
  }
  if (PeekWord("ALTER")) return Unsupported("Altering the type of a column");
  return FailExpecting("ADD, DROP, RENAME or WITH");
}

bool Parser::ParseRenames(
    std::vector<std::pair<std::string, std::string>>* renames) {
  do {
    auto& [from, to] = renames->emplace_back();
    if (!ParseIdentifier("column", &from) || !ExpectWord("TO") ||
        !ParseIdentifier("column", &to)) {
      return false;
    }
  } while (TakeWord("AND"));
  return true;
}

}  // namespace cql::node
