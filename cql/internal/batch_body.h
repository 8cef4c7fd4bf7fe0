// A batch as a Query keeps it: encoded but for the statements' ids, which
// differ from node to node.
#ifndef RINGPLANE_CQL_INTERNAL_BATCH_BODY_H_
#define RINGPLANE_CQL_INTERNAL_BATCH_BODY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "cql/protocol/request.h"
#include "cql/statement.h"

namespace cql::internal {

// Laid out in one piece of memory: head, entries, values, parameters.
class BatchBody {
 public:
  struct Entry {
    const PreparedStatement* statement;
    uint32_t value_bytes;
    uint16_t value_count;
  };

  static size_t Size(size_t entries, size_t value_bytes,
                     const protocol::QueryParameters& parameters) {
    protocol::Writer measure{std::span<char>()};
    protocol::EndBatch(&measure, parameters);
    return sizeof(Head) + entries * sizeof(Entry) + value_bytes +
           measure.size();
  }

  // A new one in `memory` of Size() bytes.
  BatchBody(char* memory, BatchType type, size_t entries)
      : head_(reinterpret_cast<Head*>(memory)) {
    head_->type = type;
    head_->entries = static_cast<uint32_t>(entries);
  }
  // One that was made before.
  explicit BatchBody(char* memory) : head_(reinterpret_cast<Head*>(memory)) {}

  BatchType type() const { return head_->type; }
  std::span<Entry> entries() const {
    return {reinterpret_cast<Entry*>(head_ + 1), head_->entries};
  }
  std::string_view values() const {
    return {values_begin(), head_->value_bytes};
  }
  std::string_view parameters() const {
    return {values_begin() + head_->value_bytes, head_->parameter_bytes};
  }

  void SetValues(std::string_view values) {
    head_->value_bytes = static_cast<uint32_t>(values.size());
    if (!values.empty()) {
      std::memcpy(values_begin(), values.data(), values.size());
    }
  }
  void SetParameters(const protocol::QueryParameters& parameters) {
    protocol::Writer measure{std::span<char>()};
    protocol::EndBatch(&measure, parameters);
    head_->parameter_bytes = static_cast<uint32_t>(measure.size());
    protocol::Writer writer(std::span<char>(values_begin() + head_->value_bytes,
                                            head_->parameter_bytes));
    protocol::EndBatch(&writer, parameters);
  }

 private:
  struct alignas(16) Head {
    BatchType type;
    uint32_t entries;
    uint32_t value_bytes;
    uint32_t parameter_bytes;
  };
  char* values_begin() const {
    return reinterpret_cast<char*>(entries().data() + head_->entries);
  }

  Head* head_;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_BATCH_BODY_H_
