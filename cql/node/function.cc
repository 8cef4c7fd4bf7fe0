#include "cql/node/function.h"

#include <algorithm>
#include <bit>
#include <random>

#include "cql/node/error.h"
#include "cql/node/internal/bytes.h"
#include "cql/node/internal/text.h"
#include "cql/protocol/token.h"

namespace cql::node {
namespace {

// 100 ns from 1582-10-15 to 1970-01-01.
constexpr int64_t kGregorianOffset = 0x01b21dd213814000;
constexpr int64_t kMillisOfDay = 86400000;
constexpr int64_t kEpochDay = int64_t{1} << 31;

int64_t FloorDivide(int64_t value, int64_t by) {
  return value / by - (value % by < 0 ? 1 : 0);
}

// High half of a version 1 UUID.
uint64_t TimeuuidHigh(uint64_t time) {
  return (time << 32) | ((time >> 16) & 0xffff0000) | 0x1000 |
         ((time >> 48) & 0x0fff);
}

int64_t MillisOfTimeuuid(std::string_view uuid) {
  const auto high = LoadBig<uint64_t>(uuid.data());
  const uint64_t time =
      (high >> 32) | ((high & 0xffff0000) << 16) | ((high & 0x0fff) << 48);
  return FloorDivide(static_cast<int64_t>(time) - kGregorianOffset, 10000);
}

int64_t MillisOf(const CqlType& type, std::string_view value) {
  switch (type.id) {
    case TypeId::kTimeuuid:
      return MillisOfTimeuuid(value);
    case TypeId::kDate:
      return (int64_t{LoadBig<uint32_t>(value.data())} - kEpochDay) *
             kMillisOfDay;
    default:
      return LoadBig<int64_t>(value.data());
  }
}

void AppendDay(int64_t millis, std::string* out) {
  AppendBig(
      static_cast<uint32_t>(FloorDivide(millis, kMillisOfDay) + kEpochDay),
      out);
}

struct Named {
  std::string_view name;
  FunctionId id;
  TypeId result;
};
constexpr Named kWithoutArguments[] = {
    {"now", FunctionId::kNow, TypeId::kTimeuuid},
    {"currenttimeuuid", FunctionId::kNow, TypeId::kTimeuuid},
    {"current_timeuuid", FunctionId::kNow, TypeId::kTimeuuid},
    {"uuid", FunctionId::kUuid, TypeId::kUuid},
    {"currenttimestamp", FunctionId::kCurrentTimestamp, TypeId::kTimestamp},
    {"current_timestamp", FunctionId::kCurrentTimestamp, TypeId::kTimestamp},
    {"currentdate", FunctionId::kCurrentDate, TypeId::kDate},
    {"current_date", FunctionId::kCurrentDate, TypeId::kDate},
    {"currenttime", FunctionId::kCurrentTime, TypeId::kTime},
    {"current_time", FunctionId::kCurrentTime, TypeId::kTime}};
// Of a timeuuid, timestamp or date.
constexpr Named kOfTime[] = {
    {"totimestamp", FunctionId::kToTimestamp, TypeId::kTimestamp},
    {"to_timestamp", FunctionId::kToTimestamp, TypeId::kTimestamp},
    {"dateof", FunctionId::kToTimestamp, TypeId::kTimestamp},
    {"todate", FunctionId::kToDate, TypeId::kDate},
    {"to_date", FunctionId::kToDate, TypeId::kDate},
    {"tounixtimestamp", FunctionId::kToUnixTimestamp, TypeId::kBigint},
    {"to_unix_timestamp", FunctionId::kToUnixTimestamp, TypeId::kBigint},
    {"unixtimestampof", FunctionId::kToUnixTimestamp, TypeId::kBigint}};
constexpr Named kOfTimestamp[] = {
    {"mintimeuuid", FunctionId::kMinTimeuuid, TypeId::kTimeuuid},
    {"min_timeuuid", FunctionId::kMinTimeuuid, TypeId::kTimeuuid},
    {"maxtimeuuid", FunctionId::kMaxTimeuuid, TypeId::kTimeuuid},
    {"max_timeuuid", FunctionId::kMaxTimeuuid, TypeId::kTimeuuid}};

bool ConsumePrefix(std::string_view* text, std::string_view prefix) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

bool ConsumeSuffix(std::string_view* text, std::string_view suffix) {
  if (!text->ends_with(suffix)) return false;
  text->remove_suffix(suffix.size());
  return true;
}

absl::Status WrongArguments(std::string_view name) {
  return InvalidError(StrCat("Invalid call to function ", name,
                             ", none of its type signatures match"));
}

}  // namespace

absl::StatusOr<Function> FindFunction(std::string_view name,
                                      absl::Span<const TypeRef> arguments) {
  Function function;
  for (const Named& named : kWithoutArguments) {
    if (named.name != name) continue;
    if (!arguments.empty()) return WrongArguments(name);
    function.id = named.id;
    function.result = SimpleType(named.result);
    return function;
  }
  for (const Named& named : kOfTime) {
    if (named.name != name) continue;
    if (arguments.size() != 1) return WrongArguments(name);
    TypeRef argument =
        arguments[0] ? arguments[0] : SimpleType(TypeId::kTimeuuid);
    if (argument->id != TypeId::kTimeuuid &&
        argument->id != TypeId::kTimestamp && argument->id != TypeId::kDate) {
      return WrongArguments(name);
    }
    function.id = named.id;
    function.result = SimpleType(named.result);
    function.parameters = {std::move(argument)};
    return function;
  }
  for (const Named& named : kOfTimestamp) {
    if (named.name != name) continue;
    if (arguments.size() != 1 ||
        (arguments[0] && arguments[0]->id != TypeId::kTimestamp)) {
      return WrongArguments(name);
    }
    function.id = named.id;
    function.result = SimpleType(named.result);
    function.parameters = {SimpleType(TypeId::kTimestamp)};
    return function;
  }
  TypeRef other;
  bool to_blob = false;
  std::string_view rest = name;
  if (ConsumePrefix(&rest, "blob_as_") || ConsumePrefix(&rest, "blobas")) {
    other = SimpleTypeNamed(rest);
  } else if (ConsumeSuffix(&rest, "_as_blob") ||
             ConsumeSuffix(&rest, "asblob")) {
    other = SimpleTypeNamed(rest);
    to_blob = true;
  }
  if (other == nullptr || other->id == TypeId::kCounter) {
    return InvalidError(StrCat("Unknown function '", name, "'"));
  }
  function.id = FunctionId::kReinterpret;
  function.result = to_blob ? SimpleType(TypeId::kBlob) : other;
  function.parameters = {to_blob ? other : SimpleType(TypeId::kBlob)};
  if (arguments.size() != 1 ||
      (arguments[0] && arguments[0]->id != function.parameters[0]->id)) {
    return WrongArguments(name);
  }
  return function;
}

UuidSource::UuidSource() {
  std::random_device device;
  for (uint64_t& word : state_) {
    word = (uint64_t{device()} << 32) | device() | 1;
  }
  node_ = NextRandom() | (uint64_t{1} << 40);  // Multicast: not a real card.
}

uint64_t UuidSource::NextRandom() {  // xorshift128+
  uint64_t x = state_[0];
  const uint64_t y = state_[1];
  state_[0] = y;
  x ^= x << 23;
  state_[1] = x ^ y ^ (x >> 17) ^ (y >> 26);
  return state_[1] + y;
}

void UuidSource::AppendTimeuuid(int64_t now_us, std::string* out) {
  const auto time = static_cast<uint64_t>(now_us * 10 + kGregorianOffset);
  last_time_ = std::max(time, last_time_ + 1);
  AppendBig(TimeuuidHigh(last_time_), out);
  AppendBig((uint64_t{2} << 62) | (node_ & 0x3fffffffffffffff), out);
}

void UuidSource::AppendRandom(std::string* out) {
  AppendBig((NextRandom() & ~uint64_t{0xf000}) | 0x4000, out);
  AppendBig((NextRandom() >> 2) | (uint64_t{2} << 62), out);
}

absl::Status CallFunction(const Function& function,
                          absl::Span<const Value> arguments, int64_t now_us,
                          UuidSource* uuids, std::string* out,
                          bool* has_value) {
  *has_value = true;
  if (function.id == FunctionId::kToken) {
    std::string key;
    for (const Value& argument : arguments) {
      if (argument.kind != Value::Kind::kBytes) {
        return InvalidError("Invalid null value in a call of token()");
      }
      if (arguments.size() == 1) {
        key = std::string(argument.bytes);
      } else {
        AppendBig(static_cast<uint16_t>(argument.bytes.size()), &key);
        key.append(argument.bytes);
        key.push_back('\0');
      }
    }
    AppendBig(Murmur3Token(key), out);
    return absl::OkStatus();
  }
  for (const Value& argument : arguments) {
    if (argument.kind != Value::Kind::kBytes) {
      *has_value = false;
      return absl::OkStatus();
    }
  }
  const int64_t now_ms = FloorDivide(now_us, 1000);
  switch (function.id) {
    case FunctionId::kNow:
      uuids->AppendTimeuuid(now_us, out);
      break;
    case FunctionId::kUuid:
      uuids->AppendRandom(out);
      break;
    case FunctionId::kCurrentTimestamp:
      AppendBig(now_ms, out);
      break;
    case FunctionId::kCurrentDate:
      AppendDay(now_ms, out);
      break;
    case FunctionId::kCurrentTime:
      AppendBig(
          (now_us - FloorDivide(now_ms, kMillisOfDay) * kMillisOfDay * 1000) *
              1000,
          out);
      break;
    case FunctionId::kToTimestamp:
    case FunctionId::kToUnixTimestamp:
      AppendBig(MillisOf(*function.parameters[0], arguments[0].bytes), out);
      break;
    case FunctionId::kToDate:
      AppendDay(MillisOf(*function.parameters[0], arguments[0].bytes), out);
      break;
    case FunctionId::kMinTimeuuid:
    case FunctionId::kMaxTimeuuid: {
      const bool min = function.id == FunctionId::kMinTimeuuid;
      const auto millis =
          static_cast<uint64_t>(LoadBig<int64_t>(arguments[0].bytes.data()));
      const uint64_t time = millis * 10000 +
                            static_cast<uint64_t>(kGregorianOffset) +
                            (min ? 0 : 9999);
      AppendBig(TimeuuidHigh(time), out);
      AppendBig(uint64_t{min ? 0x8080808080808080 : 0x7f7f7f7f7f7f7f7f}, out);
      break;
    }
    case FunctionId::kReinterpret: {
      absl::Status status = ValidateValue(*function.result, arguments[0].bytes);
      if (!status.ok()) return status;
      out->append(arguments[0].bytes);
      break;
    }
    case FunctionId::kToken:
      break;
  }
  return absl::OkStatus();
}

}  // namespace cql::node
