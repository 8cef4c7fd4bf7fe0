// Columns of a row, null read as the empty value; requests to the store.
#ifndef RINGPLANE_SERVICE_DATAPLANE_ROW_ACCESS_H_
#define RINGPLANE_SERVICE_DATAPLANE_ROW_ACCESS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cql/rows.h"
#include "cql/statement.h"
#include "google/protobuf/timestamp.pb.h"
#include "service/rpc/service.h"

namespace dataplane {

// A column of another type than the schema's is told in the log and read as
// null.
void LogUnreadable(const absl::Status& status);

template <typename T>
std::optional<T> ValueAt(const cql::Row& row, size_t column) {
  std::optional<T> value;
  absl::Status status = row.Get(column, &value);
  if (__builtin_expect(!status.ok(), 0)) {
    LogUnreadable(status);
    return std::nullopt;
  }
  return value;
}

// A view that lives as long as the row's Rows.
inline std::string_view TextAt(const cql::Row& row, size_t column) {
  return ValueAt<std::string_view>(row, column).value_or(std::string_view());
}
inline bool BoolAt(const cql::Row& row, size_t column) {
  return ValueAt<bool>(row, column).value_or(false);
}
inline int32_t IntAt(const cql::Row& row, size_t column) {
  return ValueAt<int32_t>(row, column).value_or(0);
}
// Milliseconds of a timestamp.
inline std::optional<int64_t> MsAt(const cql::Row& row, size_t column) {
  const std::optional<absl::Time> time = ValueAt<absl::Time>(row, column);
  if (!time.has_value()) return std::nullopt;
  return absl::ToUnixMillis(*time);
}

// A timestamp to bind.
inline absl::Time ToCqlTime(int64_t ms) { return absl::FromUnixMillis(ms); }

inline void SetTimestamp(int64_t ms, google::protobuf::Timestamp* timestamp) {
  int64_t seconds = ms / 1000;
  int64_t rest = ms % 1000;
  if (rest < 0) {
    rest += 1000;
    --seconds;
  }
  timestamp->set_seconds(seconds);
  timestamp->set_nanos(static_cast<int32_t>(rest * 1'000'000));
}

// Every query is bounded by its LIMIT or its partition: one answer, no pages.
inline cql::RequestOptions OptionsOf(const rpc::CallContext& call) {
  cql::RequestOptions options;
  options.deadline = call.deadline;
  options.page_size = 0;
  return options;
}

}  // namespace dataplane

#endif  // RINGPLANE_SERVICE_DATAPLANE_ROW_ACCESS_H_
