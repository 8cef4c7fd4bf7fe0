#include "service/app/schema.h"

#include <utility>

#include "cql/query.h"
#include "ioloop/check.h"
#include "service/ingest/text.h"

namespace app {
namespace {

using ingest::Cat;

constexpr std::string_view kIfNotExists = "IF NOT EXISTS ";

std::string CreateKeyspace(std::string_view keyspace,
                           std::string_view replication) {
  return Cat("CREATE KEYSPACE IF NOT EXISTS ", keyspace,
             " WITH replication = ", replication);
}

// Where a '--' comment or a quoted text that starts at `at` ends; `at` itself
// if none does.
size_t SkipQuotedOrComment(std::string_view text, size_t at) {
  if (text.substr(at).starts_with("--")) {
    size_t end = text.find('\n', at);
    return end == std::string_view::npos ? text.size() : end;
  }
  if (text[at] == '\'' || text[at] == '"') {
    size_t end = text.find(text[at], at + 1);
    return end == std::string_view::npos ? text.size() : end + 1;
  }
  return at;
}

}  // namespace

std::vector<std::string> SplitStatements(std::string_view text) {
  std::vector<std::string> statements;
  std::string statement;
  auto finish = [&] {
    while (!statement.empty() &&
           (statement.back() == ' ' || statement.back() == '\n')) {
      statement.pop_back();
    }
    size_t start = statement.find_first_not_of(" \n");
    if (start != std::string::npos) {
      statements.push_back(statement.substr(start));
    }
    statement.clear();
  };
  for (size_t at = 0; at < text.size();) {
    size_t end = SkipQuotedOrComment(text, at);
    if (end > at) {
      if (text[at] != '-') statement.append(text.substr(at, end - at));
      at = end;
      continue;
    }
    if (text[at] == ';') {
      finish();
    } else {
      statement.push_back(text[at]);
    }
    ++at;
  }
  finish();
  return statements;
}

std::vector<std::string> SchemaStatements(std::string_view keyspace,
                                          std::string_view replication) {
  std::vector<std::string> statements = {CreateKeyspace(keyspace, replication)};
  for (std::string& statement : SplitStatements(kSchemaText)) {
    size_t at = statement.find(kIfNotExists);
    RINGPLANE_CHECK(at != std::string::npos, statement);
    statement.insert(at + kIfNotExists.size(), Cat(keyspace, "."));
    statements.push_back(std::move(statement));
  }
  return statements;
}

std::string SchemaScript(std::string_view keyspace,
                         std::string_view replication) {
  return Cat(CreateKeyspace(keyspace, replication), ";\nUSE ", keyspace,
             ";\n\n", kSchemaText);
}

ioloop::Task<absl::Status> ApplySchema(cql::Session* session,
                                       std::string keyspace,
                                       std::string replication,
                                       absl::Duration timeout) {
  std::vector<std::string> statements = SchemaStatements(keyspace, replication);
  for (const std::string& statement : statements) {
    cql::RequestOptions options;
    options.access = cql::Access::kWrite;
    cql::Query query = session->ExecuteText(options, statement);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) {
      co_return absl::Status(rows.status().code(),
                             Cat(statement.substr(0, statement.find('(')), ": ",
                                 rows.status().message()));
    }
  }
  co_return co_await session->AwaitSchemaAgreement(timeout);
}

}  // namespace app
