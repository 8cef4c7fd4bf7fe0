// The engine's store: RocksDB in a folder of its own, with the merge operator
// of rows, and writes that become durable together.
#ifndef RINGPLANE_CQL_NODE_STORAGE_H_
#define RINGPLANE_CQL_NODE_STORAGE_H_

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cql/node/engine.h"

namespace cql::node {

inline rocksdb::Slice ToSlice(std::string_view bytes) {
  return rocksdb::Slice(bytes.data(), bytes.size());
}
inline std::string_view ToView(const rocksdb::Slice& slice) {
  return std::string_view(slice.data(), slice.size());
}

class Storage {
 public:
  // Errors as Engine::Open has them.
  static absl::StatusOr<std::unique_ptr<Storage>> Open(
      const EngineOptions& options);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  // The record of a key; false in `*found` if there is none.
  absl::Status Get(std::string_view key, rocksdb::PinnableSlice* record,
                   bool* found);

  // An iterator over all that is written, placed nowhere. There is one: asking
  // again moves it.
  absl::StatusOr<rocksdb::Iterator*> Iterate();

  // Visible at once, durable after Sync().
  absl::Status Write(rocksdb::WriteBatch* batch);
  bool NeedsSync() const { return written_ != synced_; }
  absl::Status Sync();

  // Write() and Sync().
  absl::Status WriteDurably(rocksdb::WriteBatch* batch);

  absl::Status write_status() const;

  // Every meta record whose name starts with `prefix`, the prefix cut off.
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadMeta(
      std::string_view prefix);

 private:
  class Listener;
  Storage() = default;
  absl::Status PrepareFolder(const std::string& folder);
  absl::Status OpenStore(const EngineOptions& options);
  absl::Status Refuse(std::string_view what, const rocksdb::Status& why);

  std::string folder_;
  SyncMode sync_mode_ = SyncMode::kDisk;
  int lock_fd_ = -1;
  std::shared_ptr<Listener> listener_;
  std::unique_ptr<rocksdb::DB> db_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  uint64_t iterator_written_ = 0;
  std::atomic<uint64_t> written_{0};
  std::atomic<uint64_t> synced_{0};
};

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_STORAGE_H_
