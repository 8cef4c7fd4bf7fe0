#include "cql/node/term.h"

#include <algorithm>

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"

namespace cql::node {
namespace {

absl::Status InvalidValue(const BoundTerm& term, const absl::Status& why) {
  return InvalidError(StrCat("Invalid value for ", term.name, " of type ",
                             TypeText(*term.type), ": ",
                             GetError(why).message));
}

struct Element {
  std::string_view key;
  std::string_view value;
};

}  // namespace

void AppendSortedCollection(const CqlType& type, std::string_view value,
                            std::string* out) {
  const bool map = type.id == TypeId::kMap;
  ByteReader reader(value);
  int32_t count = 0;
  reader.Read(&count);
  std::vector<Element> elements;
  for (int32_t i = 0; i < count; ++i) {
    Element element;
    bool is_null;
    if (!reader.ReadBytes(&element.key, &is_null)) break;
    if (map && !reader.ReadBytes(&element.value, &is_null)) break;
    elements.push_back(element);
  }
  const CqlType& key_type = *type.parameters[0];
  std::sort(elements.begin(), elements.end(),
            [&](const Element& a, const Element& b) {
              const int order = CompareValues(key_type, a.key, b.key);
              return order != 0 ? order < 0 : a.key.data() < b.key.data();
            });
  // Of equal keys the last stays.
  size_t kept = 0;
  for (size_t i = 0; i < elements.size(); ++i) {
    if (kept > 0 &&
        CompareValues(key_type, elements[kept - 1].key, elements[i].key) == 0) {
      elements[kept - 1] = elements[i];
    } else {
      elements[kept++] = elements[i];
    }
  }
  AppendBig(static_cast<int32_t>(kept), out);
  for (size_t i = 0; i < kept; ++i) {
    AppendBytes(elements[i].key, out);
    if (map) AppendBytes(elements[i].value, out);
  }
}

std::string* EvalContext::NewString() {
  if (used_ == strings_.size()) strings_.emplace_back();
  std::string* string = &strings_[used_++];
  string->clear();
  return string;
}

absl::Status EvalContext::Evaluate(const BoundTerm& term, Value* value) {
  switch (term.kind) {
    case BoundTerm::Kind::kNull:
      *value = Value::Null();
      return absl::OkStatus();
    case BoundTerm::Kind::kConstant:
      *value = Value::Bytes(term.constant);
      return absl::OkStatus();
    case BoundTerm::Kind::kMarker:
      return EvaluateMarker(term, value);
    case BoundTerm::Kind::kCall:
      return EvaluateCall(term, value);
    case BoundTerm::Kind::kComposite:
      return EvaluateComposite(term, value);
  }
  return absl::OkStatus();
}

absl::Status EvalContext::EvaluateMarker(const BoundTerm& term, Value* value) {
  *value = values_[term.marker];
  if (value->kind != Value::Kind::kBytes) return absl::OkStatus();
  if (value->bytes.size() > limits_->value_bytes_max) {
    return InvalidError(StrCat(
        "Value for ", term.name, " of ", value->bytes.size(),
        " bytes is longer than the limit of ", limits_->value_bytes_max));
  }
  absl::Status status = ValidateValue(*term.type, value->bytes);
  if (!status.ok()) return InvalidValue(term, status);
  const TypeId id = term.type->id;
  if (term.type->frozen && (id == TypeId::kSet || id == TypeId::kMap)) {
    std::string* sorted = NewString();
    AppendSortedCollection(*term.type, value->bytes, sorted);
    value->bytes = *sorted;
  }
  return absl::OkStatus();
}

absl::Status EvalContext::EvaluateCall(const BoundTerm& term, Value* value) {
  std::vector<Value> arguments(term.items.size());
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::Status status = Evaluate(term.items[i], &arguments[i]);
    if (!status.ok()) return status;
  }
  std::string* result = NewString();
  bool has_value;
  absl::Status status = CallFunction(term.function, arguments, now_us_, uuids_,
                                     result, &has_value);
  if (!status.ok()) return status;
  *value = has_value ? Value::Bytes(*result) : Value::Null();
  return absl::OkStatus();
}

absl::Status EvalContext::EvaluateComposite(const BoundTerm& term,
                                            Value* value) {
  const bool collection = term.type->IsCollection();
  std::string* made = NewString();
  if (collection) {
    const size_t parts = term.type->parameters.size();
    AppendBig(static_cast<int32_t>(term.items.size() / parts), made);
  }
  for (const BoundTerm& item : term.items) {
    Value part;
    absl::Status status = Evaluate(item, &part);
    if (!status.ok()) return status;
    if (part.kind == Value::Kind::kUnset) {
      return InvalidError(
          StrCat("Invalid unset value inside ", TypeText(*term.type)));
    }
    if (part.kind == Value::Kind::kNull) {
      if (collection) {
        return InvalidError("null is not supported inside collections");
      }
      AppendNullBytes(made);
    } else {
      AppendBytes(part.bytes, made);
    }
  }
  if (made->size() > limits_->value_bytes_max) {
    return InvalidError(StrCat("Value for ", term.name, " of ", made->size(),
                               " bytes is longer than the limit of ",
                               limits_->value_bytes_max));
  }
  if (term.type->id == TypeId::kSet || term.type->id == TypeId::kMap) {
    std::string* sorted = NewString();
    AppendSortedCollection(*term.type, *made, sorted);
    made = sorted;
  }
  *value = Value::Bytes(*made);
  return absl::OkStatus();
}

}  // namespace cql::node
