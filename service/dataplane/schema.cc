#include "service/dataplane/schema.h"

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace dataplane {
namespace {

constexpr absl::string_view kCreateTable = "CREATE TABLE IF NOT EXISTS ";
constexpr size_t kKeyspaceNameMax = 48;
constexpr absl::Duration kAgreementTimeout = absl::Seconds(30);

bool IsPlainName(std::string_view name) {
  if (name.empty() || name.size() > kKeyspaceNameMax) return false;
  if (!absl::ascii_isalpha(name[0])) return false;
  for (char c : name) {
    if (!absl::ascii_isalnum(c) && c != '_') return false;
  }
  return true;
}

// Without comments: "--" to the end of a line. The schema has no string that
// could hold one.
std::string WithoutComments(absl::string_view text) {
  std::string bare;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    absl::StrAppend(&bare, line.substr(0, line.find("--")), "\n");
  }
  return bare;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> SchemaStatements(
    const SchemaOptions& options) {
  if (!IsPlainName(options.keyspace)) {
    return absl::InvalidArgumentError(
        absl::StrCat("keyspace: not a plain name: '", options.keyspace, "'"));
  }
  std::vector<std::string> statements;
  statements.push_back(
      absl::StrCat("CREATE KEYSPACE IF NOT EXISTS ", options.keyspace,
                   " WITH replication = ", options.replication));
  const std::string_view schema = SchemaText();
  const std::string text =
      WithoutComments(absl::string_view(schema.data(), schema.size()));
  for (absl::string_view part : absl::StrSplit(text, ';')) {
    part = absl::StripAsciiWhitespace(part);
    if (part.empty()) continue;
    if (part.substr(0, kCreateTable.size()) != kCreateTable) {
      return absl::InternalError(
          absl::StrCat("schema.cql: not a table: ", part.substr(0, 80)));
    }
    statements.push_back(absl::StrCat(kCreateTable, options.keyspace, ".",
                                      part.substr(kCreateTable.size())));
  }
  return statements;
}

ioloop::Task<absl::Status> ApplySchema(cql::Session* session,
                                       SchemaOptions options) {
  absl::StatusOr<std::vector<std::string>> statements =
      SchemaStatements(options);
  if (!statements.ok()) co_return statements.status();
  cql::RequestOptions request;
  request.access = cql::Access::kWrite;
  request.idempotent = true;
  for (const std::string& statement : *statements) {
    cql::Query query = session->ExecuteText(request, statement);
    absl::StatusOr<cql::Rows> rows = co_await query;
    if (!rows.ok()) {
      co_return absl::Status(
          rows.status().code(),
          absl::StrCat("schema: ", rows.status().message(),
                       " in: ", statement.substr(0, statement.find('('))));
    }
  }
  co_return co_await session->AwaitSchemaAgreement(kAgreementTimeout);
}

}  // namespace dataplane
