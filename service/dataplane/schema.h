// The text of schema.cql, built into the program.
#ifndef RINGPLANE_SERVICE_DATAPLANE_SCHEMA_H_
#define RINGPLANE_SERVICE_DATAPLANE_SCHEMA_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cql/session.h"
#include "ioloop/task.h"

namespace dataplane {

struct SchemaOptions {
  // A name without quotes: letters, digits and underscores.
  std::string keyspace = "ringplane";
  // The map that CREATE KEYSPACE takes; only used if there is no keyspace yet.
  std::string replication =
      "{'class': 'SimpleStrategy', 'replication_factor': 1}";
};

// schema.cql, word for word: without a keyspace, for `USE` or -k.
std::string_view SchemaText();

// CREATE KEYSPACE and the statements of schema.cql, each without its semicolon
// and with the tables' names qualified. kInvalidArgument for a keyspace that is
// no plain name.
absl::StatusOr<std::vector<std::string>> SchemaStatements(
    const SchemaOptions& options);

// Creates what is missing, one statement after the other; what is there stays
// as it is. `session` needs no keyspace of its own.
ioloop::Task<absl::Status> ApplySchema(cql::Session* session,
                                       SchemaOptions options);

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_SCHEMA_H_
