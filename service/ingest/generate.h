// A synthetic network as Jetstream lines: heavy-tailed follows and likes,
// threads, reposts, quotes, lists, blocks, updates and deletes.
//
// The same options give the same bytes on every machine: no clock, no floating
// point, no library's random numbers. Memory is a few bytes for each user and a
// fixed window of recent records, however many events are asked for.
#ifndef RINGPLANE_SERVICE_INGEST_GENERATE_H_
#define RINGPLANE_SERVICE_INGEST_GENERATE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"

namespace ingest {

struct GenerateOptions {
  uint64_t seed = 1;
  uint32_t users = 1000;
  // Ends after this many posts (replies and quotes included) or this many
  // events, whichever comes first; 0 is no limit. Both 0: fifty events a user.
  uint64_t posts = 0;
  uint64_t events = 0;
  // The time of the first event, in microseconds since 1970.
  int64_t start_us = 1704067200000000;  // 2024-01-01
  // Mean time from one event to the next; 0: twenty events a user a day.
  int64_t gap_us = 0;
};

// kInvalidArgument if a network cannot be made of `options`.
absl::Status ValidateGenerateOptions(const GenerateOptions& options);

class Generator {
 public:
  // REQUIRES: ValidateGenerateOptions(options).ok()
  explicit Generator(const GenerateOptions& options);
  ~Generator();
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  // Appends the next event and its line feed; false if there is no more.
  bool Next(std::string* out);

  uint64_t events() const;
  uint64_t posts() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingest

#endif  // RINGPLANE_SERVICE_INGEST_GENERATE_H_
