// The tables of schema.cql, in a keyspace.
#ifndef RINGPLANE_SERVICE_APP_SCHEMA_H_
#define RINGPLANE_SERVICE_APP_SCHEMA_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cql/session.h"
#include "ioloop/task.h"

namespace app {

// The text of service/dataplane/schema.cql.
extern const std::string_view kSchemaText;

// The statements of `text` without comments, each without its semicolon.
std::vector<std::string> SplitStatements(std::string_view text);

// CREATE KEYSPACE and then every statement of schema.cql, its tables' names
// with the keyspace before them. All say IF NOT EXISTS.
std::vector<std::string> SchemaStatements(std::string_view keyspace,
                                          std::string_view replication);

// The same as a script for cqlsh, with the comments of schema.cql.
std::string SchemaScript(std::string_view keyspace,
                         std::string_view replication);

// Creates what is missing and waits until the nodes agree. `session` has no
// keyspace: it need not exist. The error names the statement.
ioloop::Task<absl::Status> ApplySchema(cql::Session* session,
                                       std::string keyspace,
                                       std::string replication,
                                       absl::Duration timeout);

}  // namespace app

#endif  // RINGPLANE_SERVICE_APP_SCHEMA_H_
