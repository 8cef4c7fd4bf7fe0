// A node of a cluster that does not exist, without I/O: it says what drivers
// ask a ScyllaDB for (its shards, its peers, its keyspaces), prepares the
// study's statement, and answers each EXECUTE of it with the same row, its key
// apart.
#ifndef RINGPLANE_BENCHMARKS_CQL_CLIENT_FAKE_NODE_H_
#define RINGPLANE_BENCHMARKS_CQL_CLIENT_FAKE_NODE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cql/protocol/frame.h"
#include "cql/protocol/rows.h"
#include "cql/protocol/types.h"

namespace cql_client {

// Host i is at 127.0.0.(1 + i). Each owns the same share of the token ring;
// a keyspace has up to three replicas.
struct Cluster {
  uint32_t hosts = 1;
  uint32_t shards = 1;
  uint16_t port = 0;
  uint16_t shard_aware_port = 0;
};

class FakeNode {
 public:
  FakeNode(const Cluster& cluster, uint32_t host);

  // An EXECUTE of the study's statement. Null if it is something else.
  struct Read {
    const std::string* answer = nullptr;  // Lacks its stream id and key.
    size_t key_at = 0;                    // Where the key goes.
    const char* key = nullptr;            // Eight bytes.
    bool with_metadata = false;           // The client did not skip it.
  };
  Read AsRead(const cql::protocol::Frame& request) const;
  // Writes the answer to `out`, which has room for `*read.answer`.
  static void WriteAnswer(const Read& read, int16_t stream, char* out);

  // Appends the answer to anything else. `shard` is that of the connection.
  void Answer(const cql::protocol::Frame& request, uint32_t shard,
              std::string* out);

 private:
  struct Table {
    std::string name;
    cql::protocol::ColumnSpecs columns;
    std::vector<std::vector<std::string>> rows;  // Cells, encoded.
  };

  void AddSystemTables();
  void AddPosts();
  void MakeReadAnswers();
  void Supported(uint32_t shard, cql::protocol::Writer* out) const;
  // Each returns the opcode of what it wrote.
  cql::protocol::Opcode Prepare(std::string_view text,
                                cql::protocol::Writer* out);
  cql::protocol::Opcode Query(std::string_view text,
                              cql::protocol::Writer* out) const;
  cql::protocol::Opcode Execute(std::string_view id,
                                cql::protocol::Writer* out) const;
  // The table that a SELECT names, or null, and the columns that it asks for.
  const Table* Resolve(std::string_view text,
                       std::vector<size_t>* columns) const;

  const Cluster cluster_;
  const uint32_t host_;
  std::vector<Table> tables_;
  std::vector<std::string> prepared_;  // By the number that is their id.
  std::string answers_[2];             // By `with_metadata`.
  size_t cells_bytes_ = 0;             // Of the row, at the end of an answer.
};

}  // namespace cql_client

#endif  // RINGPLANE_BENCHMARKS_CQL_CLIENT_FAKE_NODE_H_
