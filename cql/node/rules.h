// What a node does wrong on purpose, for tests: rules of the form *when* a
// request or a connection matches, *then* do this instead.
//
//   Rule rule;
//   rule.opcode = protocol::Opcode::kExecute;
//   rule.nth = 3;
//   rule.action = Rule::Action::kClose;
//   node->rules().Add(rule);
#ifndef RINGPLANE_CQL_NODE_RULES_H_
#define RINGPLANE_CQL_NODE_RULES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "cql/protocol/error.h"
#include "cql/protocol/frame.h"

namespace cql::node {

struct Rule {
  // --- When. Every condition that is set must hold. ---

  enum class On {
    kRequest,
    kConnect,  // A connection was accepted.
  };
  On on = On::kRequest;
  std::optional<protocol::Opcode> opcode;
  // In the body, decompressed. The statement of an EXECUTE or a prepared
  // statement of a BATCH counts by its text, which is not in the body.
  std::string contains;
  std::optional<uint64_t> connection;  // ConnectionInfo::id.
  std::optional<uint32_t> shard;       // Of the connection.
  std::optional<bool> shard_aware_port;

  // The first match that fires, counted from 1, and how many fire from there
  // on; 0: all.
  uint32_t nth = 1;
  uint32_t times = 1;

  // --- Then. ---

  enum class Action {
    kDelay,   // Answer after `delay`.
    kError,   // Answer with `error`.
    kClose,   // Close the connection (FIN) without an answer.
    kReset,   // Close it with a reset.
    kSplit,   // Answer in pieces of `split_bytes`, `delay` apart.
    kDrop,    // Never answer.
    kRepeat,  // Answer twice.
    kShard,   // kConnect only: give the connection shard `wrong_shard`.
  };
  Action action = Action::kError;
  absl::Duration delay = absl::ZeroDuration();
  ServerError error;
  size_t split_bytes = 1;
  uint32_t wrong_shard = 0;
  // kError, kClose, kReset and kDrop: whether the request is executed all the
  // same, as when a replica is late or an answer is lost on its way.
  bool execute = false;
};

// The rules of a node, tried in the order they were added; the first that
// fires decides. Free when there are none.
class Rules {
 public:
  using Id = uint64_t;

  struct Subject {
    Rule::On on = Rule::On::kRequest;
    protocol::Opcode opcode = protocol::Opcode::kError;
    std::string_view body;
    // Of the statements that the body names by id.
    std::string_view text;
    uint64_t connection = 0;
    uint32_t shard = 0;
    bool shard_aware_port = false;
  };

  Id Add(Rule rule);
  void Remove(Id id);
  void Clear() { entries_.clear(); }
  bool empty() const { return entries_.empty(); }

  // The rule that fires; null: none. Counts the match. Valid until rules are
  // added or removed.
  const Rule* Match(const Subject& subject);

  // How often a rule has fired; 0 once it was removed.
  uint64_t fired(Id id) const;

 private:
  struct Entry {
    Id id;
    Rule rule;
    uint64_t matches = 0;
    uint64_t fired = 0;
  };
  static bool Matches(const Rule& rule, const Subject& subject);

  std::vector<Entry> entries_;
  Id next_id_ = 1;
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_RULES_H_
