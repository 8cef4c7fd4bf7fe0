#include "cql/node/rules.h"

#include <utility>

namespace cql::node {

Rules::Id Rules::Add(Rule rule) {
  Entry& entry = entries_.emplace_back();
  entry.id = next_id_++;
  entry.rule = std::move(rule);
  return entry.id;
}

void Rules::Remove(Id id) {
  std::erase_if(entries_, [id](const Entry& entry) { return entry.id == id; });
}

const Rule* Rules::Match(const Subject& subject) {
  for (Entry& entry : entries_) {
    if (!Matches(entry.rule, subject)) continue;
    const uint64_t match = ++entry.matches;
    if (match < entry.rule.nth) continue;
    if (entry.rule.times != 0 && match - entry.rule.nth >= entry.rule.times) {
      continue;
    }
    ++entry.fired;
    return &entry.rule;
  }
  return nullptr;
}

bool Rules::Matches(const Rule& rule, const Subject& subject) {
  if (rule.on != subject.on) return false;
  if (rule.opcode.has_value() && *rule.opcode != subject.opcode) return false;
  if (rule.connection.has_value() && *rule.connection != subject.connection) {
    return false;
  }
  if (rule.shard.has_value() && *rule.shard != subject.shard) return false;
  if (rule.shard_aware_port.has_value() &&
      *rule.shard_aware_port != subject.shard_aware_port) {
    return false;
  }
  return rule.contains.empty() ||
         subject.body.find(rule.contains) != subject.body.npos ||
         subject.text.find(rule.contains) != subject.text.npos;
}

uint64_t Rules::fired(Id id) const {
  for (const Entry& entry : entries_) {
    if (entry.id == id) return entry.fired;
  }
  return 0;
}

}  // namespace cql::node
