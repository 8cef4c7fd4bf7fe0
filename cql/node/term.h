// Terms of a statement, checked against the type they are wanted as, and their
// values once markers are bound.
#ifndef RINGPLANE_CQL_NODE_TERM_H_
#define RINGPLANE_CQL_NODE_TERM_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cql/node/engine.h"
#include "cql/node/function.h"
#include "cql/node/type.h"

namespace cql::node {

struct BoundTerm {
  enum class Kind : uint8_t { kNull, kConstant, kMarker, kCall, kComposite };
  Kind kind = Kind::kNull;
  TypeRef type;
  std::string name;      // What it is for, in messages.
  std::string constant;  // kConstant
  uint16_t marker = 0;   // kMarker
  Function function;     // kCall
  // Arguments; elements; keys and values in turn; components or fields.
  std::vector<BoundTerm> items;
};

// What one execution evaluates terms with. Owns the bytes of what it makes
// until Reset().
class EvalContext {
 public:
  void Reset(absl::Span<const Value> values, int64_t now_us, UuidSource* uuids,
             const Limits* limits) {
    values_ = values;
    now_us_ = now_us;
    uuids_ = uuids;
    limits_ = limits;
    used_ = 0;
  }
  absl::Span<const Value> values() const { return values_; }
  int64_t now_us() const { return now_us_; }

  // The value of a term, valid until Reset(). Bound values are checked.
  absl::Status Evaluate(const BoundTerm& term, Value* value);

  // An empty string that lives until Reset().
  std::string* NewString();

 private:
  absl::Status EvaluateMarker(const BoundTerm& term, Value* value);
  absl::Status EvaluateCall(const BoundTerm& term, Value* value);
  absl::Status EvaluateComposite(const BoundTerm& term, Value* value);

  absl::Span<const Value> values_;
  int64_t now_us_ = 0;
  UuidSource* uuids_ = nullptr;
  const Limits* limits_ = nullptr;
  std::deque<std::string> strings_;
  size_t used_ = 0;
};

// Appends a set or map with its elements sorted and single.
void AppendSortedCollection(const CqlType& type, std::string_view value,
                            std::string* out);

}  // namespace cql::node

#endif  // RINGPLANE_CQL_NODE_TERM_H_
