// Builds a synthetic event's line, field by field.
#ifndef RINGPLANE_SERVICE_INGEST_GENERATE_WRITER_H_
#define RINGPLANE_SERVICE_INGEST_GENERATE_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "service/ingest/generate_ids.h"
#include "service/ingest/jetstream.h"
#include "service/ingest/text.h"

namespace ingest {

// A record is named by its author and its time: the rest follows from them.
struct RecordName {
  uint32_t author = 0;
  int64_t time_us = 0;
};

// Begin(), Add() and the like, AddCreatedAt() or End(), Commit(): one event.
class EventWriter {
 public:
  explicit EventWriter(uint64_t seed) : seed_(seed) {}

  // Where the next event goes, and when it happens.
  void Start(std::string* out, int64_t time_us, uint64_t sequence) {
    out_ = out;
    time_us_ = time_us;
    sequence_ = sequence;
  }

  // Starts a record of `collection`.
  void Begin(std::string_view collection) {
    collection_ = collection;
    record_.clear();
    Add("{\"$type\":\"", collection, "\"");
  }
  // Appends JSON as it stands.
  template <typename... Parts>
  void Add(const Parts&... parts) {
    Append(&record_, parts...);
  }
  // Appends `text` as a JSON string.
  void AddQuoted(std::string_view text);
  void AddUri(const RecordName& name, std::string_view collection);
  // Appends a strong reference: a CID and a URI.
  void AddRef(const RecordName& name, std::string_view collection,
              const CidText& cid);
  void AddBlob(uint64_t content, std::string_view type);
  void End() { Add("}"); }
  // The last field of nearly every record.
  void AddCreatedAt() {
    Add(",\"createdAt\":\"", MakeTimestamp(time_us_).view(), "\"}");
  }

  // Writes the record, under the time's own key unless `rkey` is given.
  CidText Commit(uint32_t user, CommitOperation operation,
                 std::string_view rkey = {});
  void CommitDelete(const RecordName& name, std::string_view collection);
  void Identity(uint32_t user, std::string_view handle);
  void Account(uint32_t user, bool active);

  DidText Did(uint32_t user) const { return MakeDid(seed_, user); }
  static TidText Rkey(const RecordName& name) {
    return MakeTid(name.time_us, name.author);
  }

 private:
  void Head(const DidText& did, std::string_view kind);

  const uint64_t seed_;
  std::string* out_ = nullptr;
  int64_t time_us_ = 0;
  uint64_t sequence_ = 0;
  std::string_view collection_;
  std::string record_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_GENERATE_WRITER_H_
