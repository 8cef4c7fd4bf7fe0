#include "cql/node/storage.h"

#include <fcntl.h>
#include <rocksdb/cache.h>
#include <rocksdb/compaction_filter.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "cql/node/error.h"
#include "cql/node/internal/text.h"
#include "cql/node/keys.h"
#include "cql/node/log_file.h"
#include "cql/node/row.h"
#include "ioloop/log.h"

namespace cql::node {
namespace {

constexpr std::string_view kLockFile = "ringplane.lock";
constexpr std::string_view kFormatFile = "ringplane.format";
constexpr std::string_view kStoreFolder = "store";
constexpr std::string_view kFormat = "ringplane cql node 1\n";

// How long a deletion is kept for the sake of older writes that come late.
constexpr uint32_t kGraceSeconds = 864000;

class RowMerge : public rocksdb::AssociativeMergeOperator {
 public:
  bool Merge(const rocksdb::Slice& /*key*/, const rocksdb::Slice* existing,
             const rocksdb::Slice& value, std::string* merged,
             rocksdb::Logger* /*logger*/) const override {
    if (existing == nullptr) {
      merged->assign(value.data(), value.size());
      return true;
    }
    return MergeRecords(ToView(*existing), ToView(value), merged);
  }
  const char* Name() const override { return "ringplane.row"; }
};

// Forgets what expired or was deleted long ago. Headers and ranges stay: they
// hide rows that may still be there.
class RowPurge : public rocksdb::CompactionFilter {
 public:
  Decision FilterV2(int /*level*/, const rocksdb::Slice& key, ValueType type,
                    const rocksdb::Slice& value, std::string* changed,
                    std::string* /*skip_until*/) const override {
    DataKey parsed;
    if (type != ValueType::kValue || !ParseDataKey(ToView(key), &parsed) ||
        parsed.kind != RecordKind::kRow) {
      return Decision::kKeep;
    }
    const auto now_s = static_cast<uint32_t>(time(nullptr));
    if (!PurgeRecord(ToView(value), now_s, now_s - kGraceSeconds, changed)) {
      return Decision::kKeep;
    }
    return changed->empty() ? Decision::kRemove : Decision::kChangeValue;
  }
  const char* Name() const override { return "ringplane.purge"; }
};

// RocksDB's own log would be a file that it aborts over when the disk is full.
// What matters of it comes as a status.
class NoLogger : public rocksdb::Logger {
 public:
  NoLogger() : rocksdb::Logger(rocksdb::InfoLogLevel::FATAL_LEVEL) {}
  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

absl::Status SystemError(int error, std::string message) {
  StrAppend(&message, ": ", std::strerror(error));
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    case ENOTDIR:
    case EEXIST:
      return absl::FailedPreconditionError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::Status StoreError(const std::string& message,
                        const rocksdb::Status& why) {
  const std::string text = StrCat(message, ": ", why.ToString());
  if (why.IsCorruption()) return absl::DataLossError(text);
  if (why.IsNoSpace()) return absl::ResourceExhaustedError(text);
  if (why.IsNotSupported() || why.IsInvalidArgument()) {
    return absl::FailedPreconditionError(text);
  }
  return absl::UnavailableError(text);
}

// Creates a file whose content is there, or the file is not.
absl::Status WriteWhole(const std::string& path, std::string_view content) {
  const std::string draft = path + ".new";
  const int fd =
      open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return SystemError(errno, StrCat("cannot create ", draft));
  int error = 0;
  if (write(fd, content.data(), content.size()) !=
      static_cast<ssize_t>(content.size())) {
    error = errno != 0 ? errno : ENOSPC;
  } else if (fsync(fd) != 0) {
    error = errno;
  }
  close(fd);
  if (error == 0 && rename(draft.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) return SystemError(error, StrCat("cannot write ", path));
  return absl::OkStatus();
}

}  // namespace

// Learns of flushes and compactions that failed, on RocksDB's threads.
class Storage::Listener : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason /*reason*/,
                         rocksdb::Status* status) override {
    Record("the store failed", *status);
  }

  void Record(std::string_view what, const rocksdb::Status& why) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (failed_.load(std::memory_order_relaxed)) return;
    message_ = StrCat(what, ": ", why.ToString());
    no_space_ = why.IsNoSpace();
    failed_.store(true, std::memory_order_release);
    RINGPLANE_LOG(kError, "writes are refused until the node is restarted",
                  {"reason", message_});
  }

  absl::Status status() const {
    if (!failed_.load(std::memory_order_acquire)) return absl::OkStatus();
    std::lock_guard<std::mutex> lock(mutex_);
    ServerError error;
    error.code = ServerCode::kServerError;
    error.message =
        StrCat(no_space_ ? "disk full; " : "",
               "writes are refused until the node is restarted: ", message_);
    return ToStatus(error);
  }

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> failed_{false};
  bool no_space_ = false;
  std::string message_;
};

absl::StatusOr<std::unique_ptr<Storage>> Storage::Open(
    const EngineOptions& options) {
  std::unique_ptr<Storage> storage(new Storage());
  absl::Status status = storage->PrepareFolder(options.data_dir);
  if (!status.ok()) return status;
  status = storage->OpenStore(options);
  if (!status.ok()) return status;
  return storage;
}

Storage::~Storage() {
  iterator_.reset();
  if (db_ != nullptr) {
    if (NeedsSync()) Sync().IgnoreError();
    if (!listener_->status().ok()) {
      // Debian's RocksDB aborts when it closes a log that it could not write.
      // So the folder stays open, and locked, until the process ends.
      rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/true);
      static auto& abandoned = *new std::vector<rocksdb::DB*>();
      static auto& mutex = *new std::mutex();
      std::lock_guard<std::mutex> lock(mutex);
      abandoned.push_back(db_.release());
      return;
    }
    db_->Close().PermitUncheckedError();
    db_.reset();
  }
  if (lock_fd_ >= 0) close(lock_fd_);
}

absl::Status Storage::PrepareFolder(const std::string& folder) {
  folder_ = folder;
  if (folder.empty()) {
    return absl::InvalidArgumentError("no data folder was given");
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return SystemError(error.value(),
                       StrCat("cannot create data folder ", folder));
  }
  const std::string lock_path = StrCat(folder, "/", kLockFile);
  lock_fd_ = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_fd_ < 0) {
    return SystemError(errno, StrCat("cannot open ", lock_path));
  }
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return absl::FailedPreconditionError(
          StrCat("data folder ", folder, " is in use by another process"));
    }
    return SystemError(errno, StrCat("cannot lock ", lock_path));
  }
  const std::string format_path = StrCat(folder, "/", kFormatFile);
  const int fd = open(format_path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    char content[64];
    const ssize_t size = read(fd, content, sizeof(content));
    close(fd);
    if (size < 0) {
      return SystemError(errno, StrCat("cannot read ", format_path));
    }
    const std::string_view found(content, static_cast<size_t>(size));
    if (found == kFormat) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("data folder ", folder,
               " was written by another version: ", kFormatFile, " says \"",
               found.substr(0, found.find('\n')), "\", this program reads \"",
               kFormat.substr(0, kFormat.size() - 1), "\""));
  }
  if (errno != ENOENT) {
    return SystemError(errno, StrCat("cannot open ", format_path));
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name == kLockFile || name == StrCat(kFormatFile, ".new")) continue;
    return absl::FailedPreconditionError(
        StrCat("data folder ", folder, " holds something else (", name,
               "): it must be empty or one of this program's"));
  }
  if (error) {
    return SystemError(error.value(), StrCat("cannot list ", folder));
  }
  return WriteWhole(format_path, kFormat);
}

absl::Status Storage::OpenStore(const EngineOptions& options) {
  static const auto& purge = *new RowPurge();
  sync_mode_ = options.sync;
  listener_ = std::make_shared<Listener>();
  rocksdb::Options store;
  store.create_if_missing = true;
  if (sync_mode_ == SyncMode::kDisk) store.env = LogAheadEnv();
  store.manual_wal_flush = true;
  store.merge_operator = std::make_shared<RowMerge>();
  store.compaction_filter = &purge;
  // A row that is written again and again is merged as it is written, so that
  // reading it stays cheap.
  store.max_successive_merges = 4;
  store.allow_concurrent_memtable_write = false;
  store.write_buffer_size = options.memtable_bytes;
  store.max_background_jobs = 2;
  store.max_open_files = 512;
  store.info_log = std::make_shared<NoLogger>();
  store.stats_dump_period_sec = 0;
  store.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  // Recovering by itself would acknowledge writes again behind our back.
  store.max_bgerror_resume_count = 0;
  store.listeners.push_back(listener_);
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  table.cache_index_and_filter_blocks = false;
  store.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::Open(store, StrCat(folder_, "/", kStoreFolder), &db);
  db_.reset(db);
  if (!status.ok()) {
    return StoreError(StrCat("cannot open data folder ", folder_), status);
  }
  return absl::OkStatus();
}

absl::Status Storage::Get(std::string_view key, rocksdb::PinnableSlice* record,
                          bool* found) {
  record->Reset();
  const rocksdb::Status status = db_->Get(
      rocksdb::ReadOptions(), db_->DefaultColumnFamily(), ToSlice(key), record);
  *found = status.ok();
  if (status.ok() || status.IsNotFound()) return absl::OkStatus();
  return StoreError("cannot read", status);
}

absl::StatusOr<rocksdb::Iterator*> Storage::Iterate() {
  const uint64_t written = written_.load(std::memory_order_relaxed);
  if (iterator_ == nullptr) {
    iterator_.reset(db_->NewIterator(rocksdb::ReadOptions()));
  } else if (iterator_written_ != written) {
    const rocksdb::Status status = iterator_->Refresh();
    if (!status.ok()) return StoreError("cannot read", status);
  }
  iterator_written_ = written;
  return iterator_.get();
}

absl::Status Storage::Refuse(std::string_view what,
                             const rocksdb::Status& why) {
  listener_->Record(what, why);
  return listener_->status();
}

absl::Status Storage::Write(rocksdb::WriteBatch* batch) {
  absl::Status refused = listener_->status();
  if (!refused.ok()) return refused;
  const rocksdb::Status status = db_->Write(rocksdb::WriteOptions(), batch);
  if (!status.ok()) return Refuse("a write failed", status);
  written_.fetch_add(1, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status Storage::Sync() {
  const uint64_t written = written_.load(std::memory_order_relaxed);
  // What a failure of the store took with it is not durable either.
  absl::Status refused = listener_->status();
  if (!refused.ok()) return refused;
  const rocksdb::Status status = db_->FlushWAL(sync_mode_ == SyncMode::kDisk);
  if (!status.ok()) return Refuse("writing the log failed", status);
  synced_.store(written, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status Storage::WriteDurably(rocksdb::WriteBatch* batch) {
  absl::Status status = Write(batch);
  if (!status.ok()) return status;
  return Sync();
}

absl::Status Storage::write_status() const { return listener_->status(); }

absl::StatusOr<std::vector<std::pair<std::string, std::string>>>
Storage::ReadMeta(std::string_view prefix) {
  absl::StatusOr<rocksdb::Iterator*> iterator = Iterate();
  if (!iterator.ok()) return iterator.status();
  std::vector<std::pair<std::string, std::string>> records;
  const std::string begin = MetaKey(prefix);
  for ((*iterator)->Seek(begin);
       (*iterator)->Valid() && (*iterator)->key().starts_with(begin);
       (*iterator)->Next()) {
    records.emplace_back(ToView((*iterator)->key()).substr(begin.size()),
                         ToView((*iterator)->value()));
  }
  if (!(*iterator)->status().ok()) {
    return StoreError("cannot read the catalog", (*iterator)->status());
  }
  return records;
}

}  // namespace cql::node
