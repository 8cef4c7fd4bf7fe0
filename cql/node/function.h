// Scalar functions of CQL, in terms and in SELECT.
#ifndef RINGPLANE_CQL_NODE_FUNCTION_H_
#define RINGPLANE_CQL_NODE_FUNCTION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cql/node/engine.h"
#include "cql/node/type.h"

namespace cql::node {

enum class FunctionId : uint8_t {
  kNow,
  kUuid,
  kCurrentTimestamp,
  kCurrentDate,
  kCurrentTime,
  kToTimestamp,
  kToDate,
  kToUnixTimestamp,
  kMinTimeuuid,
  kMaxTimeuuid,
  kReinterpret,  // textAsBlob, blobAsText: the same bytes.
  kToken,        // Of a partition key; see Table.
};

struct Function {
  FunctionId id = FunctionId::kNow;
  TypeRef result;
  std::vector<TypeRef> parameters;

  bool IsPure() const { return id >= FunctionId::kToTimestamp; }
};

// Finds a function other than token() by name and types of arguments, null
// where a bind marker may have any.
absl::StatusOr<Function> FindFunction(std::string_view name,
                                      absl::Span<const TypeRef> arguments);

// Makes UUIDs. One of version 1 is never given twice.
class UuidSource {
 public:
  UuidSource();
  void AppendTimeuuid(int64_t now_us, std::string* out);
  void AppendRandom(std::string* out);

 private:
  uint64_t NextRandom();

  uint64_t state_[2];
  uint64_t node_;
  uint64_t last_time_ = 0;
};

// Appends the result to `out`; false in `*has_value` for null. Arguments are
// valid values of the parameters' types.
absl::Status CallFunction(const Function& function,
                          absl::Span<const Value> arguments, int64_t now_us,
                          UuidSource* uuids, std::string* out, bool* has_value);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_FUNCTION_H_
