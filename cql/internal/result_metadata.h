// The columns of a result, shared by the statement that cached them and the
// rows that are read with them.
#ifndef RINGPLANE_CQL_INTERNAL_RESULT_METADATA_H_
#define RINGPLANE_CQL_INTERNAL_RESULT_METADATA_H_

#include <cstdint>
#include <string>
#include <utility>

#include "cql/protocol/rows.h"

namespace cql::internal {

struct ResultMetadata {
  uint32_t references = 0;
  protocol::ColumnSpecs columns;
  // As the server sent them: equal bytes need not be read again.
  std::string encoded;
};

// Counts references without atomics: a session and its rows belong to one
// loop.
class MetadataRef {
 public:
  MetadataRef() = default;
  explicit MetadataRef(ResultMetadata* metadata) : metadata_(metadata) {
    if (metadata_ != nullptr) ++metadata_->references;
  }
  MetadataRef(const MetadataRef& other) : MetadataRef(other.metadata_) {}
  MetadataRef(MetadataRef&& other) noexcept
      : metadata_(std::exchange(other.metadata_, nullptr)) {}
  MetadataRef& operator=(MetadataRef other) noexcept {
    std::swap(metadata_, other.metadata_);
    return *this;
  }
  ~MetadataRef() {
    if (metadata_ != nullptr && --metadata_->references == 0) Delete();
  }

  explicit operator bool() const { return metadata_ != nullptr; }
  const ResultMetadata* get() const { return metadata_; }
  const ResultMetadata* operator->() const { return metadata_; }

 private:
  // Out of the path of every query.
  [[gnu::noinline, gnu::cold]] void Delete() { delete metadata_; }

  ResultMetadata* metadata_ = nullptr;
};

}  // namespace cql::internal

#endif  // RINGPLANE_CQL_INTERNAL_RESULT_METADATA_H_
